// What one query tile costs on an SM, from simulated runs; long tiles follow the steady state.
// Private to the hopper layer.
#pragma once

#include <array>
#include <map>

#include "sm/sm.hpp"

namespace karat::hopper {

struct TileCost {
  double first = 0;                   ///< clocks from launch to the end of a CTA's first tile
  double next = 0;                    ///< clocks a further tile adds to the same CTA slot
  std::array<double, kUnits> busy{};  ///< clocks of work per unit
};

/// Clocks per block once the pipeline repeats itself: the mean over whole periods of the second
/// half of `begins` (one entry per block); a period is the shortest one whose steps recur within
/// 0.1 %, else the half itself.
double steady_clocks(const std::vector<double>& begins);

/// Costs by number of blocks. Up to kSimulated blocks a tile is simulated as it is, beyond that it
/// is extended by the steady state.
class TileCosts {
 public:
  static constexpr int kSimulated = 32;

  TileCosts(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
            double masked_share)
      : machine_(machine), timing_(timing), plan_(plan), supply_(supply), masked_(masked_share) {}

  /// @param residents CTAs that share the SM, 1..plan.ctas_per_sm
  TileCost at(int blocks, int residents);
  /// Clocks per block far inside a tile.
  double steady(int residents);
  /// Share of that time for which the tensor core is busy.
  double tensor_use(int residents);
  std::uint64_t events() const { return events_; }

 private:
  TileCost simulate(int blocks, int residents);

  const Machine& machine_;
  const Timing& timing_;
  const Plan& plan_;
  Supply supply_;
  double masked_;
  std::map<std::pair<int, int>, TileCost> known_;
  std::map<int, double> steady_;
  std::uint64_t events_ = 0;
};

}  // namespace karat::hopper
