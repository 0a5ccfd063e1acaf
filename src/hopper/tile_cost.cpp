// Simulated tiles, remembered by number of blocks, and the steady state that extends them.
#include "tile_cost.hpp"

#include <algorithm>
#include <cmath>

namespace karat::hopper {
namespace {

constexpr int kLongestPeriod = 6;
constexpr double kRecurs = 1e-3;
constexpr int kTilesPerSlot = 3;

}  // namespace

double steady_clocks(const std::vector<double>& begins) {
  const int count = static_cast<int>(begins.size()) - 1;  // steps between blocks
  const auto span = [&](int from, int blocks) { return begins[from + blocks] - begins[from]; };
  for (int period = 1; period <= kLongestPeriod && 3 * period <= count; ++period) {
    const double last = span(count - period, period);
    const double before = span(count - 2 * period, period);
    const double earlier = span(count - 3 * period, period);
    if (std::abs(last - before) <= kRecurs * last && std::abs(last - earlier) <= kRecurs * last) {
      return last / period;
    }
  }
  const int half = count / 2;
  return span(half, count - half) / (count - half);
}

TileCost TileCosts::simulate(int blocks, int residents) {
  const std::vector<std::vector<TileWork>> tiles(
      residents, std::vector<TileWork>(kTilesPerSlot, TileWork{blocks, masked_}));
  const SmRun run = run_sm(machine_, timing_, plan_, supply_, tiles);
  events_ += run.events;
  TileCost cost;
  for (const auto& ends : run.tile_end) {
    cost.first += ends.front() / residents;
    cost.next += (ends.back() - ends.front()) / (kTilesPerSlot - 1) / residents;
  }
  for (int u = 0; u < kUnits; ++u) cost.busy[u] = run.busy[u] / (residents * kTilesPerSlot);
  if (blocks == kSimulated) steady_[residents] = steady_clocks(run.block_begin);
  return cost;
}

TileCost TileCosts::at(int blocks, int residents) {
  const int simulated = std::min(blocks, kSimulated);
  const auto [entry, fresh] = known_.try_emplace({simulated, residents});
  if (fresh) entry->second = simulate(simulated, residents);
  TileCost cost = entry->second;
  if (blocks <= kSimulated) return cost;
  const double more = blocks - kSimulated;
  cost.first += more * steady_[residents];
  cost.next += more * steady_[residents];
  const TileCost half = at(kSimulated / 2, residents);
  for (int u = 0; u < kUnits; ++u) {
    cost.busy[u] += more * (cost.busy[u] - half.busy[u]) / (kSimulated - kSimulated / 2);
  }
  return cost;
}

double TileCosts::steady(int residents) {
  at(kSimulated, residents);
  return steady_[residents];
}

double TileCosts::tensor_use(int residents) {
  constexpr int kTensor = static_cast<int>(UnitId::tensor);
  const double work =
      (at(kSimulated, residents).busy[kTensor] - at(kSimulated / 2, residents).busy[kTensor]) /
      (kSimulated - kSimulated / 2);
  return work * residents / steady(residents);
}

}  // namespace karat::hopper
