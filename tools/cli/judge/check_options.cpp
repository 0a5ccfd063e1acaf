// How a candidate lies in its file, which part of it to take.
#include "judge/check_options.hpp"

#include "karat/numerics/base/split.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

constexpr Named<golden::RowOrder> kOrders[] = {{"original", golden::RowOrder::original},
                                               {"tiled", golden::RowOrder::tiled}};

/// "b,h,block"; "*" leaves a place open, missing places are open too.
golden::Selection parse_selection(std::string_view text) {
  if (text.empty()) return {};
  const std::vector<std::string> places = numerics::split(text);
  if (places.size() > 3)
    throw Error(ErrorKind::usage, "--select", "takes at most three numbers",
                "give batch,head,query block; * for all");
  golden::Selection select;
  for (std::size_t place = 0; place < places.size(); ++place) {
    if (places[place] == "*") continue;
    const auto number = parse_integer(places[place], "--select", 0);
    if (place == 0) select.batch = static_cast<std::size_t>(number);
    if (place == 1) select.head = static_cast<std::size_t>(number);
    if (place == 2) select.block = static_cast<int>(number);
  }
  return select;
}

}  // namespace

void add_check_options(CommandLine& line) {
  using cxxopts::value;
  line.add()("golden", "golden file", value<std::string>())(
      "candidate", "safetensors or HDF5 with stages by name, npy with o, or a golden file",
      value<std::string>())("layout", "of the candidate: BHSD or BSHD",
                            value<std::string>()->default_value("BHSD"))(
      "order", "of the candidate's rows: original or tiled",
      value<std::string>()->default_value("original"))(
      "select", "batch,head,query block; * for all", value<std::string>()->default_value(""))(
      "threads", "0: all the machine has", value<std::string>()->default_value("0"));
}

golden::CheckOptions check_options(const cxxopts::ParseResult& given) {
  return {.layout = cases::parse_layout(given["layout"].as<std::string>()),
          .order = parse_choice(given["order"].as<std::string>(), "--order", kOrders),
          .select = parse_selection(given["select"].as<std::string>()),
          .threads =
              static_cast<int>(parse_integer(given["threads"].as<std::string>(), "--threads", 0)),
          .progress = {}};
}

}  // namespace karat::cli
