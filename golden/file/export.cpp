// Datasets under their stable names.
#include "karat/golden/export.hpp"

#include "karat/case/stages.hpp"

namespace karat::golden {
namespace {

constexpr std::string_view kInputs[] = {"q", "k", "v", "do"};
constexpr std::string_view kStages[] = {
    "q_codes", "q_scale", "k_codes",         "k_scale", "v_codes", "v_scale", "m", "l",
    "lse",     "o",       "o_unquantised_p", "delta",   "dq",      "dk",      "dv"};
constexpr std::string_view kTapStages[] = {
    "a", "s", "p_codes", "m", "l", "o", "query_token", "key_token", "key_block", "column_begin"};

constexpr std::string_view kDqTapStages[] = {"s",         "p",         "p_codes",     "dp",
                                             "ds",        "ds_codes",  "dq",          "query_token",
                                             "key_token", "key_block", "column_begin"};
constexpr std::string_view kDkvTapStages[] = {"dk", "dv", "key_token", "query_block"};

template <typename Names>
files::Tensors read(const GoldenFile& golden, const Names& names) {
  files::Tensors tensors;
  for (const std::string_view stage : names)
    if (const auto name = golden.source().find(stage))
      tensors[std::string(stage)] = golden.source().read(*name);
  return tensors;
}

}  // namespace

files::Tensors exported_inputs(const GoldenFile& golden) {
  files::Tensors inputs = read(golden, kInputs);
  if (inputs.contains("q")) return inputs;
  for (auto& [name, tensor] : exported_stages(golden))
    if (name.ends_with("_codes") || name.ends_with("_scale"))
      if (!name.starts_with("tap.")) inputs[name] = std::move(tensor);
  return inputs;
}

files::Tensors exported_stages(const GoldenFile& golden) {
  files::Tensors stages = read(golden, kStages);
  const auto add = [&](const std::string& name) {
    if (const auto stored = golden.source().find(name))
      stages[name] = golden.source().read(*stored);
  };
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h)
      for (const int block : golden.tapped(b, h))
        for (const std::string_view stage : kTapStages) add(cases::tap_name(b, h, block, stage));
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h) {
      for (const int block : golden.dq_tapped(b, h))
        for (const std::string_view stage : kDqTapStages)
          add(cases::dq_tap_name(b, h, block, stage));
      for (const int block : golden.dkv_tapped(b, h))
        for (const std::string_view stage : kDkvTapStages)
          add(cases::dkv_tap_name(b, h, block, stage));
    }
  return stages;
}

}  // namespace karat::golden
