// Fixed-order f64 sums: every lane is an element of its own, so the vector width changes nothing.
// Products of two f32 values are exact in f64, which makes a fused and an unfused q.k equal; P*v is
// rounded before it is added, on every target.
#include "oracle_rows.hpp"

#include <algorithm>
#include <limits>

#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/base/simd.hpp"
#include "karat/numerics/functions/exp2.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "oracle/oracle_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using OracleD = hn::CappedTag<double, 8>;
using OracleV = hn::Vec<OracleD>;
using OracleNarrow = hn::Rebind<float, OracleD>;

/// Rows whose sums of two vectors stay in registers, of which AVX-512 has 32 and AVX2 16.
constexpr size_t kTileRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;
/// What a product does with the sums that are there.
enum class Sums { begin_at_zero, go_on };

/// c[kRows x 2 vectors] = a[kRows x depth] * b[depth x 16], depth ascending; sums that begin at
/// zero are scaled at their end.
template <size_t kRows, bool kFused, Sums kSums>
HWY_INLINE void Tile(const double* HWY_RESTRICT a, size_t a_stride, const double* HWY_RESTRICT b,
                     size_t depth, double scale, double* HWY_RESTRICT c, size_t c_stride) {
  const OracleD d;
  const size_t lanes = hn::Lanes(d);
  OracleV sum[kRows][2];
  HWY_UNROLL(8) for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(2) for (size_t v = 0; v < 2; ++v) {
      sum[r][v] = kSums == Sums::go_on ? hn::LoadU(d, c + r * c_stride + v * lanes) : hn::Zero(d);
    }
  }
  for (size_t k = 0; k < depth; ++k) {
    const OracleV b0 = hn::Load(d, b + k * kPanelColumns);
    const OracleV b1 = hn::Load(d, b + k * kPanelColumns + lanes);
    HWY_UNROLL(8) for (size_t r = 0; r < kRows; ++r) {
      const OracleV x = hn::Set(d, a[r * a_stride + k]);
      if constexpr (kFused) {
        sum[r][0] = hn::MulAdd(x, b0, sum[r][0]);
        sum[r][1] = hn::MulAdd(x, b1, sum[r][1]);
      } else {
        sum[r][0] = hn::Add(sum[r][0], hn::Mul(x, b0));
        sum[r][1] = hn::Add(sum[r][1], hn::Mul(x, b1));
      }
    }
  }
  HWY_UNROLL(8) for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(2) for (size_t v = 0; v < 2; ++v) {
      const OracleV made = kSums == Sums::go_on ? sum[r][v] : hn::Mul(sum[r][v], hn::Set(d, scale));
      hn::StoreU(made, d, c + r * c_stride + v * lanes);
    }
  }
}

/// All rows meet one panel.
template <bool kFused, Sums kSums>
void PanelOfRows(const double* a, size_t a_stride, const double* b, size_t depth, double scale,
                 size_t rows, double* c, size_t c_stride) {
  const size_t width = 2 * hn::Lanes(OracleD());
  for (size_t j = 0; j < kPanelColumns; j += width) {
    const double* from = a;
    double* to = c + j;
    size_t left = rows;
    for (; left >= kTileRows; left -= kTileRows) {
      Tile<kTileRows, kFused, kSums>(from, a_stride, b + j, depth, scale, to, c_stride);
      from += kTileRows * a_stride;
      to += kTileRows * c_stride;
    }
    for (; left >= 4; left -= 4) {
      Tile<4, kFused, kSums>(from, a_stride, b + j, depth, scale, to, c_stride);
      from += 4 * a_stride;
      to += 4 * c_stride;
    }
    for (; left > 0; --left) {
      Tile<1, kFused, kSums>(from, a_stride, b + j, depth, scale, to, c_stride);
      from += a_stride;
      to += c_stride;
    }
  }
}

void Scores(const double* x, const double* panels, size_t rows, size_t stride, size_t channels,
            double scale, double* s) {
  for (size_t n = 0; n < stride; n += kPanelColumns)
    PanelOfRows<true, Sums::begin_at_zero>(x, channels, panels + n * channels, channels, scale,
                                           rows, s + n, stride);
}

