// From a launch to its outputs.
#include "karat/ptx/run.hpp"

#include <algorithm>
#include <cstring>

#include "execute/run.hpp"
#include "launch/arguments.hpp"
#include "launch/place.hpp"
#include "program/decoder.hpp"
#include "program/fuse.hpp"
#include "watch/taps.hpp"
#include "watch/timeline.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kMostLocal = std::uint64_t{256} << 20;

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::usage, subject, problem);
}

const Function& kernel_of(const Module& module, const std::string& name) {
  std::string entries;
  const Function* found = nullptr;
  std::size_t count = 0;
  for (const Function& each : module.functions) {
    if (!each.entry) continue;
    ++count;
    if (name.empty() || each.name == name) found = &each;
    if (count <= 8) entries += (entries.empty() ? "" : ", ") + each.name;
  }
  if (found == nullptr) refuse("kernel", "\"" + name + "\" is none of the module's: " + entries);
  if (name.empty() && count > 1) refuse("kernel", "the module has several, name one: " + entries);
  return *found;
}

Extent extent_of(Dimensions d) { return {d.x, d.y, d.z}; }

void require_shape(const Launch& launch, const Function& kernel) {
  const Dimensions &grid = launch.grid, &block = launch.block, &cluster = launch.cluster;
  for (const Dimensions* each : {&grid, &block, &cluster})
    if (each->x == 0 || each->y == 0 || each->z == 0)
      refuse("launch", "grid, block and cluster are at least 1");
  if (extent_of(block).count() > kMostThreads || block.x > kMostThreads || block.y > kMostThreads ||
      block.z > 64)
    refuse("block", "a CTA has at most 1024 threads, 64 along z");
  if (grid.y > 65535 || grid.z > 65535 || grid.x > 0x7FFFFFFF)
    refuse("grid", "at most 2^31 - 1, 65535 and 65535 CTAs");
  if (extent_of(cluster).count() > 16 || grid.x % cluster.x != 0 || grid.y % cluster.y != 0 ||
      grid.z % cluster.z != 0)
    refuse("cluster", "a cluster has at most 16 CTAs and divides the grid");
  const auto& wanted = kernel.required_block;
  if (wanted[0] != 0 && (wanted[0] != block.x || wanted[1] != block.y || wanted[2] != block.z))
    refuse("block", kernel.name + " requires " + std::to_string(wanted[0]) + " x " +
                        std::to_string(wanted[1]) + " x " + std::to_string(wanted[2]) + " threads");
  if (kernel.most_threads != 0 && extent_of(block).count() > kernel.most_threads)
    refuse("block", kernel.name + " takes at most " + std::to_string(kernel.most_threads) +
                        " threads a CTA");
  if (kernel.most_cluster_ctas != 0 && extent_of(cluster).count() > kernel.most_cluster_ctas)
    refuse("cluster", kernel.name + " takes at most " + std::to_string(kernel.most_cluster_ctas) +
                          " CTAs a cluster");
  const auto& together = kernel.required_cluster;
  if (together[0] != 0 &&
      (together[0] != cluster.x || together[1] != cluster.y || together[2] != cluster.z))
    refuse("cluster", kernel.name + " requires clusters of " + std::to_string(together[0]) + " x " +
                          std::to_string(together[1]) + " x " + std::to_string(together[2]));
}

/// Who looks on beside a search for hazards.
struct Onlookers {
  Taps& taps;
  std::optional<Dimensions> cta;  ///< whose timeline is kept
  std::unique_ptr<TimelineKeeper> keeper;

  /// Called from several threads; one of them has the CTA.
  void look_at(Cluster& cluster) {
    if (!taps.none()) cluster.observers.push_back(taps.observer());
    if (!cta) return;
    for (const Cta& each : cluster.ctas) {
      const Extent& at = each.position;
      if (at.x != cta->x || at.y != cta->y || at.z != cta->z) continue;
      keeper = std::make_unique<TimelineKeeper>(cluster, each);
      for (Cta& all : cluster.ctas) all.witness = keeper.get();
      cluster.observers.push_back(keeper.get());
    }
  }
};

