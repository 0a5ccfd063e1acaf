// SHA-256 through OpenSSL's EVP interface.
// See karat/files/sha256.hpp.
#include "karat/files/sha256.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "byte_source.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::files {

struct Sha256::Context {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(handle); }

  static void require(bool done) {
    if (!done) throw Error(ErrorKind::internal, "SHA-256", "OpenSSL does not offer it");
  }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  Context::require(context_->handle != nullptr &&
                   EVP_DigestInit_ex(context_->handle, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  Context::require(EVP_DigestUpdate(context_->handle, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  Context::require(EVP_DigestFinal_ex(context_->handle, digest.data(), nullptr) == 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path, std::uint64_t offset) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;
  const ByteSource source(path);
  if (offset > source.size()) throw source.error("ends early", "write it again");
  Sha256 hash;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(kPiece, source.size() - offset)));
  while (offset < source.size()) {
    const auto piece =
        std::span(buffer).first(static_cast<std::size_t>(std::min(kPiece, source.size() - offset)));
    source.read(offset, piece);
    hash.update(piece);
    offset += piece.size();
  }
  return hash.hex();
}

}  // namespace karat::files
