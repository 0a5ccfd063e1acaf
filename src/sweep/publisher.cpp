// One sync for a batch.
#include "publisher.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "karat/files/paths.hpp"
#include "karat/files/seal.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;

constexpr double kLongest = 0.25;  // seconds of work that a kill may repeat
constexpr double kAlone = 0.05;    // a shard that took longer does not wait for others
constexpr std::size_t kMost = 64;

[[noreturn]] void writing_failed(const fs::path& path, const std::string& what, int error) {
  throw Error(ErrorKind::input_output, files::shown(path), what + ": " + std::strerror(error),
              "nothing is lost: free the disk or mend the folder, and run again");
}

void write_whole(const fs::path& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) writing_failed(path, "cannot be created", errno);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(file, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      ::close(file);
      ::unlink(path.c_str());
      writing_failed(path, "cannot be written", error);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::close(file) != 0) writing_failed(path, "cannot be written", errno);
}

/// The whole file system where several files wait, else the one.
void make_durable(const fs::path& path, bool all) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) writing_failed(path, "cannot be opened", errno);
  const int failed = all ? ::syncfs(file) : ::fsync(file);
  const int error = errno;
  ::close(file);
  if (failed != 0) writing_failed(path, "cannot be made durable", error);
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Publisher::~Publisher() {
  for (const Pending& each : pending_) ::unlink(each.temporary.c_str());
}

fs::path Publisher::temporary(std::size_t shard) const {
  return plan_.result(shard).parent_path() /
         ("." + std::to_string(shard) + "." + claims_.runner().id + ".part");
}

void Publisher::add(std::size_t shard, const Made& made, double seconds) {
  Pending next{.shard = shard,
               .temporary = temporary(shard),
               .sealed = !made.text,
               .entry = {.shard = shard,
                         .sha256 = made.sha256,
                         .bytes = made.bytes,
                         .seconds = seconds,
                         .ended = now()}};
  if (made.text) write_whole(next.temporary, *made.text);
  pending_.push_back(std::move(next));
  waited_ += seconds;
}

bool Publisher::due() const {
  return waiting() && (pending_.size() >= kMost || waited_ >= kLongest ||
                       pending_.back().entry.seconds >= kAlone);
}

void Publisher::flush() {
  if (!waiting()) return;
  std::vector<LogEntry> entries;
  std::size_t texts = 0;
  for (const Pending& each : pending_) {
    entries.push_back(each.entry);
    texts += !each.sealed;
  }
  // A temporary is gone where this runner stood still and others finished the plan.
  const auto text = std::ranges::find_if(pending_, [](const Pending& each) {
    return !each.sealed && ::access(each.temporary.c_str(), F_OK) == 0;
  });
  if (text != pending_.end()) make_durable(text->temporary, texts > 1);
  log_.append(entries);
  for (const Pending& each : pending_) {
    const fs::path final = plan_.result(each.shard);
    if (files::standing(final) == files::Standing::file) {
      // Somebody else was as fast: the first result stays, and must be the same.
      const std::string there = files::sha256_file(final, each.sealed ? files::kSealSize : 0);
      ::unlink(each.temporary.c_str());
      ++repeated_;
      if (there != each.entry.sha256)
        write_failure(plan_, {.shard = each.shard,
                              .reason = "two runs gave different bytes; look for a broken machine",
                              .runner = claims_.runner().id,
                              .host = claims_.runner().host});
    } else {
      if (::rename(each.temporary.c_str(), final.c_str()) != 0)
        writing_failed(final, "cannot be given its name", errno);
      ++published_;
    }
  }
  for (const Pending& each : pending_) claims_.release(each.shard);
  pending_.clear();
  waited_ = 0;
}

}  // namespace karat::sweep
