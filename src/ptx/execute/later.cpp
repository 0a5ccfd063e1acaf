#include "execute/later.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

/// Work under way is held in memory: a loop that never waits for any must end. A warp's groups
/// (4096 cp.async of a warp are nine times the shared memory of a CTA), and a cluster's other work.
constexpr std::size_t kMostOfWarp = 4096, kMostOfCluster = 1 << 18;

[[noreturn]] void refuse_more(std::size_t most) {
  throw Fault{-1, "more than " + std::to_string(most) +
                      " asynchronous operations are under way that nothing waits for"};
}

/// A fault belongs to the instruction that issued the work.
void run(const Later& later) {
  try {
    later.work();
  } catch (Fault& fault) {
    if (fault.warp == nullptr) fault.warp = later.warp, fault.pc = later.pc;
    throw;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    throw Fault{-1, error.what(), later.warp, later.pc};
  }
}

}  // namespace

std::uint64_t draw(Cluster& cluster, std::uint64_t below) {
  cluster.random += 0x9E3779B97F4A7C15;
  std::uint64_t x = cluster.random;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return (x ^ (x >> 31)) % below;
}

bool puts_off(Cluster& cluster) {
  switch (cluster.schedule) {
    case Schedule::eager:
      return false;
    case Schedule::late:
      return true;
    case Schedule::random:
      return draw(cluster, 2) == 0;
  }
  return false;
}

void put_off(Warp& warp, std::function<void()> work) {
  std::deque<Later>& under_way = warp.cta->cluster->under_way;
  if (under_way.size() >= kMostOfCluster) refuse_more(kMostOfCluster);
  under_way.push_back({&warp, warp.now.pc, std::move(work)});
}

void do_oldest(Cluster& cluster) {
  const Later later = std::move(cluster.under_way.front());
  cluster.under_way.pop_front();
  run(later);
}

void put_off(Warp& warp, LaterGroups& groups, std::function<void()> work) {
  if (groups.items() >= kMostOfWarp) refuse_more(kMostOfWarp);
  groups.add({&warp, warp.now.pc, std::move(work)});
}

void do_groups(LaterGroups& groups, std::size_t left) {
  const std::uint64_t end = groups.end(left);
  while (const auto oldest = groups.take_before(end))
    for (const Later& each : oldest->items) run(each);
}

void do_all(LaterGroups& groups) {
  groups.commit();
  do_groups(groups, 0);
}

}  // namespace karat::ptx
