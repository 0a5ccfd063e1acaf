// A file that appears under its name whole or not at all: written beside it as `.NAME.XXXXXX.part`,
// then fsync, rename, fsync of the folder. A killed run leaves at most that .part file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace karat::files {

/// Every failure throws Error(input_output) naming the destination and the system's reason (folder
/// missing or not writable, disk full, destination a folder or a device). Where a resource limit
/// on file size is set, SIGXFSZ must be ignored for that to be an error instead of a signal.
class AtomicFile {
 public:
  /// Creates the temporary file in the destination's folder, with the permissions a new file gets.
  /// A destination that is a symbolic link is followed; one that exists must be a regular file.
  explicit AtomicFile(const std::filesystem::path& destination);
  /// Removes the temporary file unless commit() came to its end.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends at the current end of what write() wrote.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  /// Makes the content durable and gives it its final name, replacing what was there.
  void commit();

  /// The temporary file, for libraries that want a name to write to.
  const std::filesystem::path& temporary_path() const { return temporary_; }
  /// The name the user gave.
  const std::filesystem::path& destination() const { return named_; }

 private:
  [[noreturn]] void fail(const char* what, int error) const;
  void sync_folder() const;

  std::filesystem::path named_;      ///< as given, for messages
  std::filesystem::path target_;     ///< links followed
  std::filesystem::path temporary_;  ///< empty once committed
  int descriptor_ = -1;
};

/// Writes a whole file atomically.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace karat::files
