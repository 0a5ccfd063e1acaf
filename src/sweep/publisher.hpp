// Results on their way to their names: written under another name, made durable, renamed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "karat/sweep/claims.hpp"
#include "karat/sweep/log.hpp"
#include "karat/sweep/plan.hpp"
#include "karat/sweep/runner.hpp"

namespace karat::sweep {

/// Small results that follow one another quickly are made durable together, since a disk waits as
/// long for one as for fifty. Their claims are held until they have their names.
class Publisher {
 public:
  Publisher(const Plan& plan, Claims& claims)
      : plan_(plan), claims_(claims), log_(plan.folder(), claims.runner()) {}
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Where a work that writes a file itself writes it.
  std::filesystem::path temporary(std::size_t shard) const;
  /// Takes the result of a claimed shard. @throws Error(input_output)
  void add(std::size_t shard, const Made& made, double seconds);
  /// Whether results wait, for so long or so many that they should not any more.
  bool due() const;
  bool waiting() const { return !pending_.empty(); }
  /// Makes all that was added durable, names it, and gives the claims back.
  void flush();

  std::size_t published() const { return published_; }
  std::size_t repeated() const { return repeated_; }

 private:
  struct Pending {
    std::size_t shard;
    std::filesystem::path temporary;
    bool sealed;  ///< a file of the work's own: durable, and hashed behind its seal
    LogEntry entry;
  };
  const Plan& plan_;
  Claims& claims_;
  RunnerLog log_;
  std::vector<Pending> pending_;
  double waited_ = 0;  ///< seconds of work in `pending_`
  std::size_t published_ = 0, repeated_ = 0;
};

/// Writes the record of a failure. @throws Error(input_output)
void write_failure(const Plan& plan, const Failure& failure);

}  // namespace karat::sweep
