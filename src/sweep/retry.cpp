// Puts shards back: failed ones, and those whose result is not what was logged.
#include <algorithm>

#include "karat/files/paths.hpp"
#include "karat/files/seal.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/log.hpp"
#include "karat/sweep/runner.hpp"

namespace karat::sweep {

namespace fs = std::filesystem;

namespace {

/// What runners say of each shard, and which of them a person may put back.
class Retry {
 public:
  explicit Retry(const Plan& plan)
      : plan_(plan), log_(plan.folder(), this_runner()), runs_(plan.size()), done_(plan.done()) {
    for (LogEntry& entry : read_logs(plan.folder()))
      if (entry.shard < runs_.size()) runs_[entry.shard].push_back(std::move(entry));
  }

  /// Runs gave different bytes, none more often than another.
  bool in_dispute(std::size_t shard) const {
    return done_[shard] && !runs_[shard].empty() && agreed_sha256(runs_[shard]).empty();
  }
  /// The result is not what was logged, or nothing was.
  bool in_doubt(std::size_t shard) const {
    if (!done_[shard]) return false;
    try {
      return files::sha256_file(plan_.result(shard),
                                plan_.result(shard).extension() == ".h5" ? files::kSealSize : 0) !=
             agreed_sha256(runs_[shard]);
    } catch (const Error&) {
      return true;  // shorter than a seal
    }
  }

  /// The record of the failure goes last: a retry that dies is done again.
  void put_back(std::size_t shard) {
    std::error_code error;
    const std::string prefix = std::to_string(shard) + ".";
    for (const fs::path& path : files::files_in(plan_.inside("taken"), ""))
      if (path.filename().string().starts_with(prefix)) fs::remove(path, error);
    error.clear();
    fs::remove(plan_.result(shard), error);
    if (!error) {
      log_.withdraw(runs_[shard]);
      fs::remove(plan_.failure(shard), error);
    }
    if (error)
      throw Error(ErrorKind::input_output, files::shown(plan_.failure(shard)),
                  "cannot be removed: " + error.message(), "choose a folder you can write to");
  }

 private:
  const Plan& plan_;
  RunnerLog log_;
  std::vector<std::vector<LogEntry>> runs_;
  std::vector<char> done_;
};

}  // namespace

std::size_t retry(const Plan& plan, const std::vector<std::size_t>& only) {
  Retry retry(plan);
  std::vector<char> chosen(plan.size(), 0);
  for (const Failure& failure : list_failures(plan)) chosen[failure.shard] = 1;
  for (std::size_t shard = 0; shard < plan.size(); ++shard)
    if (retry.in_dispute(shard)) chosen[shard] = 1;
  for (const std::size_t shard : only)
    if (retry.in_doubt(shard)) chosen[shard] = 1;
  std::size_t count = 0;
  for (std::size_t shard = 0; shard < plan.size(); ++shard) {
    if (!chosen[shard]) continue;
    if (!only.empty() && std::ranges::find(only, shard) == only.end()) continue;
    retry.put_back(shard);
    ++count;
  }
  return count;
}

}  // namespace karat::sweep
