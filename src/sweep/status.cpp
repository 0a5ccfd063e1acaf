// Counting.
#include "karat/sweep/status.hpp"

#include <algorithm>
#include <set>

#include "karat/sweep/log.hpp"

namespace karat::sweep {

std::size_t Status::open() const {
  const auto alive =
      std::ranges::count_if(running, [&](const ClaimEntry& claim) { return !is_silent(claim); });
  return shards - std::min(shards, done + failed.size() + static_cast<std::size_t>(alive));
}

Status status_of(const Plan& plan) {
  Status status{.name = plan.spec().name,
                .kind = plan.spec().kind,
                .shards = plan.size(),
                .lease = plan.spec().lease};
  status.failed = list_failures(plan);
  std::vector<char> done = plan.done();
  for (const Failure& failure : status.failed) done[failure.shard] = 0;
  for (std::size_t shard = 0; shard < plan.size(); ++shard) {
    status.done += done[shard] != 0;
    (done[shard] ? status.core_seconds_done : status.core_seconds_left) += plan.cost(shard).seconds;
  }
  for (ClaimEntry& claim : list_claims(plan.folder()))
    if (claim.shard < done.size() && !done[claim.shard]) status.running.push_back(std::move(claim));

  double first = 0, last = 0;
  std::set<std::string> hosts;
  const auto entries = read_logs(plan.folder());
  for (const LogEntry& entry : entries) {
    status.worked += entry.seconds;
    hosts.insert(entry.host);
    const double begun = entry.ended - entry.seconds;
    first = first == 0 ? begun : std::min(first, begun);
    last = std::max(last, entry.ended);
  }
  status.hosts.assign(hosts.begin(), hosts.end());
  if (last > first) status.rate = static_cast<double>(entries.size()) / (last - first);
  std::set<std::string> alive;
  for (const ClaimEntry& claim : status.running)
    if (!status.is_silent(claim)) alive.insert(claim.runner);
  if (!alive.empty() && !entries.empty()) {
    const double left = static_cast<double>(plan.size() - status.done - status.failed.size());
    const double each = status.core_seconds_done > 0
                            ? status.worked * status.core_seconds_left / status.core_seconds_done
                            : left * status.worked / static_cast<double>(entries.size());
    status.left = each / static_cast<double>(alive.size());
  }
  return status;
}

}  // namespace karat::sweep
