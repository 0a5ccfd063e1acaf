// The captured kernel is a recipe: its stages are the engine's operations, on the capture's own
// operands and with the functions of the captured GPU.
#include "attention.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "karat/attention/operations/finish.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/attention/operations/row_sum.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/evidence/inputs.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence {
namespace {

constexpr std::size_t kRows = kAttentionRows, kBlock = kAttentionBlock, kBlocks = kAttentionBlocks,
                      kKeys = kAttentionKeys, kChannels = kAttentionChannels;

namespace kernel = karat::attention;
using Codes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

/// What the capture program computes, as a recipe.
const recipe::Recipe& captured_recipe() {
  static const recipe::Recipe recipe = [] {
    recipe::Recipe r{.name = "capture_attention"};
    for (recipe::Operand* operand : {&r.q, &r.k, &r.v}) operand->format = numerics::FormatId::e4m3;
    r.qk.instruction = r.pv.instruction = "hopper.wgmma.e4m3.f32";
    r.p = {.format = numerics::FormatId::e4m3, .multiplier = kLargestE4m3};
    r.pv.promote_every = static_cast<int>(kBlock);
    return r;
  }();
  return recipe;
}

const kernel::Kernel& captured() {
  static const kernel::Kernel captured(captured_recipe(), kChannels);
  return captured;
}

constexpr auto flush = numerics::flush_subnormal;

std::uint8_t e4m3(float x) {
  static const numerics::Policy policy = numerics::policy("nvidia_satfinite");
  return static_cast<std::uint8_t>(numerics::encode(x, numerics::FormatId::e4m3, policy));
}

float chain(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b) {
  static const numerics::Instruction& wgmma = numerics::instruction("hopper.wgmma.e4m3.f32");
  return std::bit_cast<float>(numerics::chain_bits(wgmma, a, b, 0));
}

/// scale = amax / 448, code = round(x / scale), x = attention_input(seed, stream, i). @return scale
float quantise(std::uint64_t seed, Stream stream, std::size_t count, Codes& codes) {
  Floats x;
  float amax = 0;
  for (std::size_t i = 0; i < count; ++i) {
    x.push_back(attention_input(seed, stream, static_cast<std::uint32_t>(i)));
    amax = std::max(amax, std::fabs(x.back()));
  }
  const float scale = flush(amax / kLargestE4m3);
  codes.clear();
  for (const float value : x) codes.push_back(e4m3(flush(value / scale)));
  return scale;
}

/// One chain of four E4M3 wgmma per element.
Floats products(const Codes& q, const Codes& k) {
  const std::vector<std::uint32_t> rows(q.begin(), q.end()), columns(k.begin(), k.end());
  Floats a;
  for (std::size_t i = 0; i < kRows; ++i)
    for (std::size_t j = 0; j < kKeys; ++j)
      a.push_back(chain(std::span(rows).subspan(i * kChannels, kChannels),
                        std::span(columns).subspan(j * kChannels, kChannels)));
  return a;
}

Floats scores(const Floats& a, float s_q, float s_k) {
  Floats s;
  for (const float x : a) s.push_back(kernel::score(captured(), x, s_q, s_k));
  return s;
}

/// Running maxima after each block.
Floats maxima(const Floats& s) {
  Floats m;
  Floats running(kRows, captured().initial_max);
  for (std::size_t block = 0; block < kBlocks; ++block)
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto first = s.begin() + static_cast<std::ptrdiff_t>(i * kKeys + block * kBlock);
      const float maximum = *std::max_element(first, first + kBlock);
      running[i] = kernel::next_maximum(captured(), running[i], maximum, 1.0f);
      m.push_back(running[i]);
    }
  return m;
}

/// 2 to the fall of the maxima, from -Inf before the first block.
Floats rescales(const Floats& m, const Function& ex2) {
  Floats alpha;
  for (std::size_t i = 0; i < m.size(); ++i) {
    const float before = i < kRows ? captured().initial_max : m[i - kRows];
    alpha.push_back(ex2(kernel::alpha_exponent(captured(), before, m[i], 1.0f)));
  }
  return alpha;
}

