// What ran and what its bits rest on, for people and as JSON.
#include <nlohmann/json.hpp>

#include "karat/ptx/run.hpp"
#include "karat/report/text.hpp"

namespace karat::ptx {

std::string_view ground_name(Ground ground) {
  static constexpr std::string_view kNames[] = {"by definition", "exact by hardware rows",
                                                "strongly supported", "stand-in"};
  return kNames[static_cast<std::size_t>(ground)];
}

files::Json to_json(const Outcome& outcome) {
  files::Json json;
  json["fault"] = outcome.fault ? files::Json(*outcome.fault) : files::Json(nullptr);
  json["hazards"] = outcome.hazards;
  if (outcome.searched == HazardSearch::on)
    json["not_looked_at"] = {{"in_clusters", outcome.not_looked_at.in_clusters},
                             {"between_clusters", outcome.not_looked_at.between_clusters},
                             {"orders_by_memory", outcome.not_looked_at.orders_by_memory}};
  json["ground"] = ground_name(outcome.ground());
  json["warp_instructions"] = outcome.warp_instructions;
  json["fused"] = outcome.fused;
  json["instructions"] = files::Json::array();
  for (const InstructionCount& each : outcome.instructions)
    json["instructions"].push_back({{"opcode", each.opcode},
                                    {"places", each.places},
                                    {"warps", each.warps},
                                    {"ground", ground_name(each.ground)}});
  json["outputs"] = files::Json::object();
  for (const auto& [name, tensor] : outcome.outputs)
    json["outputs"][name] = {{"dtype", files::info(tensor.dtype).name}, {"shape", tensor.shape}};
  return json;
}

std::string to_text(const NotLookedAt& not_looked_at) {
  if (!not_looked_at.any()) return "";
  const auto accesses = [](std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " access" : " accesses");
  };
  if (not_looked_at.orders_by_memory)
    return accesses(not_looked_at.in_clusters) +
           " of global memory were not looked at: the kernel may order warps or clusters through "
           "it";
  std::string text;
  if (not_looked_at.in_clusters > 0)
    text = accesses(not_looked_at.in_clusters) +
           " of global memory were not looked at for races in "
           "a cluster";
  if (not_looked_at.between_clusters > 0)
    text += (text.empty() ? "" : ", ") + accesses(not_looked_at.between_clusters) +
            (text.empty() ? " of global memory were not looked at" : "") +
            " for races between clusters";
  return text + ": more than the search holds";
}

namespace {

std::string search_text(const Outcome& outcome) {
  const std::string missed = to_text(outcome.not_looked_at);
  const std::size_t count = outcome.hazards.size();
  const std::string found =
      count > 0 ? std::to_string(count) + (count == 1 ? " hazard" : " hazards") : "no hazard";
  return missed.empty() ? found + " found\n"
                        : found + " found in what was looked at; " + missed + "\n";
}

}  // namespace

std::string to_text(const Outcome& outcome) {
  std::string text = "      warps  places  rests on                instruction\n";
  for (const InstructionCount& each : outcome.instructions)
    text += report::print("%11llu  %6llu  %-22s  %s\n", static_cast<unsigned long long>(each.warps),
                          static_cast<unsigned long long>(each.places),
                          std::string(ground_name(each.ground)).c_str(), each.opcode.c_str());
  text += report::print("%11llu          %-22s  all together\n",
                        static_cast<unsigned long long>(outcome.warp_instructions),
                        std::string(ground_name(outcome.ground())).c_str());
  if (outcome.fused > 0)
    text += report::print("%llu sums took in a product, as ptxas does\n",
                          static_cast<unsigned long long>(outcome.fused));
  if (outcome.searched == HazardSearch::on) text += search_text(outcome);
  return text;
}

}  // namespace karat::ptx
