// Private: running a whole grid.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "execute/state.hpp"
#include "karat/ptx/run.hpp"

namespace karat::ptx {

struct GridLaunch {
  const Program* program = nullptr;
  Memory* memory = nullptr;
  std::vector<std::byte> parameters;
  Extent grid, block, cluster;
  std::uint32_t dynamic_shared = 0;
  std::uint64_t limit = 0;  ///< micro-operations of warps in one cluster
  Schedule schedule = Schedule::eager;
  std::uint64_t seed = 0;
  bool hazards = false;  ///< look for them
  /// Adds whoever else looks on: called for each cluster before it runs, from several threads.
  std::function<void(Cluster&)> watcher;
  int threads = 0;  ///< as numerics::parallel_for
};

struct GridRun {
  std::optional<std::string> fault;  ///< of the first CTA in order that has one
  std::vector<std::string> hazards;  ///< of the first CTA in order that has any
  NotLookedAt not_looked_at;
  std::vector<std::uint64_t> executed;  ///< per micro-operation, warps
};

GridRun run_grid(const GridLaunch& launch);

/// Runs the CTAs of one cluster to their end; each CTA or none has a witness. @return its fault, if
/// any
std::optional<std::string> run_cluster(Cluster& cluster);

/// Values of %tid and its like, into the register file. Called before a warp starts.
void write_specials(Warp& warp);
/// What a special register holds now.
std::uint64_t special_value(Special which, const Warp& warp, std::uint32_t lane);

}  // namespace karat::ptx
