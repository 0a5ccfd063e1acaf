// Prints one line per stage of small attention runs: a name and a 64-bit hash of the bits. Two
// builds, thread counts or instruction sets that print the same lines computed the same bits.
// Usage: bits THREADS TARGET    TARGET: best, avx3, avx2 or portable
#include <hwy/targets.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "forward_presets.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/predict.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/workload.hpp"

namespace {

using namespace karat;

/// FNV-1a over the bytes.
template <typename T>
std::uint64_t hash(const std::vector<T>& values) {
  std::uint64_t h = 14695981039346656037u;
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) h = (h ^ bytes[i]) * 1099511628211u;
  return h;
}

template <typename T>
void print(const std::string& name, const std::vector<T>& values) {
  std::printf("%-40s %016llx\n", name.c_str(), static_cast<unsigned long long>(hash(values)));
}

void run(std::string_view preset, video::Extent3 grid, int threads) {
  const recipe::Recipe recipe = recipe::preset(preset);
  const video::Head head =
      video::generate_head({.grid = grid, .head_dim = 64, .seed = 7}, 0, 0, threads);
  const attention::HeadInput input{head.q, head.k, head.v, numerics::FormatId::bf16};
  const layout::Layout layout =
      attention::layout_of_head(recipe, {.grid = grid, .channels = 64}, input, threads);
  const auto quantised =
      attention::quantise_head(recipe, layout, input, numerics::Path::fast, threads);
  std::vector<int> blocks(layout.blocks.query_blocks.size());
  std::iota(blocks.begin(), blocks.end(), 0);
  const auto result =
      attention::attend(recipe, layout, quantised, {.threads = threads, .tapped = blocks});
  const std::string name(preset);
  print(name + " q values", quantised.q.values);
  print(name + " k scales", quantised.k.scales);
  print(name + " v values", quantised.v.values);
  std::vector<float> stages;
  for (const auto& tap : result.taps)
    for (const auto* part : {&tap.a, &tap.s, &tap.p, &tap.m, &tap.l, &tap.o})
      stages.insert(stages.end(), part->begin(), part->end());
  print(name + " a s p m l o of every block", stages);
  print(name + " o", result.o);
  print(name + " lse", result.lse);
  std::vector<std::int32_t> tokens{0, 5, static_cast<std::int32_t>(grid.volume()) - 1};
  for (const auto mask : {attention::OracleMask::dense, attention::OracleMask::sparse})
    print(name + " truth", attention::oracle(layout, input, tokens, mask, threads).o);
}

/// The gradients of a preset's backward, two query heads on one key-value head.
void run_backward(std::string_view preset, video::Extent3 grid, int threads) {
  const recipe::Recipe recipe = recipe::preset(preset);
  const video::Head head =
      video::generate_head({.grid = grid, .head_dim = 64, .seed = 7}, 0, 0, threads);
  const layout::Layout layout = layout::make_layout(recipe, {.grid = grid, .channels = 64});
  const attention::HeadInput inputs[] = {{head.q, head.k, head.v, numerics::FormatId::bf16},
                                         {head.v, head.k, head.v, numerics::FormatId::bf16}};
  std::vector<attention::QuantisedHead> quantised;
  std::vector<attention::HeadResult> forward;
  std::vector<std::vector<float>> uncoded;
  for (const attention::HeadInput& input : inputs) {
    quantised.push_back(
        attention::quantise_head(recipe, layout, input, numerics::Path::fast, threads));
    forward.push_back(attention::attend(recipe, layout, quantised.back(), {.threads = threads}));
    uncoded.push_back(attention::unquantised_p_output(recipe, layout, quantised.back(),
                                                      numerics::Path::fast, threads));
  }
  std::vector<attention::BackwardHead> heads;
  for (std::size_t h = 0; h < quantised.size(); ++h)
    heads.push_back({.head = &quantised[h],
                     .input = inputs[h],
                     .o = forward[h].o,
                     .lse = forward[h].lse,
                     .d_o = h == 0 ? head.q : head.k,
                     .o_unquantised_p = uncoded[h]});
  const auto result = attention::attend_backward(recipe, layout, heads, {.threads = threads});
  const std::string name(preset);
  for (const auto& dq : result.dq) print(name + " dq", dq);
  print(name + " dk", result.dk);
  print(name + " dv", result.dv);
  const std::int32_t tokens[] = {0, 5, static_cast<std::int32_t>(grid.volume()) - 1};
  for (const auto mask : {attention::OracleMask::dense, attention::OracleMask::sparse}) {
    const auto truth =
        attention::oracle_gradients(layout, inputs[0], head.q, tokens, tokens, mask, threads);
    print(name + " true dq", truth.dq);
    print(name + " true dk", truth.dk);
    print(name + " true dv", truth.dv);
  }
}

std::int64_t target_mask(const char* name) {
  if (std::strcmp(name, "avx3") == 0) return HWY_AVX3;
  if (std::strcmp(name, "avx2") == 0) return HWY_AVX2;
  if (std::strcmp(name, "portable") == 0) return HWY_EMU128 | HWY_SCALAR;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::int64_t target = target_mask(argv[2]);
  const bool portable = std::strcmp(argv[2], "portable") == 0;
  if (target != 0 && !portable && (hwy::SupportedTargets() & target) == 0) {
    std::puts("absent");
    return 0;
  }
  hwy::SetSupportedTargetsForTest(target);
  for (const std::string_view preset : recipe::forward_presets())
    run(preset, {5, 9, 11}, std::atoi(argv[1]));
  for (const std::string_view preset : recipe::preset_names())
    if (recipe::preset(preset).backward.exists())
      run_backward(preset, {2, 9, 7}, std::atoi(argv[1]));
  return 0;
}
