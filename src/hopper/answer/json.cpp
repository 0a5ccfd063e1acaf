// An answer with the fields that docs/time-model.md lists.
#include <nlohmann/json.hpp>

#include "karat/hopper/answer.hpp"

namespace karat::hopper {

using files::Json;

namespace {

Json backward_json(const BackwardCost& c) {
  Json json{{"kernel", kernel_name(c.kernel)},
            {"time_ms", c.time_ms},
            {"tflops", c.tflops},
            {"validated", false}};
  for (const BackwardKernel& k : c.kernels) {
    Json kernel{{"name", k.name}, {"time_ms", k.ms}};
    if (k.plan) {
      kernel["block_q"] = k.plan->block_q, kernel["block_k"] = k.plan->block_k;
      kernel["ctas_per_sm"] = k.plan->ctas_per_sm;
      kernel["registers_per_thread"] = k.plan->registers_per_thread;
      kernel["smem_bytes"] = k.plan->smem_bytes;
      kernel["tiles"] = k.launch.tiles, kernel["waves"] = k.launch.waves;
      kernel["clock_mhz"] = k.launch.clock_mhz;
      for (int u = 0; u < kUnits; ++u) kernel["busy"][kUnitNames[u]] = k.launch.busy_share[u];
    }
    json["kernels"].push_back(std::move(kernel));
  }
  for (const Saving& s : c.savings)
    json["bound_by"].push_back(
        {{"part", part_name(s.part)}, {"saves_ms", s.ms}, {"share", s.ms / c.time_ms}});
  return json;
}

}  // namespace

files::Json to_json(const Answer& a) {
  const auto& q = a.question;
  const auto& c = a.cost;
  const auto& p = c.plan;
  Json json{{"title", a.title},
            {"recipe", q.recipe.name},
            {"gpu", q.machine.name},
            {"time_ms", c.time_ms},
            {"tflops", c.tflops},
            {"padded_tflops", c.padded_tflops},
            {"peak_share", c.peak_share},
            {"dense_bf16_ms", c.dense_bf16_ms},
            {"speedup", c.speedup},
            {"density", c.density},
            {"padded_density", c.padded_density}};
  json["shape"] = {
      {"batch", q.shape.batch},         {"heads", q.shape.heads},
      {"queries", q.shape.queries},     {"keys", q.shape.keys},
      {"head_dim", q.shape.head_dim},   {"causal", q.shape.causality == Causality::causal},
      {"kv_heads", q.shape.key_heads()}};
  if (q.recipe.mask.kind == recipe::MaskKind::window) {
    const auto list = [](video::Extent3 e) { return Json{e.t, e.h, e.w}; };
    json["mask"] = {{"tile", list(q.recipe.mask.tile)}, {"window", list(q.recipe.mask.window)}};
    if (q.grid) json["mask"]["grid"] = list(*q.grid);
  }
  if (q.machine.calibration) {
    json["low_ms"] = c.low_ms;
    json["high_ms"] = c.high_ms;
  }
  if (c.open_high_ms > 0) {
    json["open_low_ms"] = c.open_low_ms;
    json["open_high_ms"] = c.open_high_ms;
  }
  if (!a.left_out.empty()) json["left_out"] = a.left_out;
  json["plan"] = {{"kernel", kernel_name(p.kernel)},
                  {"block_q", p.block_q},
                  {"block_k", p.block_k},
                  {"warpgroups", p.warpgroups},
                  {"stages", p.stages},
                  {"persistent", p.residency == Residency::persistent},
                  {"ctas_per_sm", p.ctas_per_sm},
                  {"registers_per_thread", p.registers_per_thread},
                  {"smem_bytes", p.smem_bytes},
                  {"varlen", p.lengths == Lengths::varying},
                  {"multicast", p.multicast == Multicast::pairs},
                  {"splits", c.launch.division.taken}};
  json["launch"] = {{"clock_mhz", c.launch.clock_mhz},
                    {"tiles", c.launch.tiles},
                    {"waves", c.launch.waves},
                    {"blocks", c.launch.blocks},
                    {"clocks_per_block", c.launch.steady_clocks},
                    {"launch_us", c.launch.launch_us},
                    {"combine_us", c.launch.combining.us()}};
  for (const Saving& s : c.savings)
    json["bound_by"].push_back(
        {{"part", part_name(s.part)}, {"saves_ms", s.ms}, {"share", s.ms / c.time_ms}});
  for (int u = 0; u < kUnits; ++u) json["busy"][kUnitNames[u]] = c.launch.busy_share[u];
  json["around"] = Json::array();
  for (const SideKernel& k : a.around)
    json["around"].push_back({{"name", k.name}, {"time_ms", k.ms}, {"bytes", k.bytes}});
  json["held_bytes"] = held_bytes(q);
  if (a.run) {
    const auto& r = *a.run;
    json["run"] = {{"attention_ms", r.attention_ms},
                   {"around_ms", r.around_ms},
                   {"prompt_attention_ms", r.cross_ms},
                   {"linear_ms", r.linear_ms},
                   {"exchange_ms", r.exchange_ms},
                   {"rest_ms", r.rest_ms},
                   {"gap_ms", r.gap_ms},
                   {"forward_ms", r.forward_ms},
                   {"dense_forward_ms", r.dense_forward_ms},
                   {"step_ms", r.step_ms},
                   {"run_s", r.run_s},
                   {"dense_run_s", r.dense_run_s},
                   {"outside_s", r.outside_s},
                   {"total_s", r.total_s},
                   {"speedup", r.speedup},
                   {"amdahl_ceiling", r.ceiling}};
  }
  if (a.backward) json["backward"] = backward_json(*a.backward);
  if (a.iteration) {
    const auto& t = *a.iteration;
    json["iteration"] = {{"forward_ms", t.forward_ms},
                         {"backward_ms", t.backward_ms},
                         {"attention_ms", t.attention_ms},
                         {"prompt_attention_ms", t.cross_ms},
                         {"linear_ms", t.linear_ms},
                         {"rest_ms", t.rest_ms},
                         {"gap_ms", t.gap_ms},
                         {"iteration_ms", t.iteration_ms},
                         {"validated", false}};
  }
  return json;
}

}  // namespace karat::hopper
