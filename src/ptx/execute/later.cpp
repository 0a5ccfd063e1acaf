#include "execute/later.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

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
  warp.cta->cluster->under_way.push_back({&warp, warp.now.pc, std::move(work)});
}

void do_oldest(Cluster& cluster) {
  const Later later = std::move(cluster.under_way.front());
  cluster.under_way.pop_front();
  run(later);
}

void put_off(Warp& warp, LaterGroups& groups, std::function<void()> work) {
  groups.back().push_back({&warp, warp.now.pc, std::move(work)});
}

void do_groups(LaterGroups& groups, std::size_t left) {
  while (groups.size() - 1 > left) {
    const std::vector<Later> oldest = std::move(groups.front());
    groups.erase(groups.begin());
    for (const Later& each : oldest) run(each);
  }
}

void do_all(LaterGroups& groups) {
  if (groups.size() == 1 && groups[0].empty()) return;
  groups.emplace_back();
  do_groups(groups, 0);
}

}  // namespace karat::ptx
