// Who works at which shard: files in one folder of a shared file system, made and taken over by
// operations that only one of several runners can win.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "karat/files/json_file.hpp"

namespace karat::sweep {

/// A process that computes shards.
struct Runner {
  std::string id;  ///< "host.pid.letters", unique
  std::string host;
  int pid = 0;
};
/// This process. Every call gives a new id.
Runner this_runner();

/// What a runner's clocks are; tests bring their own.
struct RunnerClock {
  /// Grows with time and never jumps; compared with itself alone.
  std::function<std::chrono::duration<double>()> steady;
  /// Sets a file's time of change to now, as the file system sees it.
  std::function<void(const std::filesystem::path&)> touch;
};
RunnerClock system_clock();

/// Each runner has one file, and a claim is another name (a hard link) of it, so that one touch is
/// a sign of life for all its claims. Nobody compares clocks: a claim is *silent* when its file's
/// time has not changed while this runner's own steady clock went on by the lease. Clocks of nodes
/// and of the file server may be hours apart; what must hold is that their *rates* agree within a
/// factor of two, since a living runner touches its file four times a lease.
class Claims {
 public:
  /// @param plan its folder; @throws Error(input_output) where it cannot be written
  Claims(const std::filesystem::path& plan, Runner runner, std::chrono::duration<double> lease,
         RunnerClock clock = system_clock());
  /// Gives all claims back.
  ~Claims();
  Claims(const Claims&) = delete;
  Claims& operator=(const Claims&) = delete;

  const Runner& runner() const { return runner_; }

  /// True: the shard is this runner's. False: somebody holds it.
  bool claim(std::size_t shard);
  /// Gives one back. One that was taken over meanwhile is left alone.
  void release(std::size_t shard);
  /// A sign of life. Thread-safe; a file system that is away for a while is no error.
  void beat() const;

  enum class Look {
    free,     ///< nobody holds it
    unknown,  ///< held, and not watched for a lease yet
    alive,    ///< its holder gave a sign of life while it was watched
    silent,   ///< no sign of life for a lease
  };
  /// Looks at a claim of somebody's; the first look begins the watch. @throws Error(input_output)
  /// for one that may not be opened
  Look look(std::size_t shard);
  /// Takes a silent claim away, and claims the shard. False: another runner was faster.
  bool take_over(std::size_t shard);
  /// Removes what dead runners left in a folder and those inside it: claims, files of runners and
  /// half-written results without a touch for two leases. @pre nothing is left to claim
  void tidy(const std::filesystem::path& folder) const;
  /// How often the shard was taken over.
  int taken(std::size_t shard) const;

 private:
  struct Watch {
    std::uint64_t file = 0;    ///< its number in the file system
    std::int64_t changed = 0;  ///< its time of change, nanoseconds
    std::chrono::duration<double> since{};
    bool moved = false;
  };
  /// Writes the runner's own file.
  void announce() const;
  std::optional<Watch> read(const std::filesystem::path& path) const;
  std::filesystem::path path_of(std::size_t shard) const;

  std::filesystem::path claims_, taken_;
  Runner runner_;
  std::chrono::duration<double> lease_;
  RunnerClock clock_;
  std::filesystem::path own_;
  std::map<std::size_t, bool> held_;
  std::map<std::size_t, Watch> watched_;
};

/// A claim as status shows it.
struct ClaimEntry {
  std::size_t shard = 0;
  std::string runner, host;
  double age = 0;  ///< seconds since the last sign of life, by the file system's clock
};
/// All claims of a plan; a plan that may only be read is fine. `age` is measured against a file
/// that is touched here, or, where nothing may be written, against the newest claim.
std::vector<ClaimEntry> list_claims(const std::filesystem::path& plan);

}  // namespace karat::sweep
