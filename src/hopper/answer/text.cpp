// An answer for people: one in full, several as a table, and CSV.
#include "karat/report/text.hpp"

#include "karat/hopper/answer.hpp"

namespace karat::hopper {
namespace {

using report::print;
using report::short_number;
using report::short_time;

std::string milliseconds(double ms) {
  return ms >= 1000 ? print("%.2f s", ms * 1e-3)
         : ms >= 1  ? print("%.2f ms", ms)
                    : print("%.1f us", ms * 1e3);
}

std::string plan_line(const Plan& p) {
  return print(
      "%s, CTA tile %d x %d, %d consumer warpgroup%s%s, %d stage%s, %d registers a thread, "
      "%.0f KiB shared memory, %d CTA%s an SM",
      std::string(kernel_name(p.kernel)).c_str(), p.block_q, p.block_k, p.warpgroups,
      p.warpgroups == 1 ? "" : "s", p.producer ? " + producer" : "", p.stages,
      p.stages == 1 ? "" : "s", p.registers_per_thread, p.smem_bytes / 1024, p.ctas_per_sm,
      p.ctas_per_sm == 1 ? "" : "s");
}

/// Bytes held, of what BF16 would hold.
double memory_ratio(const Question& q) {
  const double values = static_cast<double>(q.shape.batch) * q.shape.heads * q.shape.head_dim * 2.0;
  const double keys = static_cast<double>(q.shape.keys) * q.shape.key_heads() / q.shape.heads;
  return held_bytes(q) / (2.0 * values * (static_cast<double>(q.shape.queries) + keys));
}

std::string run_text(const RunTime& run) {
  std::string text;
  struct Share {
    const char* name;
    double ms;
  };
  text +=
      print("one forward  %s (dense BF16 %s), one step %s\n", milliseconds(run.forward_ms).c_str(),
            milliseconds(run.dense_forward_ms).c_str(), milliseconds(run.step_ms).c_str());
  for (const Share& part :
       {Share{"attention", run.attention_ms}, Share{"around it", run.around_ms},
        Share{"prompt attention", run.cross_ms}, Share{"linear layers", run.linear_ms},
        Share{"exchange between GPUs", run.exchange_ms}, Share{"rest (stated)", run.rest_ms},
        Share{"launch gaps (open)", run.gap_ms}}) {
    if (part.ms > 0) {
      text += print("  %-22s %10s  %4.1f %%\n", part.name, milliseconds(part.ms).c_str(),
                    100 * part.ms / run.forward_ms);
    }
  }
  text += print("whole run    %s (dense BF16 %s): %.2fx; Amdahl's ceiling %.2fx\n",
                short_time(run.run_s).c_str(), short_time(run.dense_run_s).c_str(), run.speedup,
                run.ceiling);
  text += print("with VAE, text encoder and sampler (open) %s: %s\n",
                short_time(run.outside_s).c_str(), short_time(run.total_s).c_str());
  return text;
}

std::string bound_line(std::span<const Saving> savings, double time_ms) {
  std::string text = "bound by    ";
  for (const Saving& saving : savings) {
    if (saving.ms < 0.005 * time_ms) continue;
    text += print(" %s %.0f %% (%s)", part_name(saving.part).c_str(), 100 * saving.ms / time_ms,
                  milliseconds(saving.ms).c_str());
  }
  return text + "\n";
}

std::string backward_text(const BackwardCost& c) {
  std::string text =
      print("backward     %s, %.0f TFLOP/s (10 per pair and channel); predicted, not validated\n",
            milliseconds(c.time_ms).c_str(), c.tflops);
  for (const BackwardKernel& k : c.kernels) {
    text += print("  %-22s %10s", k.name.c_str(), milliseconds(k.ms).c_str());
    if (k.plan)
      text +=
          print("  %s, %d x %d, %d CTA%s an SM, %.2f waves",
                std::string(kernel_name(k.plan->kernel)).c_str(), k.plan->block_q, k.plan->block_k,
                k.plan->ctas_per_sm, k.plan->ctas_per_sm == 1 ? "" : "s", k.launch.waves);
    text += "\n";
  }
  return text + bound_line(c.savings, c.time_ms);
}

std::string iteration_text(const IterationTime& t) {
  return print(
      "iteration    %s: forward %s, backward %s (attention %s, prompt attention %s, linear layers "
      "%s, rest %s); predicted, not validated\n",
      milliseconds(t.iteration_ms).c_str(), milliseconds(t.forward_ms).c_str(),
      milliseconds(t.backward_ms).c_str(), milliseconds(t.attention_ms).c_str(),
      milliseconds(t.cross_ms).c_str(), milliseconds(t.linear_ms).c_str(),
      milliseconds(t.rest_ms + t.gap_ms).c_str());
}

}  // namespace

std::string to_text(const Answer& a) {
  const AttentionCost& c = a.cost;
  const LaunchTime& l = c.launch;
  std::string text = print(
      "%s on %s: one layer, one forward\nattention    %s   %.0f TFLOP/s of the work kept   "
      "%.0f %% of peak   %.2fx dense BF16 (%s)\n",
      a.question.recipe.name.c_str(), a.question.machine.name.c_str(),
      milliseconds(c.time_ms).c_str(), c.tflops, 100 * c.peak_share, c.speedup,
      milliseconds(c.dense_bf16_ms).c_str());
  if (a.question.machine.calibration)
    text += print("             %s to %s in nine of ten launches (calibrated on %d rows)\n",
                  milliseconds(c.low_ms).c_str(), milliseconds(c.high_ms).c_str(),
                  a.question.machine.calibration->rows);
  if (c.open_high_ms > 0)
    text += print("             %s to %s by how its kernel reads lists and shares an SM (open)\n",
                  milliseconds(c.open_low_ms).c_str(), milliseconds(c.open_high_ms).c_str());
  for (const std::string& what : a.left_out) text += "without      " + what + "\n";
  text += "plan         " + plan_line(c.plan) + "\n";
  text += print(
      "work         %.1f %% of all pairs kept, %.1f %% computed in padded blocks; %lld tiles, "
      "%.2f waves%s; clock %.0f MHz\n",
      100 * c.density, 100 * c.padded_density, static_cast<long long>(l.tiles), l.waves,
      l.division.taken > 1 ? print(", keys split %d ways", l.division.taken).c_str() : "",
      l.clock_mhz);
  if (l.division.most > 1)
    text += print("             of it %.1f us in the kernel that combines key splits\n",
                  l.combining.us());
  if (c.plan.split_rule == Splits::heuristic)
    text +=
        "             keys are divided by FlashAttention-3's rule, which makes steps: a larger "
        "launch "
        "may be faster\n";
  text += bound_line(c.savings, c.time_ms);
  text += "             (time saved if that part were free of charge)\nbusy        ";
  for (int u = 0; u < kUnits; ++u) {
    text += print(" %s %.0f %%", kUnitNames[u], 100 * l.busy_share[u]);
  }
  text += "\n";
  for (const SideKernel& kernel : a.around) {
    text += print("around       %-12s %10s  %s bytes\n", kernel.name.c_str(),
                  milliseconds(kernel.ms).c_str(), short_number(kernel.bytes).c_str());
  }
  text += print("memory       Q, K, V and O hold %s bytes, %.2f of BF16's\n",
                short_number(held_bytes(a.question)).c_str(), memory_ratio(a.question));
  if (a.backward) text += backward_text(*a.backward);
  if (a.run) text += run_text(*a.run);
  if (a.iteration) text += iteration_text(*a.iteration);
  return text;
}

std::string to_table(std::span<const Answer> answers, report::TableStyle style) {
  using report::Align;
  report::Table table{.columns = {{""},
                                  {"attention", Align::right},
                                  {"TFLOP/s", Align::right},
                                  {"peak", Align::right},
                                  {"density", Align::right},
                                  {"speed-up", Align::right},
                                  {"run", Align::right},
                                  {"bound by"}},
                      .rows = {}};
  for (const Answer& a : answers)
    table.rows.push_back({a.title, milliseconds(a.cost.time_ms), print("%.0f", a.cost.tflops),
                          print("%.0f %%", 100 * a.cost.peak_share),
                          print("%.1f %%", 100 * a.cost.density), print("%.2fx", a.cost.speedup),
                          a.run ? short_time(a.run->run_s) : "",
                          a.cost.savings.empty() ? "" : part_name(a.cost.savings.front().part)});
  return report::to_text(table, style);
}

std::string to_csv(std::span<const Answer> answers) {
  std::string text =
      "gpu,recipe,tile,window,batch,heads,queries,keys,head_dim,time_ms,tflops,peak_share,density,"
      "padded_density,dense_bf16_ms,speedup,run_s,run_speedup\n";
  const auto extent = [](video::Extent3 e) { return print("%dx%dx%d", e.t, e.h, e.w); };
  for (const Answer& a : answers) {
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

}  // namespace karat::hopper
