// Fixed-order f64 sums: every lane is an element of its own, so the vector width changes nothing.
// Products of two f32 values are exact in f64, which makes a fused and an unfused q.k equal; P*v is
// rounded before it is added, on every target.
#include "oracle_rows.hpp"

#include <algorithm>
#include <limits>

#include "karat/numerics/base/simd.hpp"
#include "karat/numerics/functions/exp2.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "oracle/oracle_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<double, 8>;
using V = hn::Vec<D>;

/// c[4 x columns] += a[4 x depth] * b[depth x columns], depth ascending; columns a multiple of 16.
template <bool kFused>
void Panel(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t depth,
           double* c, size_t c_stride, size_t columns) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const auto step = [](V x, V y, V sum) HWY_ATTR {
    return kFused ? hn::MulAdd(x, y, sum) : hn::Add(hn::Mul(x, y), sum);
  };
  for (size_t j = 0; j < columns; j += 2 * lanes) {
    V sum[4][2];
    HWY_UNROLL(4) for (size_t r = 0; r < 4; ++r) {
      sum[r][0] = hn::LoadU(d, c + r * c_stride + j);
      sum[r][1] = hn::LoadU(d, c + r * c_stride + j + lanes);
    }
    for (size_t k = 0; k < depth; ++k) {
      const V b0 = hn::LoadU(d, b + k * b_stride + j);
      const V b1 = hn::LoadU(d, b + k * b_stride + j + lanes);
      HWY_UNROLL(4) for (size_t r = 0; r < 4; ++r) {
        const V x = hn::Set(d, a[r * a_stride + k]);
        sum[r][0] = step(x, b0, sum[r][0]);
        sum[r][1] = step(x, b1, sum[r][1]);
      }
    }
    HWY_UNROLL(4) for (size_t r = 0; r < 4; ++r) {
      hn::StoreU(sum[r][0], d, c + r * c_stride + j);
      hn::StoreU(sum[r][1], d, c + r * c_stride + j + lanes);
    }
  }
}

void Scores(const double* q, const double* kt, size_t stride, size_t channels, double* s) {
  Panel<true>(q, channels, kt, stride, channels, s, stride, stride);
}

void Accumulate(const double* p, size_t stride, size_t keys, const double* v, size_t channels,
                double* o) {
  Panel<false>(p, stride, v, channels, keys, o, channels, channels);
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
HWY_EXPORT(Scores);
HWY_EXPORT(Accumulate);

namespace {
constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
constexpr double kInf = std::numeric_limits<double>::infinity();
}  // namespace

OracleRows::OracleRows(std::size_t r, std::size_t c)
    : rows(r),
      padded(round_up(r, 4)),
      channels(c),
      q(padded * c, 0.0),
      m(padded, -kInf),
      l(padded * 8, 0.0),
      o(padded * c, 0.0) {}

void add_scores(const double* x, const double* yt, std::size_t rows, std::size_t stride,
                std::size_t channels, double* s) {
  for (std::size_t i = 0; i < rows; i += 4) HWY_DYNAMIC_DISPATCH(Scores)
  (x + i * channels, yt, stride, channels, s + i * stride);
}

void add_weighted(const double* p, const double* y, std::size_t rows, std::size_t stride,
                  std::size_t terms, std::size_t channels, double* o) {
  for (std::size_t i = 0; i < rows; i += 4) HWY_DYNAMIC_DISPATCH(Accumulate)
  (p + i * stride, stride, terms, y, channels, o + i * channels);
}

std::vector<double> transposed(const float* x, std::size_t rows, std::size_t channels,
                               std::size_t stride) {
  std::vector<double> xt(channels * stride, 0.0);
  // Sixteen rows at a time: their cache lines stay while every channel is written in one piece.
  for (std::size_t begin = 0; begin < rows; begin += 16)
    for (std::size_t j = 0; j < channels; ++j)
      for (std::size_t i = begin; i < std::min(begin + 16, rows); ++i)
        xt[j * stride + i] = x[i * channels + j];
  return xt;
}

void OracleChunk::load(const float* k, const float* v_rows, std::size_t n, std::size_t channels) {
  keys = n;
  stride = round_up(n, 16);
  k_transposed = transposed(k, n, channels, stride);
  v.assign(v_rows, v_rows + n * channels);
  dropped.clear();
}

void absorb(OracleRows& state, OracleChunk& chunk, double scale) {
  const std::size_t stride = chunk.stride;
  const std::size_t channels = state.channels;
  chunk.s.assign(state.padded * stride, 0.0);
  add_scores(state.q.data(), chunk.k_transposed.data(), state.padded, stride, channels,
             chunk.s.data());
  for (std::size_t i = 0; i < state.rows; ++i) {
    double* s = &chunk.s[i * stride];
    double maximum = state.m[i];
    for (std::size_t n = 0; n < chunk.keys; ++n) {
      s[n] *= scale;
      if (!chunk.dropped.empty() && chunk.dropped[i * chunk.keys + n]) s[n] = -kInf;
      maximum = std::max(maximum, s[n]);
    }
    if (maximum == -kInf) {
      std::fill_n(s, stride, 0.0);
      continue;
    }
    const double alpha = numerics::exp2_f64(state.m[i] - maximum);
    state.m[i] = maximum;
    for (std::size_t n = 0; n < chunk.keys; ++n) s[n] -= maximum;
    numerics::exp2_f64({s, chunk.keys}, {s, chunk.keys});
    std::fill(s + chunk.keys, s + stride, 0.0);
    double* l = &state.l[i * 8];
    for (std::size_t lane = 0; lane < 8; ++lane) l[lane] *= alpha;
    for (std::size_t n = 0; n < stride; n += 8)
      for (std::size_t lane = 0; lane < 8; ++lane) l[lane] += s[n + lane];
    for (std::size_t j = 0; j < channels; ++j) state.o[i * channels + j] *= alpha;
  }
  add_weighted(chunk.s.data(), chunk.v.data(), state.padded, stride, chunk.keys, channels,
               state.o.data());
}

}  // namespace karat::attention
#endif  // HWY_ONCE
