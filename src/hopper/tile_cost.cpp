// Simulated tiles, remembered by number of blocks, and the steady state that extends them.
#include "tile_cost.hpp"

#include <algorithm>
#include <cmath>

namespace karat::hopper {
namespace {

constexpr int kRepeats = 3;  // of a tile, one after another
constexpr int kRounds = 64;  // of the mean pace

/// Clocks of a tile among `residents` at random offsets.
/// @param alone clocks beyond its blocks
/// @param pace clocks per block by number of residents, 1 first
double among_others(double alone, double blocks, const std::vector<double>& pace) {
  const int others = static_cast<int>(pace.size()) - 1;
  double tile = alone + blocks * pace.back();
  for (int round = 0; round < kRounds; ++round) {
    const double away = std::min(1.0, alone / tile);
    double speed = 0, share = std::pow(away, others);  // nobody else is there
    for (int here = 0; here <= others; ++here) {
      speed += share / pace[here];
      if (away > 0) share *= (1 - away) / away * (others - here) / (here + 1);
    }
    if (away <= 0) speed = 1 / pace.back();
    const double next = alone + blocks / speed;
    if (std::abs(next - tile) < 1e-9 * tile) return next;
    tile = next;
  }
  return tile;
}

}  // namespace

const TileCosts::Lone& TileCosts::lone(int blocks) {
  const auto [entry, fresh] = lone_.try_emplace(blocks);
  if (!fresh) return entry->second;
  const std::vector<TileWork> tiles(kRepeats, TileWork{blocks, masked_});
  const SmRun run = run_sm(machine_, timing_, plan_, supply_, 1, tiles);
  events_ += run.events;
  Lone& out = entry->second;
  out.first = run.tile_end.front();
  out.next = (run.tile_end.back() - run.tile_end.front()) / (kRepeats - 1);
  for (int u = 0; u < kUnits; ++u) out.busy[u] = run.busy[u] / kRepeats;
  return out;
}

double TileCosts::steady(int residents) {
  const auto [entry, fresh] = steady_.try_emplace(residents);
  if (!fresh) return entry->second;
  const std::vector<TileWork> tile{{2 * kSimulated, masked_}};
  const SmRun run = run_sm(machine_, timing_, plan_, supply_, residents, tile);
  events_ += run.events;
  const int last = 2 * kSimulated - 1;
  entry->second = (run.block_begin[last] - run.block_begin[last - kSimulated]) / kSimulated;
  return entry->second;
}

TileCost TileCosts::at(int blocks, int residents) {
  const auto known = known_.find({blocks, residents});
  if (known != known_.end()) return known->second;
  const int simulated = std::min(blocks, kSimulated);
  const double more = blocks - simulated;
  const Lone& run = lone(simulated);
  TileCost cost{.first = run.first, .next = run.next, .busy = run.busy};
  if (more > 0) {
    const Lone& half = lone(kSimulated / 2);
    cost.first += more * steady(1);
    cost.next += more * steady(1);
    for (int u = 0; u < kUnits; ++u)
      cost.busy[u] += more * (run.busy[u] - half.busy[u]) / (kSimulated - kSimulated / 2);
  }
  if (residents > 1) {
    std::vector<double> pace;
    for (int r = 1; r <= residents; ++r) pace.push_back(steady(r));
    cost.first += blocks * (pace.back() - pace.front());
    const double alone = std::max(0.0, cost.next - blocks * pace.front());
    cost.next = among_others(alone, blocks, pace);
  }
  known_[{blocks, residents}] = cost;
  return cost;
}

double TileCosts::tensor_use(int residents) {
  constexpr int kTensor = static_cast<int>(UnitId::tensor);
  const double work = (lone(kSimulated).busy[kTensor] - lone(kSimulated / 2).busy[kTensor]) /
                      (kSimulated - kSimulated / 2);
  return work * residents / steady(residents);
}

}  // namespace karat::hopper
