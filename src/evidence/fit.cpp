// Fits by linear inequalities. In one segment the captured value v of argument x says
//   v <= p0 + p1 x + p2 s(x) < v + 1,   s(x) = floor(x^2 / 2^dropped),   in units of 2^-23;
// 2^17 such pairs leave a polytope so small that its lattice points are the hardware's
// coefficients.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "karat/evidence/interpolator.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::evidence {
namespace {

/// Doubles carry the inequalities with errors below 1e-9 units; integers decide at the end.
constexpr double kTolerance = 1e-8;
constexpr int kMostRounds = 60;
constexpr int kChunks = 16;  ///< the worst of each chunk of arguments becomes a cut
constexpr int kFinestBits = 36;
constexpr int kNeighbours = 2;  ///< lattice lines tried on each side of the polytope's middle

/// p0 is any number between these; the gap is low - high: feasible when it is not positive.
struct Bounds {
  double low, high;
  double gap() const { return low - high; }
};

/// Minimum of a convex function by golden sections.
template <typename Function>
double argmin(double low, double high, int steps, const Function& f) {
  constexpr double kRatio = 0.6180339887498949;
  double a = high - kRatio * (high - low), b = low + kRatio * (high - low);
  double fa = f(a), fb = f(b);
  for (int i = 0; i < steps; ++i) {
    if (fa < fb) {
      high = b;
      b = a;
      fb = fa;
      a = high - kRatio * (high - low);
      fa = f(a);
    } else {
      low = a;
      a = b;
      fa = fb;
      b = low + kRatio * (high - low);
      fb = f(b);
    }
  }
  return fa < fb ? a : b;
}

/// One segment's values and the cuts found so far, for one squarer.
class Segment {
 public:
  Segment(std::span<const std::uint32_t> values, std::span<const double> squares)
      : values_(values), squares_(squares) {
    const double last = static_cast<double>(values.size() - 1);
    slope_ = (value(values.size() - 1) - value(0)) / last;
    const std::size_t middle = values.size() / 2;
    const double bend = value(0) + slope_ * static_cast<double>(middle) - value(middle);
    const double s =
        squares[values.size() - 1] * static_cast<double>(middle) / last - squares[middle];
    if (s <= 0) return;
    bendable_ = true;
    p2_ = bend / s;
    p2_reach_ = 4 / s;
    for (std::size_t i = 0; i < 33; ++i) cuts_.push_back(i * (values.size() - 1) / 32);
  }

  /// Is there any (p1, p2)? Leaves the middle of the polytope in p2().
  bool feasible() {
    if (!bendable_) return false;
    return settle([&] {
      p2_ = argmin(p2_ - p2_reach_, p2_ + p2_reach_, 70,
                   [&](double p2) { return gap_at(p2, slope_at(p2)); });
      p1_ = slope_at(p2_);
    });
  }
  /// Is there any p1 for this p2? Leaves the best in p1().
  bool feasible(double p2) {
    p2_ = p2;
    return settle([&] { p1_ = slope_at(p2); });
  }
  bool feasible(double p2, double p1) {
    p2_ = p2;
    p1_ = p1;
    return settle([] {});
  }
  double p1() const { return p1_; }
  double p2() const { return p2_; }

 private:
  double value(std::size_t i) const { return static_cast<double>(values_[i]); }

  /// What v leaves for p0 at argument i.
  double left(std::size_t i, double p2, double p1) const {
    const double x = static_cast<double>(i);
    return (value(i) - slope_ * x) - p2 * squares_[i] - (p1 - slope_) * x;
  }
  double gap_at(double p2, double p1) const {
    Bounds b{-1e300, 1e300};
    for (const std::size_t i : cuts_) {
      const double rest = left(i, p2, p1);
      b.low = std::max(b.low, rest);
      b.high = std::min(b.high, rest + 1);
    }
    return b.gap();
  }
  /// Best p1 for a p2: both ends are met to within one unit, which brackets it.
  double slope_at(double p2) const {
    const std::size_t last = values_.size() - 1;
    const double through_ends = slope_ - p2 * squares_[last] / static_cast<double>(last);
    const double reach = 2 / static_cast<double>(last);
    return argmin(through_ends - reach, through_ends + reach, 60,
                  [&](double p1) { return gap_at(p2, p1); });
  }

