// Each preset's rate on one head beside the chain rate of its own instructions, on one thread:
//   benchmark_presets [T H W [RECIPE]]  default 21 30 52, the token grid of 480 x 832 x 81 frames,
//                                       and every preset; RECIPE: one of them, or a .json
// Ratio is the engine's time over what its multiply-adds take at the instructions' own rates, each
// product at its own; predictors and quantisation are reported apart. A second table holds the
// backwards: five products of a visit, everything from dO to dq, dk and dv in the engine's time.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "forward_presets.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/attention/predict.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/workload.hpp"
#include "processor_time.hpp"

namespace karat {
namespace {

/// Multiply-adds per second of D = A B^T, 64 x 128 with 128 terms, B packed before, A packed anew.
double chain_rate(const std::string& name) {
  static std::map<std::string, double> known;
  if (const auto found = known.find(name); found != known.end()) return found->second;
  const numerics::Instruction& instruction = numerics::instruction(name);
  const bool integers =
      numerics::format(numerics::input_format(instruction)).kind == numerics::Kind::integer;
  std::vector<float> a(64 * 128), b(128 * 128), d(64 * 128);
  for (std::size_t i = 0; i < b.size(); ++i)
    b[i] = integers ? static_cast<float>(i * 37 % 201) - 100
                    : (static_cast<float>(i * 37 % 15) - 7) / (i % 3 ? 8 : 64);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = b[i + 5];
  numerics::ColumnOperand columns;
  columns.pack(instruction, numerics::row_major<const float>(b.data(), 128, 128));
  numerics::RowOperand rows;
  const auto once = [&] {
    rows.pack(instruction, numerics::row_major<const float>(a.data(), 64, 128));
    numerics::chain(instruction, rows, columns, numerics::Start::absent,
                    numerics::row_major(d.data(), 64, 128));
  };
  int count = 1;
  double best = 1e9;
  while (processor_seconds([&] {
           for (int i = 0; i < count; ++i) once();
         }) < 0.05)
    count *= 2;
  for (int turn = 0; turn < 5; ++turn)
    best = std::min(best, processor_seconds([&] {
                      for (int i = 0; i < count; ++i) once();
                    }));
  return known[name] = 64.0 * 128 * 128 * count / best;
}

void measure(const recipe::Recipe& recipe, video::Extent3 grid, const attention::HeadInput& input) {
  const layout::Setting setting{.grid = grid, .channels = 128};
  layout::Layout layout;
  const double planning =
      processor_seconds([&] { layout = attention::layout_of_head(recipe, setting, input, 1); });
  attention::QuantisedHead head;
  const double quantising = processor_seconds(
      [&] { head = attention::quantise_head(recipe, layout, input, numerics::Path::fast, 1); });
  const double engine =
      processor_seconds([&] { attention::attend(recipe, layout, head, {.threads = 1}); });
  const double work = layout.multiply_adds();
  const double own =
      2 / (1 / chain_rate(recipe.qk.instruction) + 1 / chain_rate(recipe.pv.instruction));
  std::printf("| %s | %.2f | %.1f | %.1f | %.2f | %.2f | %.2f |\n", recipe.name.c_str(),
              work * 1e-9, work / engine * 1e-9, own * 1e-9, own / (work / engine), quantising,
              planning);
  std::fflush(stdout);
}

/// The most memory this process has held, MiB.
double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void measure_backward(const recipe::Recipe& recipe, video::Extent3 grid, const video::Head& made) {
  const recipe::Backward& b = recipe.backward;
  const attention::HeadInput input{made.q, made.k, made.v, numerics::FormatId::bf16};
  const layout::Layout layout =
      attention::layout_of_head(recipe, {.grid = grid, .channels = 128}, input, 1);
  const auto head = attention::quantise_head(recipe, layout, input, numerics::Path::fast, 1);
  const auto forward = attention::attend(recipe, layout, head);
  std::vector<float> uncoded;
  if (b.delta == recipe::Delta::unquantised_p)
    uncoded = attention::unquantised_p_output(recipe, layout, head, numerics::Path::fast, 0);
  const attention::BackwardHead brought[] = {{.head = &head,
                                              .input = input,
                                              .o = forward.o,
                                              .lse = forward.lse,
                                              .d_o = made.v,
                                              .o_unquantised_p = uncoded}};
  const double engine = processor_seconds(
      [&] { attention::attend_backward(recipe, layout, brought, {.threads = 1}); });
  const mask::BlockMap blocks = attention::backward_blocks(recipe, layout);
  double pairs = 0;
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i])
      pairs += static_cast<double>(blocks.query_blocks[i].size()) *
               static_cast<double>(blocks.key_blocks[entry.key_block].size());
  const double work = 5 * pairs * 128;
  const bool forward_scores = b.scores == recipe::BackwardScores::forward;
  double turns = 0;
  for (const std::string& product :
       {forward_scores ? recipe.qk.instruction : b.s, b.dp, b.dv, b.dk, b.dq})
    turns += 1 / chain_rate(product);
  const double own = 5 / turns;
  std::printf("| %s | %.2f | %.1f | %.1f | %.2f | %.0f |\n", recipe.name.c_str(), work * 1e-9,
              work / engine * 1e-9, own * 1e-9, own / (work / engine), peak_memory());
  std::fflush(stdout);
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  using namespace karat;
  video::Extent3 grid{21, 30, 52};
  if (argc >= 4) grid = {std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3])};
  const video::Head made = video::generate_head({.grid = grid}, 0, 0);
  const attention::HeadInput input{made.q, made.k, made.v, numerics::FormatId::bf16};
  std::vector<recipe::Recipe> forwards, backwards;
  if (argc >= 5) {
    forwards = {recipe::load_recipe(argv[4])};
    backwards = forwards;
  } else {
    for (const std::string_view name : recipe::forward_presets())
      forwards.push_back(recipe::preset(name));
    for (const std::string_view name : recipe::preset_names())
      backwards.push_back(recipe::preset(name));
  }
  std::printf(
      "| preset | 1e9 multiply-adds | 1e9/s | instructions' own 1e9/s | ratio | quantising s | "
      "mask, predictor s |\n|---|---|---|---|---|---|---|\n");
  for (const recipe::Recipe& recipe : forwards) measure(recipe, grid, input);
  std::printf(
      "\n| backward of | 1e9 multiply-adds | 1e9/s | instructions' own 1e9/s | ratio | "
      "peak memory MiB |\n|---|---|---|---|---|---|\n");
  for (const recipe::Recipe& recipe : backwards)
    if (recipe.backward.exists()) measure_backward(recipe, grid, made);
  return 0;
}
