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
  return text;
}

}  // namespace karat::ptx
