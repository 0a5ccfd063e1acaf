// Links are exclusive, renames have one winner; everything else is looking.
#include "karat/sweep/claims.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunnerPrefix = "runner.";

[[noreturn]] void claim_failed(const fs::path& path, const std::string& what, int error) {
  const bool links = error == EPERM || error == ENOTSUP || error == EMLINK;
  throw Error(ErrorKind::input_output, files::shown(path), what + ": " + std::strerror(error),
              links ? "put the plan on a file system with hard links"
                    : "nothing is lost: free the disk or mend the folder, and run again");
}

/// One runner that nobody else may watch would keep its shards for ever.
[[noreturn]] void cannot_watch(const fs::path& path, int error) {
  throw Error(
      ErrorKind::input_output, files::shown(path),
      std::string("cannot be looked at: ") + std::strerror(error),
      "let every runner of the plan read it (chmod a+r), or remove it if its runner is dead");
}

std::int64_t changed_of(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

std::optional<std::size_t> number_of(const std::string& name) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

Runner this_runner() {
  char host[256] = "unknown";
  ::gethostname(host, sizeof host - 1);
  std::string name(host);
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '-');
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string letters;
  for (int i = 0; i < 8; ++i) letters += kLetters[random() % kLetters.size()];
  return {.id = name + "." + std::to_string(::getpid()) + "." + letters,
          .host = name,
          .pid = ::getpid()};
}

RunnerClock system_clock() {
  return {.steady =
              [] {
                return std::chrono::duration<double>(
                    std::chrono::steady_clock::now().time_since_epoch());
              },
          .touch = [](const fs::path& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }};
}

Claims::Claims(const fs::path& plan, Runner runner, std::chrono::duration<double> lease,
               RunnerClock clock)
    : claims_(plan / "claims"),
      taken_(plan / "taken"),
      runner_(std::move(runner)),
      lease_(lease),
      clock_(std::move(clock)),
      own_(claims_ / (kRunnerPrefix + runner_.id)) {
  announce();
}

void Claims::announce() const {
  const int file = ::open(own_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0) claim_failed(own_, "cannot be created", errno);
  ::fchmod(file, 0644);  // whatever the umask: others have to see the signs of life
  const std::string text =
      files::Json{{"runner", runner_.id}, {"host", runner_.host}, {"pid", runner_.pid}}.dump() +
      "\n";
  const ssize_t written = ::write(file, text.data(), text.size());
  const int error = errno;
  ::close(file);
  if (written != static_cast<ssize_t>(text.size())) {
    ::unlink(own_.c_str());
    claim_failed(own_, "cannot be written", written < 0 ? error : ENOSPC);
  }
  clock_.touch(own_);
}

Claims::~Claims() {
  while (!held_.empty()) release(held_.begin()->first);
  ::unlink(own_.c_str());
}

fs::path Claims::path_of(std::size_t shard) const { return claims_ / std::to_string(shard); }

bool Claims::claim(std::size_t shard) {
  const fs::path path = path_of(shard);
  int failed = ::link(own_.c_str(), path.c_str());
  if (failed != 0 && errno == ENOENT) {
    // This runner stood still so long that others took it for dead and removed its file.
    announce();
    failed = ::link(own_.c_str(), path.c_str());
  }
  if (failed != 0) {
    if (errno != EEXIST) claim_failed(path, "cannot be claimed", errno);
    // A file server that answered a repeated request says "exists" of the link it just made.
    const auto there = read(path), own = read(own_);
    if (!there || !own || there->file != own->file || held_.contains(shard)) return false;
  }
  held_[shard] = true;
  watched_.erase(shard);
  return true;
}

void Claims::release(std::size_t shard) {
  held_.erase(shard);
  const auto there = read(path_of(shard)), own = read(own_);
  if (there && own && there->file == own->file) ::unlink(path_of(shard).c_str());
}

void Claims::beat() const { clock_.touch(own_); }

