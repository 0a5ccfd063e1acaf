#include "instructions/qualifiers.hpp"

namespace karat::ptx {

Space take_space(units::Opcode& opcode) {
  static constexpr struct {
    std::string_view name;
    Space space;
  } kSpaces[] = {{"shared", Space::shared},
                 {"shared::cta", Space::shared},
                 {"shared::cluster", Space::shared},
                 {"global", Space::global},
                 {"local", Space::local},
                 {"param", Space::param},
                 {"param::entry", Space::param},
                 {"param::func", Space::param},
                 {"const", Space::constant}};
  for (const auto& row : kSpaces)
    if (opcode.take(row.name)) return row.space;
  return Space::generic;
}

void take_hints(units::Opcode& opcode) {
  static constexpr std::string_view kHints[] = {"volatile",
                                                "relaxed",
                                                "acquire",
                                                "release",
                                                "acq_rel",
                                                "weak",
                                                "mmio",
                                                "cta",
                                                "cluster",
                                                "gpu",
                                                "sys",
                                                "nc",
                                                "unified",
                                                "ca",
                                                "cg",
                                                "cs",
                                                "lu",
                                                "cv",
                                                "wb",
                                                "wt",
                                                "L2::cache_hint",
                                                "L2::64B",
                                                "L2::128B",
                                                "L2::256B",
                                                "L1::evict_normal",
                                                "L1::evict_unchanged",
                                                "L1::evict_first",
                                                "L1::evict_last",
                                                "L1::no_allocate",
                                                "L2::evict_first",
                                                "L2::evict_last",
                                                "L2::evict_normal"};
  for (const std::string_view each : kHints) opcode.take(each);
}

}  // namespace karat::ptx
