// Lines of JSON.
#include "karat/sweep/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {

RunnerLog::RunnerLog(const std::filesystem::path& plan, const Runner& runner)
    : path_(plan / "log" / (runner.id + ".jsonl")), runner_(runner) {}

RunnerLog::~RunnerLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RunnerLog::append(const std::vector<LogEntry>& entries) {
  std::string text;
  for (const LogEntry& entry : entries)
    text += files::Json{{"shard", entry.shard},
                        {"sha256", entry.sha256},
                        {"bytes", entry.bytes},
                        {"seconds", entry.seconds},
                        {"ended", entry.ended}}
                .dump() +
            "\n";
  write(std::move(text));
}

void RunnerLog::withdraw(const std::vector<LogEntry>& entries) {
  std::string text;
  for (const LogEntry& entry : entries)
    text += files::Json{{"shard", entry.shard},
                        {"withdrawn", {{"runner", entry.runner}, {"ended", entry.ended}}}}
                .dump() +
            "\n";
  if (!text.empty()) write(std::move(text));
}

void RunnerLog::write(std::string text) {
  if (descriptor_ < 0) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const std::string head = files::Json{{"schema", "karat.sweep_log"},
                                         {"version", 1},
                                         {"runner", runner_.id},
                                         {"host", runner_.host},
                                         {"karat", KARAT_VERSION}}
                                 .dump() +
                             "\n";
    text.insert(0, head);
  }
  const ssize_t written = descriptor_ < 0 ? -1 : ::write(descriptor_, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return;
  throw Error(ErrorKind::input_output, files::shown(path_),
              std::string("cannot be written: ") + std::strerror(written < 0 ? errno : ENOSPC),
              "nothing is lost: free the disk, and run again");
}

std::vector<LogEntry> read_logs(const std::filesystem::path& plan) {
  std::vector<LogEntry> entries;
  std::set<std::tuple<std::size_t, std::string, double>> withdrawn;
  for (const auto& path : files::files_in(plan / "log", ".jsonl")) {
    const std::string text = files::read_text(path);
    std::string runner, host, karat;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      try {
        const auto json = files::Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                             text.begin() + static_cast<std::ptrdiff_t>(end));
        if (json.contains("schema")) {
          runner = json.at("runner");
          host = json.at("host");
          karat = json.at("karat");
          continue;
        }
        if (const auto of = json.find("withdrawn"); of != json.end()) {
          withdrawn.emplace(json.at("shard"), of->at("runner"), of->at("ended"));
          continue;
        }
        entries.push_back({.shard = json.at("shard"),
                           .sha256 = json.at("sha256"),
                           .bytes = json.at("bytes"),
                           .seconds = json.at("seconds"),
                           .ended = json.at("ended"),
                           .runner = runner,
                           .host = host,
                           .karat = karat});
      } catch (const files::Json::exception&) {
        // a torn line of a full disk
      }
    }
  }
  if (!withdrawn.empty())
    std::erase_if(entries, [&](const LogEntry& e) {
      return withdrawn.contains({e.shard, e.runner, e.ended});
    });
  std::ranges::sort(entries, {}, [](const LogEntry& e) { return std::tie(e.shard, e.ended); });
  return entries;
}

std::string agreed_sha256(std::span<const LogEntry> runs) {
  std::map<std::string, std::size_t> votes;
  for (const LogEntry& run : runs) ++votes[run.sha256];
  std::size_t most = 0;
  std::string agreed;
  for (const auto& [hash, count] : votes) {
    if (count == most) agreed.clear();
    if (count > most) agreed = hash;
    most = std::max(most, count);
  }
  return agreed;
}

}  // namespace karat::sweep