Ground ground_of(units::Fidelity fidelity) { return static_cast<Ground>(fidelity); }

void count_instructions(const Program& program, const std::vector<std::uint64_t>& executed,
                        Outcome& outcome) {
  std::vector<std::uint64_t> of_instruction(program.function->body.size() + 1, 0);
  for (std::size_t i = 0; i < executed.size(); ++i) {
    std::uint64_t& count = of_instruction[program.code[i].instruction];
    count = std::max(count, executed[i]);
  }
  std::map<std::string, InstructionCount> by_name;
  for (std::size_t i = 0; i < program.function->body.size(); ++i) {
    if (of_instruction[i] == 0) continue;
    InstructionCount& row = by_name[program.function->body[i].opcode];
    ++row.places;
    row.warps += of_instruction[i];
    row.ground = std::max(row.ground, ground_of(program.fidelity[i]));
    outcome.warp_instructions += of_instruction[i];
  }
  for (auto& [name, row] : by_name) {
    row.opcode = name;
    outcome.instructions.push_back(std::move(row));
  }
  std::ranges::stable_sort(outcome.instructions, std::ranges::greater{}, &InstructionCount::warps);
}

}  // namespace

Ground Outcome::ground() const {
  Ground weakest = Ground::definition;
  for (const InstructionCount& each : instructions) weakest = std::max(weakest, each.ground);
  return weakest;
}

Outcome run(Launch launch) {
  if (launch.module == nullptr)
    launch.module = load_module(launch.ptx, launch.file.empty() ? "ptx" : launch.file);
  const Module& module = launch.module->module;
  const Function* kernel = &kernel_of(module, launch.kernel);
  require_shape(launch, *kernel);
  Outcome outcome;
  Function fused;
  if (launch.fuse == Fuse::ptxas) {
    fused = *kernel;
    outcome.fused = fuse_products(fused);
    kernel = &fused;
  }
  PlacedMemory placed(launch, module);
  const Program program = make_program(module, *kernel, placed.variables);
  if (std::uint64_t{program.dynamic_shared} + launch.dynamic_shared > kSharedLimit)
    refuse("dynamic_shared", "shared memory of a CTA exceeds 227 KiB");

  if (program.local_bytes * extent_of(launch.block).count() > kMostLocal)
    refuse("block", "local memory of a CTA exceeds 256 MiB");

  Taps taps(launch.taps, program);
  Onlookers onlookers{.taps = taps};
  if (launch.timeline) {
    const Dimensions &cta = *launch.timeline, &grid = launch.grid;
    if (cta.x >= grid.x || cta.y >= grid.y || cta.z >= grid.z)
      refuse("timeline", "the grid has no such CTA");
    if (launch.hazards == HazardSearch::on)
      refuse("timeline", "it is not kept together with a search for hazards");
    onlookers.cta = cta;
  }
  GridRun done = run_grid({.program = &program,
                           .memory = &placed.memory,
                           .parameters = argument_bytes(launch, program, placed.tensors),
                           .grid = extent_of(launch.grid),
                           .block = extent_of(launch.block),
                           .cluster = extent_of(launch.cluster),
                           .dynamic_shared = launch.dynamic_shared,
                           .limit = launch.limit,
                           .schedule = launch.schedule,
                           .seed = launch.seed,
                           .hazards = launch.hazards == HazardSearch::on,
                           .watcher = [&](Cluster& cluster) { onlookers.look_at(cluster); },
                           .threads = launch.threads});
  outcome.fault = std::move(done.fault);
  outcome.hazards = std::move(done.hazards);
  outcome.searched = launch.hazards;
  outcome.not_looked_at = done.not_looked_at;
  count_instructions(program, done.executed, outcome);
  if (onlookers.keeper) outcome.timeline = onlookers.keeper->take();
  for (auto& [name, tensor] : launch.tensors)
    if (tensor.output) outcome.outputs.emplace(name, std::move(tensor.value));
  if (outcome.fault) return outcome;
  for (auto& [name, tensor] : taps.take())
    if (!outcome.outputs.emplace(name, std::move(tensor)).second)
      refuse("tap " + name, "an output has this name");
  return outcome;
}

}  // namespace karat::ptx
