// A grid: clusters of CTAs, one cluster a thread, in order.
#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <mutex>

#include "execute/later.hpp"
#include "execute/run.hpp"
#include "hazards/hazards.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::ptx {
namespace {

constexpr std::size_t kLine = 64;

/// A worker's cluster, whose memory is used again for the next one.
struct Bench {
  Worker worker;
  Cluster cluster;
};

std::byte* aligned(std::vector<std::byte>& bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(bytes.data());
  return bytes.data() + (kLine - at % kLine) % kLine;
}

void prepare_warp(Warp& warp, const Program& program) {
  std::memset(warp.file, 0, program.file_bytes);
  for (const Constant& each : program.constants) {
    if (each.lane_bytes == 0) warp.predicate(each.place) = static_cast<std::uint32_t>(each.bits);
    for (int lane = 0; lane < units::kLanes && each.lane_bytes > 0; ++lane)
      std::memcpy(warp.file + each.place + lane * each.lane_bytes, &each.bits, each.lane_bytes);
  }
  write_specials(warp);
}

void prepare_cta(Cta& cta, const GridLaunch& launch) {
  const Program& program = *launch.program;
  const std::uint64_t threads = launch.block.count();
  const auto warps = static_cast<std::uint32_t>((threads + 31) / 32);
  const std::size_t shared = program.dynamic_shared + launch.dynamic_shared - kSharedBase;
  cta.shared_bytes.assign(shared + 2 * 1024, std::byte{0});
  cta.shared = {{aligned(cta.shared_bytes), shared}, kSharedBase};
  cta.local.assign(program.local_bytes * threads, std::byte{0});
  cta.files.resize(warps * program.file_bytes + kLine);
  cta.barriers = {};
  cta.warpgroups.assign((warps + 3) / 4, {});
  cta.warps.clear();
  cta.warps.resize(warps);
  for (std::uint32_t i = 0; i < warps; ++i) {
    Warp& warp = cta.warps[i];
    const std::uint64_t left = threads - std::uint64_t{i} * 32;
    warp.alive = left >= 32 ? ~0u : (1u << left) - 1;
    warp.now = {.pc = 0, .lanes = warp.alive};
    warp.cta = &cta;
    warp.index = i;
    warp.file = aligned(cta.files) + i * program.file_bytes;
    prepare_warp(warp, program);
  }
}

Extent position(std::uint64_t index, const Extent& in) {
  return {static_cast<std::uint32_t>(index % in.x), static_cast<std::uint32_t>(index / in.x % in.y),
          static_cast<std::uint32_t>(index / in.x / in.y)};
}

void prepare_cluster(Cluster& cluster, std::uint64_t index, const GridLaunch& launch,
                     Worker& worker) {
  const Extent &grid = launch.grid, &extent = launch.cluster;
  cluster.program = launch.program;
  cluster.memory = launch.memory;
  cluster.worker = &worker;
  cluster.parameters = &launch.parameters;
  cluster.grid = grid;
  cluster.block = launch.block;
  cluster.extent = extent;
  cluster.steps = 0;
  cluster.limit = launch.limit;
  cluster.arrived = 0;
  cluster.round = 0;
  cluster.schedule = launch.schedule;
  cluster.random = launch.seed * 0x2545F4914F6CDD1D + index;
  cluster.under_way.clear();
  cluster.late_wgmma = puts_off(cluster);
  const Extent corner = position(index, {grid.x / extent.x, grid.y / extent.y, grid.z / extent.z});
  cluster.ctas.resize(extent.count());
  for (std::uint32_t rank = 0; rank < cluster.ctas.size(); ++rank) {
    Cta& cta = cluster.ctas[rank];
    const Extent inside = position(rank, extent);
    cta.cluster = &cluster;
    cta.rank = rank;
    cta.position = {corner.x * extent.x + inside.x, corner.y * extent.y + inside.y,
                    corner.z * extent.z + inside.z};
    prepare_cta(cta, launch);
  }
}

/// Who looks on, null for nobody; observers are gone.
void watch(Cluster& cluster, Witness* witness) {
  for (Cta& cta : cluster.ctas) cta.witness = witness;
  cluster.observers.clear();
}

/// What the searches of all clusters that run at once may hold, about; the trace of the grid comes
/// to that.
constexpr std::size_t kMostBytesOfSearches = std::size_t{512} << 20;

/// How many clusters run at once.
int threads_of(const GridLaunch& launch) {
  // Atomics on global memory show the order of CTAs: then there is one, and one thread.
  if (launch.program->atomic) return 1;
  const int threads = launch.threads == 0 ? numerics::default_threads() : launch.threads;
  if (!launch.hazards) return threads;
  const std::size_t of_one = Hazards::most_bytes(
      launch.cluster.count(), launch.program->dynamic_shared + launch.dynamic_shared - kSharedBase,
      (launch.block.count() + 31) / 32);
  return std::clamp(static_cast<int>(kMostBytesOfSearches / of_one), 1, threads);
}

}  // namespace

