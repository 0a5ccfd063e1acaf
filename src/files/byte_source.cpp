// Reading by offset from memory or from a regular file, never past the end.
// See byte_source.hpp.
#include "byte_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "karat/files/paths.hpp"

namespace karat::files {

ByteSource::ByteSource(std::span<const std::byte> memory, std::string subject)
    : subject_(std::move(subject)), memory_(memory), size_(memory.size()) {}

ByteSource::ByteSource(const std::filesystem::path& path) : subject_(shown(path)) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    const std::string reason = std::generic_category().message(errno);
    if (descriptor_ >= 0) ::close(descriptor_);
    throw error("cannot be read: " + reason, "check the name");
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw error(S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file", "name a file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

ByteSource::~ByteSource() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ByteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    throw error("ends early", "write it again");
  }
  if (out.empty()) return;
  if (descriptor_ < 0) {
    std::memcpy(out.data(), memory_.data() + offset, out.size());
    return;
  }
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw error("cannot be read: " + std::generic_category().message(errno), "");
    if (n == 0) throw error("became shorter while being read", "wait until its writer is done");
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::string ByteSource::read_text(std::uint64_t offset, std::size_t count) const {
  if (offset > size_ || count > size_ - offset) throw error("ends early", "write it again");
  std::string text(count, '\0');
  read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

Error ByteSource::error(const std::string& problem, const std::string& action) const {
  return Error(ErrorKind::input_output, subject_, problem, action);
}

}  // namespace karat::files
