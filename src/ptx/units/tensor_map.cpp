// The 128 bytes of a tensor map and what cuTensorMapEncodeTiled checks.
#include "units/tensor_map.hpp"

#include <bit>
#include <cstring>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx::units {
namespace {

// The image as sixteen 64-bit words:
//   0 magic   1 nothing (programs clear bit 21)   2 address   3 attributes, one byte each
//   4-8 sizes   9-12 strides of dimensions 1 to 4   13 boxes 0 to 3, 16 bits each
//   14 box 4, then five element strides of 8 bits   15 nothing
using Words = std::array<std::uint64_t, 16>;
constexpr std::uint64_t kMagic = 0x70616D2D7461726B;  // "krat-map", little endian
enum Attribute { kType, kRankMinusOne, kInterleave, kSwizzle, kPromotion, kFill };
constexpr std::size_t kMagicAt = 0, kAddressAt = 2, kAttributesAt = 3, kSizeAt = 4, kStrideAt = 9,
                      kBoxAt = 13, kLastAt = 14;

constexpr std::uint64_t mask(int width) { return (std::uint64_t{1} << width) - 1; }

void put(std::uint64_t& word, int first, int width, std::uint64_t value) {
  word = (word & ~(mask(width) << first)) | value << first;
}
std::uint64_t get(std::uint64_t word, int first, int width) {
  return (word >> first) & mask(width);
}

void put_box(Words& words, int i, std::uint64_t value) {
  i < 4 ? put(words[kBoxAt], 16 * i, 16, value) : put(words[kLastAt], 0, 16, value);
}
std::uint64_t get_box(const Words& words, int i) {
  return i < 4 ? get(words[kBoxAt], 16 * i, 16) : get(words[kLastAt], 0, 16);
}
void put_attribute(Words& words, Attribute which, std::uint64_t value) {
  put(words[kAttributesAt], 8 * which, 8, value);
}
std::uint64_t get_attribute(const Words& words, Attribute which) {
  return get(words[kAttributesAt], 8 * which, 8);
}

[[noreturn]] void fail(const std::string& problem, const std::string& action = {}) {
  throw Error(ErrorKind::usage, "tensor map", problem, action);
}

Words words_of(std::span<const std::byte> image) {
  if (image.size() != kTensorMapBytes) {
    fail(std::to_string(image.size()) + " bytes given", "a map has 128");
  }
  Words words;
  std::memcpy(words.data(), image.data(), sizeof words);
  return words;
}

std::string dimension(const char* what, int i) {
  return std::string(what) + "[" + std::to_string(i) + "]";
}

std::uint64_t span_of(TensorSwizzle swizzle) {
  return swizzle == TensorSwizzle::none ? 0 : std::uint64_t{16} << static_cast<int>(swizzle);
}

bool is_floating(TensorType type) { return type >= TensorType::f16; }

constexpr TensorType kPtxTypes[] = {
    TensorType::u8,   TensorType::u16,  TensorType::u32,     TensorType::s32,     TensorType::u64,
    TensorType::s64,  TensorType::f16,  TensorType::f32,     TensorType::f32_ftz, TensorType::f64,
    TensorType::bf16, TensorType::tf32, TensorType::tf32_ftz};

}  // namespace

int tensor_type_bytes(TensorType type) {
  switch (type) {
    case TensorType::u8:
      return 1;
    case TensorType::u16:
    case TensorType::f16:
    case TensorType::bf16:
      return 2;
    case TensorType::u64:
    case TensorType::s64:
    case TensorType::f64:
      return 8;
    default:
      return 4;
  }
}

void check(const TensorMap& map) {
  if (map.type > TensorType::tf32_ftz) fail("no element type " + std::to_string(int(map.type)));
  if (map.rank < 1 || map.rank > 5) {
    fail("rank " + std::to_string(map.rank), "ranks are 1 to 5");
  }
  if (map.interleave > 2) fail("no interleave mode " + std::to_string(map.interleave));
  if (map.interleave != 0) fail("interleaved layouts are not supported", "use interleave none");
  if (map.swizzle > TensorSwizzle::bytes128) {
    fail("swizzle mode " + std::to_string(int(map.swizzle)) + " is not supported",
         "0 to 3 are none, 32, 64 and 128 bytes");
  }
  if (map.fill > OutOfBounds::nan) fail("no fill mode " + std::to_string(int(map.fill)));
  if (map.l2_promotion > 3) fail("no L2 promotion " + std::to_string(map.l2_promotion));
  if (map.address % 16 != 0) fail("the global address is no multiple of 16");
  if (map.fill == OutOfBounds::nan && !is_floating(map.type)) {
    fail("NaN fill needs a floating-point element type");
  }
  const auto element = static_cast<std::uint64_t>(tensor_type_bytes(map.type));
  for (int i = 0; i < map.rank; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (map.size[at] < 1 || map.size[at] > std::uint64_t{1} << 32) {
      fail(dimension("size", i) + " = " + std::to_string(map.size[at]), "sizes are 1 to 2^32");
    }
    if (i > 0 && (map.stride[at] % 16 != 0 || map.stride[at] >= std::uint64_t{1} << 40)) {
      fail(dimension("stride", i) + " = " + std::to_string(map.stride[at]) + " bytes",
           "strides are multiples of 16 below 2^40");
    }
    if (map.box[at] < 1 || map.box[at] > 256) {
      fail(dimension("box", i) + " = " + std::to_string(map.box[at]), "boxes are 1 to 256");
    }
    if (map.element_stride[at] < 1 || map.element_stride[at] > 8) {
      fail(dimension("element stride", i) + " = " + std::to_string(map.element_stride[at]),
           "element strides are 1 to 8");
    }
  }
  const std::uint64_t inner = map.box[0] * element;
  if (inner % 16 != 0) {
    fail("the inner box has " + std::to_string(inner) + " bytes", "make it a multiple of 16");
  }
  const std::uint64_t span = span_of(map.swizzle);
  if (span != 0 && inner > span) {
    fail("the inner box has " + std::to_string(inner) + " bytes, its swizzle spans " +
             std::to_string(span),
         "make box[0] smaller or the swizzle wider");
  }
}