  /// Solves on the cuts, adds the worst arguments as cuts, until all are met or the cuts refuse.
  template <typename Solve>
  bool settle(const Solve& solve) {
    for (int round = 0; round < kMostRounds; ++round) {
      solve();
      if (gap_at(p2_, p1_) > kTolerance) return false;
      if (add_worst() <= kTolerance) return true;
    }
    return false;
  }
  /// @return the gap over all arguments
  double add_worst() {
    Bounds all{-1e300, 1e300};
    const std::size_t chunk = values_.size() / kChunks;
    std::vector<std::size_t> worst;
    for (std::size_t first = 0; first < values_.size(); first += chunk) {
      double low = -1e300, high = 1e300;
      std::size_t at_low = first, at_high = first;
      for (std::size_t i = first; i < first + chunk; ++i) {
        const double rest = left(i, p2_, p1_);
        if (rest > low) {
          low = rest;
          at_low = i;
        }
        if (rest < high) {
          high = rest;
          at_high = i;
        }
      }
      worst.push_back(at_low);
      worst.push_back(at_high);
      all = {std::max(all.low, low), std::min(all.high, high + 1)};
    }
    cuts_.insert(cuts_.end(), worst.begin(), worst.end());
    std::sort(cuts_.begin(), cuts_.end());
    cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
    return all.gap();
  }

  std::span<const std::uint32_t> values_;
  std::span<const double> squares_;
  std::vector<std::size_t> cuts_;
  bool bendable_ = false;
  double slope_ = 0, p1_ = 0, p2_ = 0, p2_reach_ = 0;
};

/// Multiples of `unit` around a number, nearest first.
std::vector<std::int64_t> multiples_around(double x, double unit) {
  const auto nearest = static_cast<std::int64_t>(std::llround(x / unit));
  std::vector<std::int64_t> list{nearest};
  for (int i = 1; i <= kNeighbours; ++i) {
    list.push_back(nearest + i);
    list.push_back(nearest - i);
  }
  return list;
}

/// The fit of all segments for one squarer.
class Fit {
 public:
  Fit(std::span<const std::uint32_t> values, const FitShape& shape, int dropped)
      : values_(values),
        shape_(shape),
        width_(kFractionBits - shape.segment_bits),
        dropped_(dropped) {
    const std::size_t size = std::size_t{1} << width_;
    for (std::uint64_t x = 0; x < size; ++x)
      squares_.push_back(static_cast<double>((x * x) >> dropped));
    for (std::size_t i = 0; i < std::size_t{1} << shape.segment_bits; ++i)
      segments_.emplace_back(values.subspan(i * size, size), squares_);
    table_ = {.segment_bits = shape.segment_bits,
              .square_dropped = dropped,
              .f0 = 0,
              .f1 = 0,
              .f2 = 0,
              .segments = {}};
    table_.segments.resize(segments_.size());
  }

  std::optional<QuadraticTable> table() {
    // One segment refuses nearly every wrong squarer; it is asked before the others.
    if (!segments_.front().feasible() || !segments_.back().feasible()) return std::nullopt;
    if (!for_all([](Segment& s, std::size_t) { return s.feasible(); })) return std::nullopt;
    middles_.resize(segments_.size());
    for (std::size_t i = 0; i < segments_.size(); ++i) middles_[i] = segments_[i].p2();
    if (!fit_coefficient(2, table_.f2,
                         [&](Segment& s, std::size_t i) { return s.feasible(coefficient(i, 2)); }))
      return std::nullopt;
    for (std::size_t i = 0; i < segments_.size(); ++i) middles_[i] = segments_[i].p1();
    if (!fit_coefficient(1, table_.f1, [&](Segment& s, std::size_t i) {
          return s.feasible(coefficient(i, 2), coefficient(i, 1));
        }))
      return std::nullopt;
    if (!fit_constants()) return std::nullopt;
    const Interpolator unit(table_);
    for (std::uint32_t i = 0; i < values_.size(); ++i)
      if (unit(i) != values_[i]) return std::nullopt;
    return table_;
  }

  /// Segments without any real-valued quadratic.
  std::vector<int> refused() {
    std::vector<char> good(segments_.size());
    for_all([&](Segment& s, std::size_t i) { return good[i] = s.feasible(); });
    std::vector<int> list;
    for (std::size_t i = 0; i < good.size(); ++i)
      if (!good[i]) list.push_back(static_cast<int>(i));
    return list;
  }

