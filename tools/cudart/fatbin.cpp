#include "fatbin.hpp"

#include <lz4.h>
#include <zstd.h>

#include <cstring>

#include "karat/numerics/base/error.hpp"

namespace karat::cudart {
namespace {

constexpr std::uint32_t kMagic = 0xBA55ED50;
constexpr std::uint16_t kPtx = 1;
constexpr std::uint64_t kCompressedLz4 = 0x2000, kCompressedZstd = 0x8000;
constexpr std::uint64_t kSpecific = 0x100000;
/// Most text an image may have after decompression.
constexpr std::uint64_t kMostText = std::uint64_t{1} << 30;

/// Fields of an entry's header by their place in it.
constexpr std::size_t kEntryHeader = 64;
constexpr std::size_t kHeaderBytesAt = 4, kPayloadBytesAt = 8, kCompressedBytesAt = 16,
                      kArchitectureAt = 28, kFlagsAt = 40, kTextBytesAt = 56;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorKind::input_output, "fat binary", problem);
}

template <typename T>
T field(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string decompress(std::span<const std::byte> payload, std::uint64_t flags,
                       std::uint64_t text_bytes) {
  if (text_bytes > kMostText) refuse("its PTX has more than 1 GiB");
  std::string text(text_bytes, '\0');
  const auto* const from = reinterpret_cast<const char*>(payload.data());
  std::size_t made = 0;
  if ((flags & kCompressedZstd) != 0) {
    made = ZSTD_decompress(text.data(), text.size(), from, payload.size());
  } else if ((flags & kCompressedLz4) != 0) {
    const int done = LZ4_decompress_safe(from, text.data(), static_cast<int>(payload.size()),
                                         static_cast<int>(text.size()));
    made = done < 0 ? ~std::size_t{0} : static_cast<std::size_t>(done);
  }
  if (made != text.size()) refuse("its PTX does not decompress");
  return text;
}

PtxImage image_of(std::span<const std::byte> header, std::span<const std::byte> payload) {
  const auto flags = field<std::uint64_t>(header, kFlagsAt);
  PtxImage image{.architecture = static_cast<int>(field<std::uint32_t>(header, kArchitectureAt)),
                 .specific = (flags & kSpecific) != 0};
  if ((flags & (kCompressedZstd | kCompressedLz4)) != 0) {
    const auto packed = field<std::uint32_t>(header, kCompressedBytesAt);
    if (packed > payload.size()) refuse("an entry's compressed bytes exceed the entry");
    image.text =
        decompress(payload.first(packed), flags, field<std::uint64_t>(header, kTextBytesAt));
  } else {
    image.text.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
  }
  image.text.resize(std::strlen(image.text.c_str()));  // zeros pad it
  return image;
}

}  // namespace

std::uint64_t fat_binary_bytes(const std::byte* header) {
  const std::span<const std::byte> bytes(header, 16);
  if (field<std::uint32_t>(bytes, 0) != kMagic) refuse("it does not begin as one");
  return field<std::uint16_t>(bytes, 6) + field<std::uint64_t>(bytes, 8);
}

FatBinary read_fat_binary(std::span<const std::byte> bytes) {
  if (bytes.size() < 16) refuse("it ends in its header");
  const std::uint64_t whole = fat_binary_bytes(bytes.data());
  if (whole > bytes.size() || whole < 16) refuse("it ends before its entries do");
  bytes = bytes.first(whole).subspan(field<std::uint16_t>(bytes, 6));
  FatBinary binary;
  while (!bytes.empty()) {
    if (bytes.size() < kEntryHeader) refuse("an entry ends in its header");
    const auto header = field<std::uint32_t>(bytes, kHeaderBytesAt);
    const auto payload = field<std::uint64_t>(bytes, kPayloadBytesAt);
    if (header < kEntryHeader || header > bytes.size() || payload > bytes.size() - header)
      refuse("an entry is longer than the file");
    if (field<std::uint16_t>(bytes, 0) == kPtx)
      binary.images.push_back(image_of(bytes.first(header), bytes.subspan(header, payload)));
    else
      ++binary.machine_code;
    bytes = bytes.subspan(header + payload);
  }
  return binary;
}

const PtxImage* image_for_hopper(const FatBinary& binary) {
  const PtxImage* best = nullptr;
  const auto rank = [](const PtxImage& each) { return each.architecture * 2 + each.specific; };
  for (const PtxImage& each : binary.images) {
    const bool runs = each.architecture < 90 ? !each.specific : each.architecture == 90;
    if (runs && (best == nullptr || rank(each) > rank(*best))) best = &each;
  }
  return best;
}

}  // namespace karat::cudart
