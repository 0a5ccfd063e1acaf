// What runners say about the shards they finished: a file each, a line a shard. Results do not
// depend on it; who made them, when and how fast does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "karat/sweep/claims.hpp"

namespace karat::sweep {

struct LogEntry {
  std::size_t shard = 0;
  std::string sha256;  ///< of the result
  std::uint64_t bytes = 0;
  double seconds = 0;  ///< that it took
  double ended = 0;    ///< seconds since 1970 by the runner's node: for rates, never for leases
  std::string runner, host, karat;
};

/// Appends; every line is one write, so that a killed runner leaves whole lines or a torn last one.
class RunnerLog {
 public:
  /// @throws Error(input_output) where it cannot be written
  RunnerLog(const std::filesystem::path& plan, const Runner& runner);
  ~RunnerLog();
  RunnerLog(const RunnerLog&) = delete;
  RunnerLog& operator=(const RunnerLog&) = delete;
  /// Written before the results get their names: a result has a line, a line may lack its result.
  void append(const std::vector<LogEntry>& entries);
  /// Lines of any runner that count no more: their results were put back.
  void withdraw(const std::vector<LogEntry>& entries);

 private:
  void write(std::string text);

  std::filesystem::path path_;
  Runner runner_;
  int descriptor_ = -1;  ///< opened by the first line
};

/// The lines of all runners that were not withdrawn, by shard and then by end.
std::vector<LogEntry> read_logs(const std::filesystem::path& plan);

/// The hash that more of a shard's runs gave than any other; empty where there is none.
std::string agreed_sha256(std::span<const LogEntry> runs);

}  // namespace karat::sweep
