// The attention kernel's stages, each recomputed from the capture's own previous stage.
#include <bit>
#include <cmath>

#include "attention.hpp"
#include "comparison.hpp"
#include "karat/evidence/inputs.hpp"

namespace karat::evidence {
namespace {

using namespace attention;

constexpr std::size_t kRows = kAttentionRows, kKeys = kAttentionKeys, kBlocks = kAttentionBlocks,
                      kChannels = kAttentionChannels;

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
std::uint32_t bits(std::uint8_t x) { return x; }
std::uint32_t bits(std::uint16_t x) { return x; }

Codes codes(const CaptureReader& file, const std::string& name, std::size_t count) {
  const std::vector<std::uint32_t> words = file.words(name, count);
  return {words.begin(), words.end()};
}

/// One stage's part of the report; elements are numbered (row, column) by `columns`.
template <typename T>
Compared compared(const CaptureReader& file, const std::string& stage, std::size_t columns,
                  const std::vector<T>& captured, const std::vector<T>& emulated) {
  Part part{.file = file.name(),
            .what = "one CTA, from the captured stage before",
            .rows = captured.size()};
  for (std::size_t i = 0; i < captured.size(); ++i) {
    if (bits(captured[i]) == bits(emulated[i]))
      ++part.equal;
    else if (part.difference.empty())
      part.difference = stage + "[" + std::to_string(i / columns) + ", " +
                        std::to_string(i % columns) + "]: captured " +
                        hex(bits(captured[i]), 8 * sizeof(T)) + ", emulated " +
                        hex(bits(emulated[i]), 8 * sizeof(T));
  }
  return {"kernel.attention." + stage, std::move(part), ""};
}

template <typename Table>
Function by_table(Table table, std::uint32_t (*function)(const Table&, std::uint32_t)) {
  return [table = std::move(table), function](float x) {
    return std::bit_cast<float>(function(table, bits(x)));
  };
}

Compared open(const CaptureReader& file, const std::string& stage) {
  return {"kernel.attention." + stage,
          {.file = file.name(), .what = "one CTA"},
          "no coefficient table for this stage's function: nothing compared"};
}

}  // namespace

std::vector<Compared> compare_attention(const CaptureReader& file, const Context& context) {
  const std::uint64_t seed = file.number("seed");
  const Codes q = codes(file, "q_codes", kRows * kChannels);
  const Codes k = codes(file, "k_codes", kKeys * kChannels);
  const Codes v = codes(file, "v_codes", kKeys * kChannels);
  const Codes p_codes = codes(file, "p_codes", kRows * kKeys);
  const Floats scales = file.floats("scales", 3), a = file.floats("a", kRows * kKeys);
  const Floats s = file.floats("s", kRows * kKeys), p = file.floats("p", kRows * kKeys);
  const Floats m = file.floats("m", kBlocks * kRows), alpha = file.floats("alpha", kBlocks * kRows);
  const Floats l = file.floats("l", kRows), r = file.floats("r", kRows);
  const Floats o = file.floats("o", kRows * kChannels);
  const std::vector<std::uint32_t> words = file.words("out", kRows * kChannels);
  const std::vector<std::uint16_t> out(words.begin(), words.end());

  const Quantised own[] = {quantise(seed, 0, q.size()), quantise(seed, 1, k.size()),
                           quantise(seed, 2, v.size())};
  std::vector<Compared> list;
  list.push_back(
      compared(file, "scales", 3, scales, Floats{own[0].scale, own[1].scale, own[2].scale}));
  list.push_back(compared(file, "q_codes", kChannels, q, own[0].codes));
  list.push_back(compared(file, "k_codes", kChannels, k, own[1].codes));
  list.push_back(compared(file, "v_codes", kChannels, v, own[2].codes));
  list.push_back(compared(file, "a", kKeys, a, products(q, k)));
  list.push_back(compared(file, "s", kKeys, s, scores(a, scales[0], scales[1])));
  list.push_back(compared(file, "m", kRows, m, maxima(s)));
  if (context.ex2) {
    const Function ex2 = by_table(ex2_table(*context.ex2), ex2_bits);
    list.push_back(compared(file, "alpha", kRows, alpha, rescales(m, ex2)));
    list.push_back(compared(file, "p", kKeys, p, weights(s, m, ex2)));
  } else {
    list.push_back(open(file, "alpha"));
    list.push_back(open(file, "p"));
  }
  list.push_back(compared(file, "p_codes", kKeys, p_codes, weight_codes(p)));
  list.push_back(compared(file, "l", 1, l, row_sums(p, alpha)));
  if (context.rcp) {
    Floats own_r;
    const Function rcp = by_table(Interpolator(*context.rcp), rcp_bits);
    for (const float x : l) own_r.push_back(rcp(x));
    list.push_back(compared(file, "r", 1, r, own_r));
  } else {
    list.push_back(open(file, "r"));
  }
  list.push_back(compared(file, "o", kChannels, o, outputs(p_codes, v, alpha)));
  list.push_back(compared(file, "out", kChannels, out, finished(o, r, scales[2])));
  return list;
}

}  // namespace karat::evidence
