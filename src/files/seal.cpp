// Writing and verifying the 512-byte seal. A seal is read by writing it again from its fields and
// comparing all 512 bytes, so there is exactly one valid form.
#include "karat/files/seal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "byte_source.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "system_error.hpp"

namespace karat::files {
namespace {

constexpr std::string_view kFirstLine = "karat sealed file\n";
constexpr const char* kAction = "copy it again or make it anew with karat make";

std::string seal_text(const Seal& seal) {
  std::string text(kFirstLine);
  text += "schema: " + seal.schema + "\nbytes: " + std::to_string(seal.bytes) +
          "\nsha256: " + seal.sha256 + "\n";
  text.resize(kSealSize - 1, ' ');
  return text + "\n";
}

bool is_schema(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

/// What follows `label` on its line; empty if there is no such line.
std::string_view field(std::string_view text, std::string_view label) {
  const auto at = text.find(label);
  if (at == text.npos) return {};
  const auto first = at + label.size();
  return text.substr(first, std::min(text.find('\n', first), text.size()) - first);
}

std::optional<Seal> parse_seal(std::string_view text) {
  Seal seal{.schema = std::string(field(text, "\nschema: ")),
            .bytes = 0,
            .sha256 = std::string(field(text, "\nsha256: "))};
  const auto bytes = field(text, "\nbytes: ");
  std::from_chars(bytes.data(), bytes.data() + bytes.size(), seal.bytes);
  const bool good = is_schema(seal.schema) && seal.sha256.size() == 64 && seal_text(seal) == text;
  return good ? std::optional(seal) : std::nullopt;
}

}  // namespace

Seal write_seal(const std::filesystem::path& path, const std::string& schema) {
  if (!is_schema(schema)) throw Error(ErrorKind::internal, path.string(), "bad schema in seal");
  const std::uint64_t size = ByteSource(path).size();
  const Seal seal{.schema = schema,
                  .bytes = size - std::min<std::uint64_t>(size, kSealSize),
                  .sha256 = sha256_file(path, kSealSize)};
  const std::string text = seal_text(seal);
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const ssize_t written = descriptor < 0 ? -1 : ::pwrite(descriptor, text.data(), kSealSize, 0);
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (written != static_cast<ssize_t>(kSealSize)) {
    throw system_error(path.string(), "cannot be sealed", error);
  }
  return seal;
}

std::optional<Seal> verify_seal(const std::filesystem::path& path) {
  const ByteSource source(path);
  const auto head = static_cast<std::size_t>(std::min<std::uint64_t>(source.size(), kSealSize));
  const std::string text = source.read_text(0, head);
  if (!text.starts_with(kFirstLine)) return std::nullopt;
  const auto seal = parse_seal(text);
  if (!seal) throw source.error("its seal is damaged", kAction);
  const std::uint64_t held = source.size() - kSealSize;
  if (held != seal->bytes) {
    throw source.error("is " + std::string(held < seal->bytes ? "cut short" : "too long") + ": " +
                           std::to_string(held) + " bytes of content where its seal says " +
                           std::to_string(seal->bytes),
                       kAction);
  }
  if (sha256_file(path, kSealSize) != seal->sha256) {
    throw source.error("is damaged: its content does not match the SHA-256 in its seal", kAction);
  }
  return seal;
}

}  // namespace karat::files