 private:
  /// Of c2 (place 2) or c1 (place 1), in units of the results.
  double unit(std::size_t place) const {
    return std::ldexp(1, place == 2 ? kFractionBits - table_.f2 - 2 * width_ + dropped_
                                    : kFractionBits - table_.f1 - width_);
  }
  double coefficient(std::size_t segment, std::size_t place) const {
    return static_cast<double>(table_.segments[segment][place]) * unit(place);
  }

  template <typename Body>
  bool for_all(const Body& body) {
    std::vector<char> good(segments_.size());
    numerics::parallel_for(segments_.size(), shape_.threads,
                           [&](std::size_t i, int) { good[i] = body(segments_[i], i); });
    return std::all_of(good.begin(), good.end(), [](char g) { return g; });
  }
  /// The smallest number of fraction bits for which every segment has a coefficient near the
  /// middle of what its cuts leave.
  template <typename Feasible>
  bool fit_coefficient(std::size_t place, int& bits, const Feasible& feasible) {
    const auto any = [&](Segment& s, std::size_t i) {
      for (const std::int64_t c : multiples_around(middles_[i], unit(place))) {
        table_.segments[i][place] = c;
        if (feasible(s, i)) return true;
      }
      return false;
    };
    for (bits = 8; bits <= kFinestBits; ++bits)
      if (any(segments_.front(), 0) && for_all(any)) return true;
    return false;
  }

  /// c0 of every segment, in integers: the multiple of the coarsest power of two between the
  /// bounds.
  bool fit_constants() {
    const int grid1 = table_.f1 + width_, grid2 = table_.f2 + 2 * width_ - dropped_;
    const int grid = std::max({grid1, grid2, kFractionBits});
    if (grid > kFinestGrid) return false;
    const std::int64_t unit = std::int64_t{1} << (grid - kFractionBits);
    std::vector<std::int64_t> lows, highs;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      std::int64_t low = INT64_MIN, high = INT64_MAX;
      const std::size_t size = std::size_t{1} << width_;
      for (std::uint64_t x = 0; x < size; ++x) {
        const auto square = static_cast<std::int64_t>((x * x) >> dropped_);
        const std::int64_t rest =
            values_[i * size + x] * unit -
            (table_.segments[i][1] << (grid - grid1)) * static_cast<std::int64_t>(x) -
            (table_.segments[i][2] << (grid - grid2)) * square;
        low = std::max(low, rest);
        high = std::min(high, rest + unit - 1);
      }
      if (low > high) return false;
      lows.push_back(low);
      highs.push_back(high);
    }
    int coarse = grid;
    const auto multiple = [](std::int64_t low, int bits) {
      return (low + (std::int64_t{1} << bits) - 1) >> bits;
    };
    for (std::size_t i = 0; i < lows.size(); ++i)
      while (multiple(lows[i], coarse) << coarse > highs[i]) --coarse;
    table_.f0 = grid - coarse;
    for (std::size_t i = 0; i < lows.size(); ++i) table_.segments[i][0] = multiple(lows[i], coarse);
    return true;
  }

  std::span<const std::uint32_t> values_;
  FitShape shape_;
  int width_, dropped_;
  std::vector<double> squares_;
  std::vector<Segment> segments_;
  std::vector<double> middles_;
  QuadraticTable table_;
};

}  // namespace

FitResult fit_octave(std::span<const std::uint32_t> values, const FitShape& shape) {
  if (values.size() != std::size_t{1} << kFractionBits)
    throw Error(ErrorKind::usage, "octave", std::to_string(values.size()) + " values",
                "an octave has 2^23");
  const int coarsest = 2 * (kFractionBits - shape.segment_bits) - 2;
  for (int dropped = coarsest; dropped >= 0; --dropped)
    if (std::optional<QuadraticTable> table = Fit(values, shape, dropped).table())
      return {std::move(table), dropped, {}};
  // Nothing fits: name the squarer that explains most segments, and the others.
  FitResult result;
  for (int dropped = coarsest; dropped >= 0; --dropped) {
    std::vector<int> refused = Fit(values, shape, dropped).refused();
    if (dropped == coarsest || refused.size() < result.refused.size())
      result = {std::nullopt, dropped, std::move(refused)};
  }
  return result;
}

}  // namespace karat::evidence
