// Private: the captured attention kernel, stage by stage, each stage from the one before it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace karat::evidence::attention {

using Codes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;
using Function = std::function<float(float)>;

struct Quantised {
  Codes codes;
  float scale = 0;
};

/// Shapes: rows x keys for a, s, p, p_codes; blocks x rows for m, alpha; rows for l, r; rows x
/// channels for o, out. All row-major.
struct Stages {
  Quantised q, k, v;
  Floats a, s, m, alpha, p;
  Codes p_codes;
  Floats l, r, o;
  std::vector<std::uint16_t> out;
};

/// scale = amax / 448, code = round(x / scale), x = attention_input(seed, stream, i).
Quantised quantise(std::uint64_t seed, int operand, std::size_t count);
/// One chain of four E4M3 wgmma per element.
Floats products(const Codes& q, const Codes& k);
/// s = a * ((s_q * s_k) * kScoreScale).
Floats scores(const Floats& a, float s_q, float s_k);
/// Running maxima after each block.
Floats maxima(const Floats& s);
/// alpha = ex2(m_before - m), m before the first block -Inf.
Floats rescales(const Floats& m, const Function& ex2);
/// p = ex2(s - m of its block).
Floats weights(const Floats& s, const Floats& m, const Function& ex2);
/// round(448 * p).
Codes weight_codes(const Floats& p);
/// Four partial sums per row (column n goes to (n / 2) % 4), rescaled per block, columns ascending;
/// (l0 + l2) + (l1 + l3).
Floats row_sums(const Floats& p, const Floats& alpha);
/// o = o * alpha + chain of four wgmma over the block's keys.
Floats outputs(const Codes& p, const Codes& v, const Floats& alpha);
/// bf16((o * r) * (s_v / 448)).
std::vector<std::uint16_t> finished(const Floats& o, const Floats& r, float s_v);

/// All stages in order, as the kernel would write them with these functions.
Stages run(std::uint64_t seed, const Function& ex2, const Function& rcp);

}  // namespace karat::evidence::attention