/// Opening, not asking for a name's status, makes network file systems look again. Nothing: errno
/// says why.
std::optional<Claims::Watch> Claims::read(const fs::path& path) const {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  // A file that this user may not read can be looked at all the same.
  const bool shut = file < 0 && errno == EACCES;
  if (file < 0 && !shut) return std::nullopt;
  const int failed = shut ? ::stat(path.c_str(), &status) : ::fstat(file, &status);
  const int error = failed != 0 ? errno : 0;
  if (!shut) ::close(file);
  errno = error;
  if (failed != 0) return std::nullopt;
  return Watch{.file = status.st_ino, .changed = changed_of(status), .since = clock_.steady()};
}

Claims::Look Claims::look(std::size_t shard) {
  const auto now = read(path_of(shard));
  if (!now) {
    // A stale handle is of a file that was removed; a claim that cannot be seen is not free.
    if (errno != ENOENT && errno != ESTALE) cannot_watch(path_of(shard), errno);
    watched_.erase(shard);
    return Look::free;
  }
  const auto [at, begun] = watched_.try_emplace(shard, *now);
  Watch& watch = at->second;
  if (begun) return Look::unknown;
  if (watch.file != now->file || watch.changed != now->changed) {
    const bool same_holder = watch.file == now->file;
    watch = *now;
    watch.moved = same_holder;
    return same_holder ? Look::alive : Look::unknown;
  }
  if (now->since - watch.since >= lease_) return Look::silent;
  return watch.moved ? Look::alive : Look::unknown;
}

bool Claims::take_over(std::size_t shard) {
  const auto watch = watched_.find(shard);
  if (watch == watched_.end()) return false;
  const Watch seen = watch->second;
  watched_.erase(watch);
  const fs::path away =
      taken_ / (std::to_string(shard) + "." + runner_.id + "." + std::to_string(taken(shard)));
  if (::rename(path_of(shard).c_str(), away.c_str()) != 0) {
    if (errno == ENOENT) return false;
    claim_failed(path_of(shard), "cannot be taken over", errno);
  }
  const auto got = read(away);
  if (got && got->file != seen.file) {
    // Another runner took the silent claim and claimed anew in between: give its claim back.
    if (::link(away.c_str(), path_of(shard).c_str()) == 0 || errno == EEXIST)
      ::unlink(away.c_str());
    return false;
  }
  return claim(shard);
}

void Claims::tidy(const fs::path& folder) const {
  beat();
  const auto now = read(own_);
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error);
       now && !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!number_of(name) && !name.starts_with(kRunnerPrefix) && !name.ends_with(".part")) continue;
    const auto there = read(entry->path());
    std::error_code ignored;
    const bool old =
        there && static_cast<double>(now->changed - there->changed) / 1e9 > 2 * lease_.count();
    if (old && entry->is_regular_file(ignored)) fs::remove(entry->path(), ignored);
  }
}

int Claims::taken(std::size_t shard) const {
  const std::string prefix = std::to_string(shard) + ".";
  int count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(taken_, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    count += entry->path().filename().string().starts_with(prefix);
  return count;
}

std::vector<ClaimEntry> list_claims(const fs::path& plan) {
  struct Seen {
    ClaimEntry entry;
    std::int64_t changed;
  };
  std::vector<Seen> seen;
  std::int64_t newest = 0;
  for (const fs::path& path : files::files_in(plan / "claims", "")) {
    const auto shard = number_of(path.filename().string());
    if (!shard) continue;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) continue;
    ClaimEntry entry{.shard = *shard};
    try {
      const files::Json runner = files::read_json(path);
      entry.runner = runner.value("runner", "");
      entry.host = runner.value("host", "");
    } catch (const std::exception&) {
      // gone meanwhile, or written by a disk that was full
    }
    seen.push_back({entry, changed_of(status)});
    newest = std::max(newest, seen.back().changed);
  }
  const fs::path clock = plan / "claims" / (".clock." + this_runner().id);
  if (const int file = ::open(clock.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      file >= 0) {
    struct stat status {};
    if (::fstat(file, &status) == 0) newest = std::max(newest, changed_of(status));
    ::close(file);
    ::unlink(clock.c_str());
  }
  std::vector<ClaimEntry> entries;
  for (Seen& each : seen) {
    each.entry.age = static_cast<double>(newest - each.changed) / 1e9;
    entries.push_back(std::move(each.entry));
  }
  std::ranges::sort(entries, {}, &ClaimEntry::shard);
  return entries;
}

}  // namespace karat::sweep