TensorMapImage encode(const TensorMap& map) {
  check(map);
  Words words = {};
  words[kMagicAt] = kMagic;
  words[kAddressAt] = map.address;
  put_attribute(words, kType, static_cast<std::uint64_t>(map.type));
  put_attribute(words, kRankMinusOne, static_cast<std::uint64_t>(map.rank - 1));
  put_attribute(words, kInterleave, map.interleave);
  put_attribute(words, kSwizzle, static_cast<std::uint64_t>(map.swizzle));
  put_attribute(words, kPromotion, map.l2_promotion);
  put_attribute(words, kFill, static_cast<std::uint64_t>(map.fill));
  for (int i = 0; i < map.rank; ++i) {
    const auto at = static_cast<std::size_t>(i);
    words[kSizeAt + at] = map.size[at];
    if (i > 0) words[kStrideAt + at - 1] = map.stride[at];
    put_box(words, i, map.box[at]);
    put(words[kLastAt], 16 + 8 * i, 8, map.element_stride[at]);
  }
  return std::bit_cast<TensorMapImage>(words);
}

TensorMap decode(std::span<const std::byte> image) {
  const Words words = words_of(image);
  if (words[kMagicAt] != kMagic) {
    fail("the 128 bytes are no tensor map made here",
         "encode it with cuTensorMapEncodeTiled of the runtime stub, or as a parameter of the "
         "launch file");
  }
  TensorMap map;
  map.address = words[kAddressAt];
  map.type = static_cast<TensorType>(get_attribute(words, kType));
  map.rank = static_cast<int>(get_attribute(words, kRankMinusOne)) + 1;
  map.interleave = static_cast<std::uint8_t>(get_attribute(words, kInterleave));
  map.swizzle = static_cast<TensorSwizzle>(get_attribute(words, kSwizzle));
  map.l2_promotion = static_cast<std::uint8_t>(get_attribute(words, kPromotion));
  map.fill = static_cast<OutOfBounds>(get_attribute(words, kFill));
  for (int i = 0; i < std::min(map.rank, 5); ++i) {
    const auto at = static_cast<std::size_t>(i);
    map.size[at] = words[kSizeAt + at];
    if (i > 0) map.stride[at] = words[kStrideAt + at - 1];
    map.box[at] = static_cast<std::uint32_t>(get_box(words, i));
    map.element_stride[at] = static_cast<std::uint32_t>(get(words[kLastAt], 16 + 8 * i, 8));
  }
  check(map);
  return map;
}

TensorMapField tensor_map_field(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "global_address", "rank",     "box_dim",           "global_dim",   "global_stride",
      "element_stride", "elemtype", "interleave_layout", "swizzle_mode", "fill_mode"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<TensorMapField>(i);
  }
  throw Error(ErrorKind::usage, "tensormap.replace", "no field '" + std::string(name) + "'");
}

void replace_field(std::span<std::byte> image, TensorMapField field, int ordinal,
                   std::uint64_t value) {
  Words words = words_of(image);
  if (words == Words{}) words[kMagicAt] = kMagic;
  if (words[kMagicAt] != kMagic) {
    fail("tensormap.replace of 128 bytes that are neither zero nor a map made here");
  }
  const bool ordered = field == TensorMapField::box_dim || field == TensorMapField::global_dim ||
                       field == TensorMapField::global_stride ||
                       field == TensorMapField::element_stride;
  const int dimensions = field == TensorMapField::global_stride ? 4 : 5;
  if (ordered && (ordinal < 0 || ordinal >= dimensions)) {
    fail("tensormap.replace of dimension " + std::to_string(ordinal));
  }
  const auto at = static_cast<std::size_t>(ordered ? ordinal : 0);
  const auto narrow = [&](int width) {
    if (value > mask(width)) fail("tensormap.replace with the value " + std::to_string(value));
    return value;
  };
  switch (field) {
    case TensorMapField::global_address:
      words[kAddressAt] = value;
      break;
    case TensorMapField::rank:
      put_attribute(words, kRankMinusOne, narrow(8));
      break;
    case TensorMapField::box_dim:
      put_box(words, ordinal, narrow(16));
      break;
    case TensorMapField::global_dim:
      words[kSizeAt + at] = value;
      break;
    case TensorMapField::global_stride:
      words[kStrideAt + at] = value;
      break;
    case TensorMapField::element_stride:
      put(words[kLastAt], 16 + 8 * ordinal, 8, narrow(8));
      break;
    case TensorMapField::elemtype:
      if (value >= std::size(kPtxTypes)) {
        fail("tensormap.replace with element type " + std::to_string(value));
      }
      put_attribute(words, kType, static_cast<std::uint64_t>(kPtxTypes[value]));
      break;
    case TensorMapField::interleave_layout:
      put_attribute(words, kInterleave, narrow(8));
      break;
    case TensorMapField::swizzle_mode:
      put_attribute(words, kSwizzle, narrow(8));
      break;
    case TensorMapField::fill_mode:
      put_attribute(words, kFill, narrow(8));
      break;
  }
  std::memcpy(image.data(), words.data(), sizeof words);
}

}  // namespace karat::ptx::units
