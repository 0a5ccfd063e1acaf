// A runner: claims shards of a plan, computes them, publishes the results. Any number of runners
// work at one plan, start late, die and overlap; what each does is the same whoever the others are.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "karat/sweep/claims.hpp"
#include "karat/sweep/plan.hpp"

namespace karat::sweep {

/// Part `index` (from 0) of `count`: every count-th shard in the order of cost.
struct Share {
  std::size_t index = 0, count = 1;
};

enum class Beyond {
  stop,  ///< the share and nothing else
  help,  ///< then what is left of the others'
};

enum class AtTheEnd {
  leave,  ///< shards that living runners hold are theirs
  wait,   ///< stay until every shard of this runner's is done or failed
};

struct RunProgress {
  std::size_t done = 0, total = 0;  ///< of the shards this runner looks at
};

struct RunOptions {
  Share share;
  Beyond beyond = Beyond::stop;
  AtTheEnd at_the_end = AtTheEnd::leave;
  /// Hands out places in the order of cost, to this and other runners, each once; instead of a
  /// share.
  std::function<std::optional<std::size_t>()> deal;
  std::vector<std::size_t> only;  ///< these shards; empty: all
  int threads = 0;                ///< of a shard; 0: as the spec says
  std::function<void(const RunProgress&)> progress;
  /// Called now and then, from any thread; an exception gives the claims back and ends the run.
  std::function<void()> tick;
  RunnerClock clock = system_clock();
};

struct FailedShard {
  std::size_t shard = 0;
  std::string reason;  ///< one line
};

struct RunReport {
  std::size_t made = 0;      ///< computed and published here
  std::size_t found = 0;     ///< done by somebody before this runner came to them
  std::size_t repeated = 0;  ///< computed here although somebody was faster; the bytes were equal
  std::size_t taken = 0;     ///< taken over from runners that fell silent
  std::size_t held = 0;      ///< left to runners that live
  std::vector<FailedShard> failed;  ///< now or before, of the shards looked at
  double seconds = 0;
};

/// @throws Error(input_output) where the plan's folder cannot be written or its disk is full:
///   nothing is lost then, and no shard counts as failed for it
RunReport run(const Plan& plan, const RunOptions& options);

/// A shard that failed, as the table keeps it.
struct Failure {
  std::size_t shard = 0;
  std::string reason, runner, host;
};
/// By shard. @throws Error(input_output) for a record that is damaged or names no shard of the plan
std::vector<Failure> list_failures(const Plan& plan);

/// Puts failed shards back, with their count of takeovers: they are computed anew, and what their
/// runners logged counts no more. So are shards whose runs gave different bytes, none more often
/// than another; and, where `only` names them, results that no runner logged or that are others
/// than logged. @param only these; empty: all. @return how many
std::size_t retry(const Plan& plan, const std::vector<std::size_t>& only);

}  // namespace karat::sweep
