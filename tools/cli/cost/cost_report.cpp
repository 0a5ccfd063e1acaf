// Text, JSON and CSV of cost answers.
#include "cost/cost_report.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "terminal.hpp"

namespace karat::cli {
namespace {

using files::Json;

template <typename... Values>
std::string print(const char* format, Values... values) {
  const int size = std::snprintf(nullptr, 0, format, values...);
  std::string text(static_cast<std::size_t>(size), '\0');
  std::snprintf(text.data(), text.size() + 1, format, values...);
  return text;
}

std::string milliseconds(double ms) {
  return ms >= 1000 ? print("%.2f s", ms * 1e-3)
         : ms >= 1  ? print("%.2f ms", ms)
                    : print("%.1f us", ms * 1e3);
}

std::string plan_line(const hopper::Plan& p) {
  return print(
      "%s, CTA tile %d x %d, %d consumer warpgroup%s%s, %d stage%s, %d registers a thread, "
      "%.0f KiB shared memory, %d CTA%s an SM",
      std::string(hopper::kernel_name(p.kernel)).c_str(), p.block_q, p.block_k, p.warpgroups,
      p.warpgroups == 1 ? "" : "s", p.producer ? " + producer" : "", p.stages,
      p.stages == 1 ? "" : "s", p.registers_per_thread, p.smem_bytes / 1024, p.ctas_per_sm,
      p.ctas_per_sm == 1 ? "" : "s");
}

std::string run_text(const hopper::RunTime& run) {
  std::string text;
  struct Part {
    const char* name;
    double ms;
  };
  text +=
      print("one forward  %s (dense BF16 %s), one step %s\n", milliseconds(run.forward_ms).c_str(),
            milliseconds(run.dense_forward_ms).c_str(), milliseconds(run.step_ms).c_str());
  for (const Part& part :
       {Part{"attention", run.attention_ms}, Part{"around it", run.around_ms},
        Part{"prompt attention", run.cross_ms}, Part{"linear layers", run.linear_ms},
        Part{"exchange between GPUs", run.exchange_ms}, Part{"rest (stated)", run.rest_ms}}) {
    if (part.ms > 0) {
      text += print("  %-22s %10s  %4.1f %%\n", part.name, milliseconds(part.ms).c_str(),
                    100 * part.ms / run.forward_ms);
    }
  }
  text += print("whole run    %s (dense BF16 %s): %.2fx; Amdahl's ceiling %.2fx\n",
                short_time(run.run_s).c_str(), short_time(run.dense_run_s).c_str(), run.speedup,
                run.ceiling);
  return text;
}

}  // namespace

std::string cost_text(const CostAnswer& a) {
  const hopper::AttentionCost& c = a.cost;
  const hopper::LaunchTime& l = c.launch;
  std::string text = print(
      "%s on %s: one layer, one forward\nattention    %s   %.0f TFLOP/s of the work kept   %.0f %% "
      "of "
      "peak   %.2fx dense BF16 (%s)\n",
      a.question.recipe.name.c_str(), a.question.machine.name.c_str(),
      milliseconds(c.time_ms).c_str(), c.tflops, 100 * c.peak_share, c.speedup,
      milliseconds(c.dense_bf16_ms).c_str());
  text += "plan         " + plan_line(c.plan) + "\n";
  text += print(
      "work         %.1f %% of all pairs kept, %.1f %% computed in padded blocks; %lld tiles, "
      "%.2f waves%s; clock %.0f MHz\n",
      100 * c.density, 100 * c.padded_density, static_cast<long long>(l.tiles), l.waves,
      l.splits > 1 ? print(", keys split %d ways", l.splits).c_str() : "", l.clock_mhz);
  text += "bound by    ";
  for (const hopper::Saving& saving : c.savings) {
    if (saving.ms < 0.005 * c.time_ms) continue;
    text += print(" %s %.0f %% (%s)", hopper::part_name(saving.part).c_str(),
                  100 * saving.ms / c.time_ms, milliseconds(saving.ms).c_str());
  }
  text += "\n             (time saved if that part were free of charge)\nbusy        ";
  for (int u = 0; u < hopper::kUnitCount; ++u) {
    text += print(" %s %.0f %%", hopper::kUnitNames[u], 100 * l.busy_share[u]);
  }
  text += "\n";
  for (const hopper::SideKernel& kernel : a.around) {
    text += print("around       %-12s %10s  %s bytes\n", kernel.name.c_str(),
                  milliseconds(kernel.ms).c_str(), short_number(kernel.bytes).c_str());
  }
  text += print("memory       Q, K, V and O hold %s bytes, %.2f of BF16's\n",
                short_number(hopper::held_bytes(a.question)).c_str(), a.dense_memory_ratio);
  if (a.run) text += run_text(*a.run);
  return text;
}

std::string cost_table(const std::vector<CostAnswer>& answers) {
  std::string text = print("%-34s %11s %9s %7s %9s %9s  %s\n", "", "attention", "TFLOP/s", "peak",
                           "speed-up", "run", "bound by");
  for (const CostAnswer& a : answers) {
    const std::string bound =
        a.cost.savings.empty() ? "" : hopper::part_name(a.cost.savings.front().part);
    text += print("%-34s %11s %9.0f %5.0f %% %8.2fx %9s  %s\n", a.title.c_str(),
                  milliseconds(a.cost.time_ms).c_str(), a.cost.tflops, 100 * a.cost.peak_share,
                  a.cost.speedup, a.run ? short_time(a.run->run_s).c_str() : "", bound.c_str());
  }
  return text;
}

std::string cost_csv(const std::vector<CostAnswer>& answers) {
  std::string text =
      "gpu,recipe,tile,window,batch,heads,queries,keys,head_dim,time_ms,tflops,peak_share,density,"
      "padded_density,dense_bf16_ms,speedup,run_s,run_speedup\n";
  const auto extent = [](video::Extent3 e) { return print("%dx%dx%d", e.t, e.h, e.w); };
  for (const CostAnswer& a : answers) {
    const auto& q = a.question;
    const bool window = q.recipe.mask.kind == recipe::MaskKind::window;
    text += print("%s,%s,%s,%s,%d,%d,%lld,%lld,%d,%.6g,%.6g,%.4f,%.5f,%.5f,%.6g,%.4f,%s,%s\n",
                  q.machine.name.c_str(), q.recipe.name.c_str(),
                  window ? extent(q.recipe.mask.tile).c_str() : "",
                  window ? extent(q.recipe.mask.window).c_str() : "", q.shape.batch, q.shape.heads,
                  static_cast<long long>(q.shape.queries), static_cast<long long>(q.shape.keys),
                  q.shape.head_dim, a.cost.time_ms, a.cost.tflops, a.cost.peak_share,
                  a.cost.density, a.cost.padded_density, a.cost.dense_bf16_ms, a.cost.speedup,
                  a.run ? print("%.4f", a.run->run_s).c_str() : "",
                  a.run ? print("%.4f", a.run->speedup).c_str() : "");
  }
  return text;
}

files::Json cost_json(const CostAnswer& a) {
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
      {"batch", q.shape.batch},       {"heads", q.shape.heads},
      {"queries", q.shape.queries},   {"keys", q.shape.keys},
      {"head_dim", q.shape.head_dim}, {"causal", q.shape.causality == hopper::Causality::causal}};
  if (q.recipe.mask.kind == recipe::MaskKind::window) {
    const auto list = [](video::Extent3 e) { return Json{e.t, e.h, e.w}; };
    json["mask"] = {{"tile", list(q.recipe.mask.tile)}, {"window", list(q.recipe.mask.window)}};
    if (q.grid) json["mask"]["grid"] = list(*q.grid);
  }
  json["plan"] = {{"kernel", hopper::kernel_name(p.kernel)},
                  {"block_q", p.block_q},
                  {"block_k", p.block_k},
                  {"warpgroups", p.warpgroups},
                  {"stages", p.stages},
                  {"persistent", p.residency == hopper::Residency::persistent},
                  {"ctas_per_sm", p.ctas_per_sm},
                  {"registers_per_thread", p.registers_per_thread},
                  {"smem_bytes", p.smem_bytes},
                  {"splits", c.launch.splits}};
  json["launch"] = {{"clock_mhz", c.launch.clock_mhz},
                    {"tiles", c.launch.tiles},
                    {"waves", c.launch.waves},
                    {"blocks", c.launch.blocks},
                    {"clocks_per_block", c.launch.steady_clocks},
                    {"launch_us", c.launch.launch_us},
                    {"combine_us", c.launch.combine_us}};
  for (const hopper::Saving& s : c.savings)
    json["bound_by"].push_back(
        {{"part", hopper::part_name(s.part)}, {"saves_ms", s.ms}, {"share", s.ms / c.time_ms}});
  for (int u = 0; u < hopper::kUnitCount; ++u)
    json["busy"][hopper::kUnitNames[u]] = c.launch.busy_share[u];
  json["around"] = Json::array();
  for (const hopper::SideKernel& k : a.around)
    json["around"].push_back({{"name", k.name}, {"time_ms", k.ms}, {"bytes", k.bytes}});
  json["held_bytes"] = hopper::held_bytes(q);
  if (a.run) {
    const auto& r = *a.run;
    json["run"] = {{"attention_ms", r.attention_ms},
                   {"around_ms", r.around_ms},
                   {"prompt_attention_ms", r.cross_ms},
                   {"linear_ms", r.linear_ms},
                   {"exchange_ms", r.exchange_ms},
                   {"rest_ms", r.rest_ms},
                   {"forward_ms", r.forward_ms},
                   {"dense_forward_ms", r.dense_forward_ms},
                   {"step_ms", r.step_ms},
                   {"run_s", r.run_s},
                   {"dense_run_s", r.dense_run_s},
                   {"speedup", r.speedup},
                   {"amdahl_ceiling", r.ceiling}};
  }
  return json;
}

}  // namespace karat::cli
