// Intervals of the accumulator O: the rescaling by alpha, and T = P V where codes of P may flip.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "chain_error.hpp"
#include "free_launch.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "non_finite.hpp"

namespace karat::bounds {

/// Where T of the golden P comes from: the tap, if it has it, or tap.p.
enum class GoldenT { tapped, computed };

class PvBounds {
 public:
  /// References the launch.
  PvBounds(const FreeLaunch& free, int threads);

  /// One key block: `o` (rows x channels) becomes the legal accumulators after it.
  /// Promoted: o = fl(fl(o*alpha) + T), each end through the kernel's roundings; T is exact where
  /// no code can flip, the hull of all combinations where few can, else golden T and a bound around
  /// it. Not promoted: golden o and a bound around it, once anything is free.
  /// @param first_row  of the tap, whose alpha, p and o the first ones are
  void absorb(const attention::BlockTap& tap, std::size_t visit, std::span<const Interval> alpha,
              std::span<const RowP> p, std::span<Interval> o, GoldenT golden_t = GoldenT::tapped,
              std::size_t first_row = 0) const;
  /// How many rows absorb() is best given at a time: so few that P of all stays in the first cache,
  /// or all where a call may pack V.
  std::size_t rows_at_once(std::size_t rows) const {
    return launch_.recipe.pv.promote_every == 0 ? std::min<std::size_t>(8, rows) : rows;
  }

 private:
  struct Segment {
    video::Range keys;          ///< positions
    std::vector<double> v_max;  ///< per channel: largest |v|; Inf for NaN too
  };
  struct Part;
  struct Flips;

  std::vector<Segment> segments_of(video::Range keys) const;
  void promote(const Part& part, std::span<const Interval> alpha, std::span<Interval> o) const;
  void accumulate(const Part& part, const attention::BlockTap& tap, std::size_t visit,
                  std::size_t first_row, std::span<const Interval> alpha,
                  std::span<Interval> o) const;
  /// promoted() of the rescaled o, with the other ways to fuse it where they are allowed; f null
  /// where T is not scaled.
  Interval updated(Interval o, Interval alpha, Interval t, const Interval* f) const;
  void row_of_t(const Part& part, std::size_t row, std::span<const float> golden,
                std::span<Interval> t) const;
  void deviation(const Part& part, std::size_t row, const Flips& flips, double start,
                 std::span<double> widths) const;
  /// start + T where one of them may be no number. `around` counts where none of them is.
  Interval beyond_range(const Part& part, std::size_t row, std::size_t channel, Interval start,
                        double around) const;

  const Launch& launch_;
  Contraction contraction_;
  ChainBound chain_bound_;
  SumRange sums_;
  std::vector<std::vector<Segment>> segments_;  ///< per key block
};

}  // namespace karat::bounds
