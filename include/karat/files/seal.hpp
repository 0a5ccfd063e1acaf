// A seal: the first 512 bytes of a karat HDF5 file (its user block) hold, as text, what the file is
// and the SHA-256 of everything after, so damage is found before any HDF5 code looks at the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace karat::files {

/// Room left at the start of the file; HDF5 finds its own signature after it.
constexpr std::size_t kSealSize = 512;

struct Seal {
  std::string schema;       ///< what the content is, such as "karat-golden/1"
  std::uint64_t bytes = 0;  ///< of the content after the seal
  std::string sha256;       ///< of the content, as `tail -c +513 FILE | sha256sum` prints it

  friend bool operator==(const Seal&, const Seal&) = default;
};

/// Hashes the content after the first 512 bytes and writes the seal over them:
///   karat sealed file\nschema: ...\nbytes: ...\nsha256: ...\n, then blanks, then a newline.
/// `schema` is 1 to 64 printable characters. Throws Error(input_output) if the file cannot be
/// read or written, Error(internal) for another schema.
Seal write_seal(const std::filesystem::path& path, const std::string& schema);

/// The seal of a file, or nothing if it does not begin like a sealed file. The content is read and
/// hashed in pieces: Error(input_output) says so if it is shorter, longer or other than sealed, or
/// if the seal itself is damaged.
std::optional<Seal> verify_seal(const std::filesystem::path& path);

}  // namespace karat::files