GridRun run_grid(const GridLaunch& launch) {
  const Program& program = *launch.program;
  const std::uint64_t clusters = launch.grid.count() / launch.cluster.count();
  const int threads = threads_of(launch);
  std::vector<std::unique_ptr<Bench>> benches(static_cast<std::size_t>(threads));
  std::atomic<std::uint64_t> first_fault{std::numeric_limits<std::uint64_t>::max()};
  std::uint64_t first_hazards = std::numeric_limits<std::uint64_t>::max();
  std::mutex guard;
  // Races between clusters: looked for where there are several, and nothing orders them.
  std::unique_ptr<GridTrace> trace;
  if (launch.hazards && clusters > 1 && !program.synchronizes)
    trace = std::make_unique<GridTrace>();
  std::atomic<std::uint64_t> not_looked_at{0};
  GridRun run;
  numerics::parallel_for(clusters, threads, [&](std::size_t item, int worker) {
    if (item > first_fault.load()) return;
    auto& bench = benches[static_cast<std::size_t>(worker)];
    if (!bench) {
      bench = std::make_unique<Bench>();
      bench->worker.executed.assign(program.code.size(), 0);
    }
    prepare_cluster(bench->cluster, item, launch, bench->worker);
    std::optional<Hazards> hazards;
    if (launch.hazards) watch(bench->cluster, &hazards.emplace(bench->cluster, trace.get()));
    if (launch.watcher) launch.watcher(bench->cluster);
    auto fault = run_cluster(bench->cluster);
    watch(bench->cluster, nullptr);
    if (hazards) not_looked_at += hazards->not_looked_at();
    if (hazards && !hazards->found().empty()) {
      const std::lock_guard lock(guard);
      if (item < first_hazards) run.hazards = hazards->found();
      first_hazards = std::min<std::uint64_t>(first_hazards, item);
    }
    if (!fault) return;
    const std::lock_guard lock(guard);
    if (item >= first_fault.load()) return;
    first_fault = item;
    run.fault = std::move(fault);
  });
  // Which clusters behind one with a fault have run, the threads decide.
  if (run.fault && first_hazards > first_fault) run.hazards.clear();
  if (trace != nullptr && !run.fault && run.hazards.empty())
    run.hazards = trace->races(program, launch);
  run.not_looked_at = {.in_clusters = not_looked_at,
                       .between_clusters = trace == nullptr ? 0 : trace->not_looked_at(),
                       .orders_by_memory = launch.hazards && program.synchronizes};
  run.executed.assign(program.code.size(), 0);
  for (const auto& bench : benches) {
    if (!bench) continue;
    for (std::size_t i = 0; i < run.executed.size(); ++i)
      run.executed[i] += bench->worker.executed[i];
  }
  return run;
}

}  // namespace karat::ptx
