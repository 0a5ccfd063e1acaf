// Where the processor time of one head goes, phase by phase, on one thread:
//   benchmark_phases RECIPE [T H W [TURNS]]   default 6 30 52 (the token grid of 480 x 832, 21
//                                             frames) and 3; RECIPE: a preset's name, or a .json
// Phases of the engine with their multiply-adds, then the engine as a whole, with bounds and taps
// of every block, and the FP64 truth over every row. Figures are the fastest turn's.
// KARAT_BENCHMARK_TARGET=avx2 limits the library to AVX2.
#include <hwy/targets.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/phases.hpp"
#include "karat/attention/predict.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/workload.hpp"
#include "processor_time.hpp"

namespace karat {
namespace {

double fastest(int turns, const auto& work) {
  double best = processor_seconds(work);
  for (int turn = 1; turn < turns; ++turn) best = std::min(best, processor_seconds(work));
  return best;
}

/// A row of the table; without multiply-adds the last two columns stay empty.
void row(std::string_view what, double time, double whole, double work = 0) {
  std::printf("| %-18.*s | %8.3f | %5.1f %% |", static_cast<int>(what.size()), what.data(), time,
              100 * time / whole);
  if (work > 0)
    std::printf(" %8.2f | %6.1f |\n", 1e-9 * work, 1e-9 * work / time);
  else
    std::printf("          |        |\n");
  std::fflush(stdout);
}

void measure(const recipe::Recipe& recipe, video::Extent3 grid, int turns) {
  using attention::Phase;
  const video::Head made = video::generate_head({.grid = grid}, 0, 0);
  const attention::HeadInput input{made.q, made.k, made.v, numerics::FormatId::bf16};
  const layout::Layout layout =
      attention::layout_of_head(recipe, {.grid = grid, .channels = 128}, input, 1);
  attention::QuantisedHead head;
  const double quantising = fastest(turns, [&] {
    head = attention::quantise_head(recipe, layout, input, numerics::Path::fast, 1);
  });
  const double engine =
      fastest(turns, [&] { attention::attend(recipe, layout, head, {.threads = 1}); });
  attention::PhaseSeconds phases;
  double whole = 0;
  for (int turn = 0; turn < turns; ++turn) {
    attention::PhaseSeconds now;
    attention::attend_by_phases(recipe, layout, head, {.threads = 1}, now);
    const double sum = std::accumulate(now.of.begin(), now.of.end(), 0.0);
    if (turn > 0 && sum >= whole) continue;
    whole = sum;
    phases = now;
  }
  const double product = layout.multiply_adds() / 2;
  std::printf("%s, %d x %d x %d tokens, d = 128, one thread\n\n", recipe.name.c_str(), grid.t,
              grid.h, grid.w);
  std::printf(
      "| phase              |  seconds |   share | 1e9 MAC  | 1e9/s  |\n"
      "|--------------------|---------:|--------:|---------:|-------:|\n");
  for (std::size_t i = 0; i < phases.of.size(); ++i) {
    const bool multiplies =
        i == static_cast<std::size_t>(Phase::qk) || i == static_cast<std::size_t>(Phase::pv);
    if (phases.of[i] > 0)
      row(attention::kPhaseNames[i], phases.of[i], whole, multiplies ? product : 0);
  }
  row("engine, no clock", engine, engine, 2 * product);
  row("quantising", quantising, engine);
  const std::vector<int> taps;
  const double bounded = fastest(turns, [&] {
    bounds::attend_with_bounds(recipe, layout, head, taps, 1, [](std::size_t, std::size_t) {});
  });
  row("bounds beside it", bounded - engine, engine);
  std::vector<std::int32_t> rows(static_cast<std::size_t>(grid.volume()));
  std::iota(rows.begin(), rows.end(), 0);
  const double all =
      2.0 * 128 * static_cast<double>(rows.size()) * static_cast<double>(rows.size());
  const double share = static_cast<double>(layout.mask->kept_pairs()) * 256 / all;
  for (const auto mask : {attention::OracleMask::sparse, attention::OracleMask::dense})
    row(mask == attention::OracleMask::sparse ? "truth, sparse" : "truth, dense",
        fastest(turns, [&] { attention::oracle(layout, input, rows, mask, 1); }), engine,
        mask == attention::OracleMask::sparse ? share * all : all);
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  using namespace karat;
  if (argc != 2 && argc != 5 && argc != 6) {
    std::fprintf(stderr, "usage: benchmark_phases RECIPE [T H W [TURNS]]\n");
    return 2;
  }
  const char* target = std::getenv("KARAT_BENCHMARK_TARGET");
  if (target && std::string(target) == "avx2") hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  video::Extent3 grid{6, 30, 52};
  if (argc >= 5) grid = {std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])};
  measure(recipe::load_recipe(argv[1]), grid, argc == 6 ? std::atoi(argv[5]) : 3);
  return 0;
}