void Accumulate(const double* p, const double* panels, size_t rows, size_t stride, size_t terms,
                size_t channels, double* o) {
  // As many terms at a time as leave a panel in the first-level cache beside the rows.
  constexpr size_t kTerms = 128;
  for (size_t first = 0; first < terms; first += kTerms) {
    const size_t count = HWY_MIN(kTerms, terms - first);
    for (size_t j = 0; j < channels; j += kPanelColumns)
      PanelOfRows<false, Sums::go_on>(p + first, stride, panels + j * terms + first * kPanelColumns,
                                      count, 1.0, rows, o + j, channels);
  }
}

void ValuePanels(const float* rows, size_t count, size_t channels, double* panels) {
  const OracleD d;
  for (size_t j = 0; j < channels; j += kPanelColumns)
    for (size_t n = 0; n < count; ++n, panels += kPanelColumns)
      for (size_t e = 0; e < kPanelColumns; e += hn::Lanes(d))
        hn::Store(hn::PromoteTo(d, hn::LoadU(OracleNarrow(), rows + n * channels + j + e)), d,
                  panels + e);
}

/// The largest of n elements, a multiple of 16, and of `maximum`; NaN left out.
double MaximumOfRow(const double* s, size_t n, double maximum) {
  const OracleD d;
  constexpr size_t kLanes = hn::MaxLanes(OracleD()), kApart = kPanelColumns / kLanes;
  OracleV largest[kApart];
  for (OracleV& x : largest) x = hn::Set(d, maximum);
  for (size_t i = 0; i < n; i += kPanelColumns) {
    HWY_UNROLL(8) for (size_t v = 0; v < kApart; ++v) {
      const OracleV x = hn::Load(d, s + i + v * kLanes);
      largest[v] = hn::IfThenElse(hn::Lt(largest[v], x), x, largest[v]);
    }
  }
  HWY_ALIGN double lanes[kPanelColumns];
  for (size_t v = 0; v < kApart; ++v) hn::Store(largest[v], d, lanes + v * kLanes);
  for (const double x : lanes) maximum = maximum < x ? x : maximum;
  return maximum;
}

void SubtractFromRow(double* s, size_t n, double subtracted) {
  const OracleD d;
  const OracleV x = hn::Set(d, subtracted);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) hn::Store(hn::Sub(hn::Load(d, s + i), x), d, s + i);
}

/// x *= factor over n elements, a multiple of 8.
void ScaleBy(double* x, size_t n, double factor) {
  const OracleD d;
  const OracleV by = hn::Set(d, factor);
  for (size_t i = 0; i < n; i += hn::Lanes(d))
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), by), d, x + i);
}

/// l[i mod 8] += s[i] over n elements in ascending order.
void AddRow(const double* s, size_t n, double* l) {
  const OracleD d;
  for (size_t lane = 0; lane < 8; lane += hn::Lanes(d)) {
    OracleV sum = hn::LoadU(d, l + lane);
    for (size_t i = 0; i < n; i += 8) sum = hn::Add(sum, hn::Load(d, s + i + lane));
    hn::StoreU(sum, d, l + lane);
  }
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
HWY_EXPORT(Scores);
HWY_EXPORT(Accumulate);
HWY_EXPORT(ValuePanels);
HWY_EXPORT(MaximumOfRow);
HWY_EXPORT(SubtractFromRow);
HWY_EXPORT(ScaleBy);
HWY_EXPORT(AddRow);

namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

/// P of one row of scores, its sums and the past's rescaling.
void absorb_row(OracleRows& state, std::size_t row, double* s, std::size_t stride) {
  const double maximum = HWY_DYNAMIC_DISPATCH(MaximumOfRow)(s, stride, state.m[row]);
  if (maximum == kNone) return std::fill_n(s, stride, 0.0), void();
  const double alpha = numerics::exp2_f64(state.m[row] - maximum);
  state.m[row] = maximum;
  HWY_DYNAMIC_DISPATCH(SubtractFromRow)(s, stride, maximum);
  numerics::exp2_f64({s, stride}, {s, stride});
  double* l = &state.l[row * 8];
  if (alpha != 1) {
    HWY_DYNAMIC_DISPATCH(ScaleBy)(l, 8, alpha);
    HWY_DYNAMIC_DISPATCH(ScaleBy)(&state.o[row * state.channels], state.channels, alpha);
  }
  HWY_DYNAMIC_DISPATCH(AddRow)(s, stride, l);
}

}  // namespace

