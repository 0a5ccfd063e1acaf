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

/// Costs by number of blocks. Up to kSimulated blocks a tile is simulated as it is, beyond that it
/// is extended by the steady state.
///
/// CTAs that share an SM start at any offset to each other: while one is in its prologue or
/// epilogue (E clocks, what a lone tile takes beyond its blocks), the others run at the pace of
/// fewer residents. A tile of B blocks takes X = E + B / mean pace, where each other CTA is away
/// for a share E / X of the time.
class TileCosts {
 public:
  static constexpr int kSimulated = 32;

  TileCosts(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
            double masked_share)
      : machine_(machine), timing_(timing), plan_(plan), supply_(supply), masked_(masked_share) {}

  /// @param residents CTAs that share the SM, 1..plan.ctas_per_sm
  TileCost at(int blocks, int residents);
  /// Clocks between two blocks of one CTA far inside a tile: every resident computes one in them.
  double steady(int residents);
  /// Share of that time for which the tensor core is busy.
  double tensor_use(int residents);
  std::uint64_t events() const { return events_; }

 private:
  struct Lone {
    double first = 0, next = 0;
    std::array<double, kUnits> busy{};
  };
  const Lone& lone(int blocks);

  const Machine& machine_;
  const Timing& timing_;
  const Plan& plan_;
  Supply supply_;
  double masked_;
  std::map<int, Lone> lone_;
  std::map<std::pair<int, int>, TileCost> known_;
  std::map<int, double> steady_;
  std::uint64_t events_ = 0;
};

}  // namespace karat::hopper
