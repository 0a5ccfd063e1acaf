// Bytes that a parser reads by offset: a span of memory, or a regular file without loading it.
// Files are read with pread, not mapped: a file cut short meanwhile is an error, not a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::files {

class ByteSource {
 public:
  ByteSource(std::span<const std::byte> memory, std::string subject);
  /// Throws Error(input_output) unless `path` is a readable regular file.
  explicit ByteSource(const std::filesystem::path& path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  std::uint64_t size() const { return size_; }
  /// Fills `out`; throws Error(input_output) if the bytes do not lie inside.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  std::string read_text(std::uint64_t offset, std::size_t count) const;
  /// What messages call it.
  const std::string& subject() const { return subject_; }

  /// Error(input_output) with this source as the subject.
  Error error(const std::string& problem, const std::string& action) const;

 private:
  std::string subject_;
  std::span<const std::byte> memory_;
  std::uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace karat::files
