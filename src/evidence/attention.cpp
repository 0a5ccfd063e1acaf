// The captured kernel's arithmetic: FP32 nearest-even, one rounding per operation, subnormal
// results flushed, products by wgmma.
#include "attention.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "karat/evidence/inputs.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence::attention {
namespace {

constexpr std::size_t kRows = kAttentionRows, kBlock = kAttentionBlock, kBlocks = kAttentionBlocks,
                      kKeys = kAttentionKeys, kChannels = kAttentionChannels;

float flush(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

std::uint8_t e4m3(float x) {
  static const numerics::Policy policy = numerics::policy("nvidia_satfinite");
  return static_cast<std::uint8_t>(numerics::encode(x, numerics::FormatId::e4m3, policy));
}

float chain(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b) {
  static const numerics::Instruction& wgmma = numerics::instruction("hopper.wgmma.e4m3.f32");
  return std::bit_cast<float>(numerics::chain_bits(wgmma, a, b, 0));
}

}  // namespace

Quantised quantise(std::uint64_t seed, int operand, std::size_t count) {
  const auto stream = static_cast<Stream>(static_cast<int>(Stream::attention_q) + operand);
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i)
    x[i] = attention_input(seed, stream, static_cast<std::uint32_t>(i));
  float amax = 0;
  for (const float value : x) amax = std::max(amax, std::fabs(value));
  Quantised result{.codes = {}, .scale = flush(amax / kLargestE4m3)};
  for (const float value : x) result.codes.push_back(e4m3(flush(value / result.scale)));
  return result;
}

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
  const float factor = flush(flush(s_q * s_k) * kScoreScale);
  Floats s;
  for (const float x : a) s.push_back(flush(x * factor));
  return s;
}

Floats maxima(const Floats& s) {
  Floats m;
  Floats running(kRows, -std::numeric_limits<float>::infinity());
  for (std::size_t block = 0; block < kBlocks; ++block)
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto first = s.begin() + static_cast<std::ptrdiff_t>(i * kKeys + block * kBlock);
      running[i] = std::max(running[i], *std::max_element(first, first + kBlock));
      m.push_back(running[i]);
    }
  return m;
}

Floats rescales(const Floats& m, const Function& ex2) {
  Floats alpha;
  for (std::size_t i = 0; i < m.size(); ++i) {
    const float before = i < kRows ? -std::numeric_limits<float>::infinity() : m[i - kRows];
    alpha.push_back(ex2(flush(before - m[i])));
  }
  return alpha;
}

Floats weights(const Floats& s, const Floats& m, const Function& ex2) {
  Floats p;
  for (std::size_t i = 0; i < s.size(); ++i)
    p.push_back(ex2(flush(s[i] - m[i % kKeys / kBlock * kRows + i / kKeys])));
  return p;
}

Codes weight_codes(const Floats& p) {
  Codes codes;
  for (const float x : p) codes.push_back(e4m3(flush(kLargestE4m3 * x)));
  return codes;
}

Floats row_sums(const Floats& p, const Floats& alpha) {
  Floats l;
  for (std::size_t i = 0; i < kRows; ++i) {
    float part[4] = {};
    for (std::size_t j = 0; j < kKeys; ++j) {
      if (j % kBlock == 0)
        for (float& x : part) x = flush(x * alpha[j / kBlock * kRows + i]);
      float& x = part[j / 2 % 4];
      x = flush(x + p[i * kKeys + j]);
    }
    l.push_back(flush(flush(part[0] + part[2]) + flush(part[1] + part[3])));
  }
  return l;
}

Floats outputs(const Codes& p, const Codes& v, const Floats& alpha) {
  Floats o(kRows * kChannels);
  std::vector<std::uint32_t> row(kBlock), column(kBlock);
  for (std::size_t block = 0; block < kBlocks; ++block)
    for (std::size_t j = 0; j < kChannels; ++j) {
      for (std::size_t n = 0; n < kBlock; ++n) column[n] = v[(block * kBlock + n) * kChannels + j];
      for (std::size_t i = 0; i < kRows; ++i) {
        const auto first = p.begin() + static_cast<std::ptrdiff_t>(i * kKeys + block * kBlock);
        std::copy(first, first + kBlock, row.begin());
        float& x = o[i * kChannels + j];
        x = flush(flush(x * alpha[block * kRows + i]) + chain(row, column));
      }
    }
  return o;
}

std::vector<std::uint16_t> finished(const Floats& o, const Floats& r, float s_v) {
  const float factor = flush(s_v / kLargestE4m3);
  std::vector<float> x;
  for (std::size_t i = 0; i < o.size(); ++i)
    x.push_back(flush(flush(o[i] * r[i / kChannels]) * factor));
  std::vector<std::uint16_t> out(x.size());
  numerics::round_to_bf16(x, out);
  return out;
}

Stages run(std::uint64_t seed, const Function& ex2, const Function& rcp) {
  Stages x;
  x.q = quantise(seed, 0, kRows * kChannels);
  x.k = quantise(seed, 1, kKeys * kChannels);
  x.v = quantise(seed, 2, kKeys * kChannels);
  x.a = products(x.q.codes, x.k.codes);
  x.s = scores(x.a, x.q.scale, x.k.scale);
  x.m = maxima(x.s);
  x.alpha = rescales(x.m, ex2);
  x.p = weights(x.s, x.m, ex2);
  x.p_codes = weight_codes(x.p);
  x.l = row_sums(x.p, x.alpha);
  for (const float l : x.l) x.r.push_back(rcp(l));
  x.o = outputs(x.p_codes, x.v.codes, x.alpha);
  x.out = finished(x.o, x.r, x.v.scale);
  return x;
}

}  // namespace karat::evidence::attention
