// Atomic replacement of a file on POSIX systems, with errors that name the file and the reason.
// The temporary file lies in the destination's folder, so the rename never crosses file systems.
#include "karat/files/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <system_error>

#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "system_error.hpp"

namespace karat::files {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxStem = 240;  // leaves room for the suffix within NAME_MAX = 255
constexpr int kAttempts = 100;

std::string random_letters() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device device;
  std::string letters;
  for (int i = 0; i < 6; ++i) letters += kLetters[device() % kLetters.size()];
  return letters;
}

}  // namespace

void AtomicFile::fail(const char* what, int error) const {
  throw system_error(named_.string(), what, error);
}

AtomicFile::AtomicFile(const fs::path& destination) : named_(destination), target_(destination) {
  const Standing there = standing(target_);
  if (!target_.has_filename() || there == Standing::folder) {
    throw Error(ErrorKind::input_output, named_.string(), "is a folder", "name a file inside it");
  }
  if (there == Standing::other) {
    throw Error(ErrorKind::input_output, named_.string(), "is not a regular file",
                "choose another name");
  }
  std::error_code error;
  if (fs::is_symlink(target_, error)) target_ = fs::weakly_canonical(target_, error);
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    fail("cannot be created", error.value());
  const std::string stem = "." + target_.filename().string().substr(0, kMaxStem) + ".";
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = target_.parent_path() / (stem + random_letters() + ".part");
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == kAttempts)) {
      fail("cannot be created", errno);
    }
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot be made durable", errno);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) fail("cannot be written", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be renamed", errno);
  temporary_.clear();
  sync_folder();
}

void AtomicFile::sync_folder() const {
  const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that may be written but not listed cannot be opened
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems cannot sync a folder; the name is then as durable as they make it.
  if (error != 0 && error != EINVAL && error != ENOTSUP) fail("cannot be made durable", error);
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace karat::files