/// 2 to the scores below the maximum of their block.
Floats weights(const Floats& s, const Floats& m, const Function& ex2) {
  Floats p(s.size());
  for (std::size_t first = 0; first < s.size(); first += kBlock) {
    const float maximum = m[first % kKeys / kBlock * kRows + first / kKeys];
    kernel::p_exponents(captured(), {.s = {&s[first], kBlock}, .base = {}, .factor = {}}, maximum,
                        1.0f, {&p[first], kBlock});
  }
  for (float& x : p) x = ex2(x);
  return p;
}

Codes weight_codes(const Floats& p) {
  Floats values;
  for (const float x : p) values.push_back(kernel::cast_operand(captured(), x));
  Codes codes(values.size());
  kernel::cast_p(captured(), values, numerics::Path::fast, codes);
  return codes;
}

Floats row_sums(const Floats& p, const Floats& alpha) {
  Floats l;
  for (std::size_t i = 0; i < kRows; ++i) {
    kernel::PartialSums<float> sums{};
    for (std::size_t block = 0; block < kBlocks; ++block)
      kernel::add_to_row_sum(captured(), std::span(&p[i * kKeys + block * kBlock], kBlock),
                             alpha[block * kRows + i], sums);
    l.push_back(kernel::row_sum(captured(), sums));
  }
  return l;
}

Floats outputs(const Codes& p, const Codes& v, const Floats& alpha) {
  /// 2 to the scores below the maximum of their block.
  Floats weights(p.size()), values(v.size()), o(kRows * kChannels);
  numerics::decode(p, weights, numerics::FormatId::e4m3);
  numerics::decode(v, values, numerics::FormatId::e4m3);
  const kernel::Values columns{numerics::row_major<const float>(values.data(), kKeys, kChannels)};
  for (std::size_t block = 0; block < kBlocks; ++block) {
    const auto first = static_cast<std::int64_t>(block * kBlock);
    kernel::add_pv<float>(captured(), {&weights[block * kBlock], kRows, kBlock, kKeys, 1}, {},
                          columns, {first, first + static_cast<std::int64_t>(kBlock)},
                          {&alpha[block * kRows], kRows}, o, numerics::Path::scalar);
  }
  return o;
}

std::vector<std::uint16_t> finished(const Floats& o, const Floats& r, float s_v) {
  const Floats factors(kChannels, captured().fp32.divide(s_v, captured().multiplier));
  Floats x = o;
  for (std::size_t i = 0; i < kRows; ++i)
    kernel::finish_row(
        captured(), std::span(&x[i * kChannels], kChannels), [&](std::size_t) { return r[i]; },
        {factors, {}}, numerics::Path::fast);
  std::vector<std::uint16_t> out(x.size());
  numerics::round_to_bf16(x, out);
  return out;
}

}  // namespace

void compute(Stages& to, const Stages& from, std::uint64_t seed, const Function& ex2,
             const Function& rcp) {
  to.scales = {quantise(seed, Stream::attention_q, kRows * kChannels, to.q_codes),
               quantise(seed, Stream::attention_k, kKeys * kChannels, to.k_codes),
               quantise(seed, Stream::attention_v, kKeys * kChannels, to.v_codes)};
  to.a = products(from.q_codes, from.k_codes);
  to.s = scores(from.a, from.scales[0], from.scales[1]);
  to.m = maxima(from.s);
  if (ex2) {
    to.alpha = rescales(from.m, ex2);
    to.p = weights(from.s, from.m, ex2);
  }
  to.p_codes = weight_codes(from.p);
  to.l = row_sums(from.p, from.alpha);
  if (rcp) {
    to.r.clear();
    for (const float l : from.l) to.r.push_back(rcp(l));
  }
  to.o = outputs(from.p_codes, from.v_codes, from.alpha);
  to.out = finished(from.o, from.r, from.scales[2]);
}

}  // namespace karat::evidence
