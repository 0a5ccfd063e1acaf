#include "karat/ptx/tensor_map.hpp"

#include "karat/numerics/base/error.hpp"
#include "units/tensor_map.hpp"

namespace karat::ptx {
namespace {

[[noreturn]] void refuse(const char* argument, const char* problem) {
  throw Error(ErrorKind::usage, argument, problem);
}

template <typename Enum>
Enum chosen(std::uint32_t value, Enum last, const char* argument) {
  if (value > static_cast<std::uint32_t>(last)) refuse(argument, "is no value of its enumeration");
  return static_cast<Enum>(value);
}

}  // namespace

TensorMapBytes encode_tensor_map(const TiledMap& given) {
  const std::size_t rank = given.size.size();
  if (rank < 1 || rank > 5) refuse("tensorRank", "1 to 5 dimensions are possible");
  if (given.stride.size() + 1 != rank || given.box.size() != rank ||
      given.element_stride.size() != rank)
    refuse("tensorRank", "sizes, strides, box and element strides do not agree on it");
  if (given.interleave > 2) refuse("interleave", "is no value of its enumeration");
  units::TensorMap map{
      .type = chosen(given.type, units::TensorType::tf32_ftz, "tensorDataType"),
      .rank = static_cast<int>(rank),
      .address = given.address,
      .interleave = static_cast<std::uint8_t>(given.interleave),
      .swizzle = chosen(given.swizzle, units::TensorSwizzle::bytes128, "swizzle"),
      .l2_promotion = static_cast<std::uint8_t>(given.l2_promotion),
      .fill = chosen(given.fill, units::OutOfBounds::nan, "oobFill"),
  };
  for (std::size_t i = 0; i < rank; ++i) {
    map.size[i] = given.size[i];
    map.box[i] = given.box[i];
    map.element_stride[i] = given.element_stride[i];
    if (i > 0) map.stride[i] = given.stride[i - 1];
  }
  return units::encode(map);
}

TensorMapBytes with_address(std::span<const std::byte> image, std::uint64_t address) {
  units::TensorMap map = units::decode(image);
  map.address = address;
  return units::encode(map);
}

}  // namespace karat::ptx