OracleRows::OracleRows(std::size_t r, std::size_t c)
    : rows(r), channels(c), q(r * c, 0.0), m(r, kNone), l(r * 8, 0.0), o(r * c, 0.0) {}

void make_scores(const double* x, const double* panels, std::size_t rows, std::size_t stride,
                 std::size_t channels, double scale, double* s) {
  HWY_DYNAMIC_DISPATCH(Scores)(x, panels, rows, stride, channels, scale, s);
}

void add_weighted(const double* p, const double* panels, std::size_t rows, std::size_t stride,
                  std::size_t terms, std::size_t channels, double* o) {
  HWY_DYNAMIC_DISPATCH(Accumulate)(p, panels, rows, stride, terms, channels, o);
}

ScorePanels::ScorePanels(std::span<const float> values, std::size_t channels,
                         std::span<const std::int32_t> token_at,
                         std::span<const video::Range> ranges, int threads)
    : width_(whole_panels(channels)) {
  static_assert(kChannelStep == kPanelColumns);
  begin_.push_back(0);
  for (const video::Range range : ranges)
    begin_.push_back(begin_.back() + whole_panels(static_cast<std::size_t>(range.size())) * width_);
  values_.assign(begin_.back(), 0.0f);
  numerics::parallel_for(ranges.size(), threads, [&](std::size_t r, int) {
    float* to = values_.data() + begin_[r];
    for (std::int64_t at = ranges[r].begin; at < ranges[r].end; ++at) {
      const auto n = static_cast<std::size_t>(at - ranges[r].begin);
      if (token_at[at] < 0) continue;
      const float* from = &values[static_cast<std::size_t>(token_at[at]) * channels];
      float* column = to + n / kPanelColumns * width_ * kPanelColumns + n % kPanelColumns;
      for (std::size_t j = 0; j < channels; ++j) column[j * kPanelColumns] = from[j];
    }
  });
}

void ScorePanels::widen_range(std::size_t range, Lines<double>& to) const {
  const std::size_t begin = begin_[range], count = begin_[range + 1] - begin;
  to.reserve(count);
  widen(std::span(values_).subspan(begin, count), to.first(count));
}

void make_value_panels(const float* rows, std::size_t count, std::size_t channels,
                       Lines<double>& panels) {
  panels.reserve(count * channels);
  HWY_DYNAMIC_DISPATCH(ValuePanels)(rows, count, channels, panels.data());
}

std::vector<video::Range> pieces(std::size_t count, std::size_t size) {
  std::vector<video::Range> made;
  for (std::size_t begin = 0; begin < count; begin += size)
    made.push_back({static_cast<std::int64_t>(begin),
                    static_cast<std::int64_t>(std::min(begin + size, count))});
  return made;
}

void OracleChunk::load(const ScorePanels& k_panels, std::size_t range, const float* v_rows,
                       std::size_t n) {
  keys = n;
  stride = whole_panels(n);
  k_panels.widen_range(range, k);
  make_value_panels(v_rows, n, k_panels.width(), v);
}

void absorb(OracleRows& state, OracleChunk& chunk, double scale, const DropScores& drop) {
  // As many rows at a time as leave the chunk in the second-level cache; whole tiles of 6 and 8.
  constexpr std::size_t kRows = 96;
  const std::size_t stride = chunk.stride;
  chunk.s.reserve(std::min(kRows, state.rows) * stride);
  double* s = chunk.s.data();
  for (std::size_t first = 0; first < state.rows; first += kRows) {
    const std::size_t count = std::min(kRows, state.rows - first);
    make_scores(&state.q[first * state.channels], chunk.k.data(), count, stride, state.channels,
                scale, s);
    if (drop) drop({s, count, chunk.keys, stride}, first);
    for (std::size_t i = 0; i < count; ++i) {
      // What lies behind the keys becomes P = 0.
      std::fill_n(s + i * stride + chunk.keys, stride - chunk.keys, kNone);
      absorb_row(state, first + i, s + i * stride, stride);
    }
    add_weighted(s, chunk.v.data(), count, stride, chunk.keys, state.channels,
                 &state.o[first * state.channels]);
  }
}

}  // namespace karat::attention
#endif  // HWY_ONCE
