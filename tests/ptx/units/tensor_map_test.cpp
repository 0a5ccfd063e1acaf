// Tensor maps: what is refused, what survives the image, fields replaced one by one.
#include "units/tensor_map.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "karat/numerics/base/error.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

TensorMap good() {
  return {.type = TensorType::bf16,
          .rank = 4,
          .address = 0x7F0000001000,
          .size = {128, 77, 1000, std::uint64_t{1} << 32, 1},
          .stride = {0, 256, 19712, 19712000, 0},
          .box = {64, 16, 2, 1, 1},
          .element_stride = {1, 1, 2, 1, 1},
          .swizzle = TensorSwizzle::bytes128,
          .l2_promotion = 2,
          .fill = OutOfBounds::nan};
}

TEST(PtxTensorMap, ImagesKeepEveryField) {
  EXPECT_EQ(decode(encode(good())), good());
  for (int rank = 1; rank <= 5; ++rank) {
    TensorMap map{.type = TensorType::u8, .rank = rank, .address = 16};
    for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i) {
      map.size[i] = 10 + i;
      map.box[i] = i == 0 ? 256 : 3;
      if (i > 0) map.stride[i] = 16 * i;
    }
    EXPECT_EQ(decode(encode(map)), map);
  }
}

// CUTLASS and Triton clear bit 21 of the second word on older drivers.
TEST(PtxTensorMap, Bit21OfWord1MeansNothing) {
  for (const bool set : {false, true}) {
    TensorMapImage image = encode(good());
    std::uint64_t word;
    std::memcpy(&word, image.data() + 8, 8);
    word = set ? word | 1u << 21 : word & ~(std::uint64_t{1} << 21);
    std::memcpy(image.data() + 8, &word, 8);
    EXPECT_EQ(decode(image), good());
  }
}

TEST(PtxTensorMap, ForeignBytesAreRefused) {
  TensorMapImage image{};
  EXPECT_THROW(decode(image), Error);
  image.fill(std::byte{0x55});
  EXPECT_THROW(decode(image), Error);
  EXPECT_THROW(decode(std::span(image).first(64)), Error);
  EXPECT_THROW(replace_field(image, TensorMapField::rank, 0, 1), Error);
}

TEST(PtxTensorMap, ChecksAreTheDrivers) {
  const std::pair<const char*, std::function<void(TensorMap&)>> faults[] = {
      {"rank 0", [](TensorMap& m) { m.rank = 0; }},
      {"rank 6", [](TensorMap& m) { m.rank = 6; }},
      {"address", [](TensorMap& m) { m.address += 8; }},
      {"size 0", [](TensorMap& m) { m.size[1] = 0; }},
      {"size", [](TensorMap& m) { m.size[3] = (std::uint64_t{1} << 32) + 1; }},
      {"stride", [](TensorMap& m) { m.stride[2] += 8; }},
      {"stride 2^40", [](TensorMap& m) { m.stride[3] = std::uint64_t{1} << 40; }},
      {"box 0", [](TensorMap& m) { m.box[2] = 0; }},
      {"box 257", [](TensorMap& m) { m.box[1] = 257; }},
      {"inner box", [](TensorMap& m) { m.box[0] = 60; }},
      {"span", [](TensorMap& m) { m.swizzle = TensorSwizzle::bytes64; }},
      {"element stride 0", [](TensorMap& m) { m.element_stride[1] = 0; }},
      {"element stride 9", [](TensorMap& m) { m.element_stride[1] = 9; }},
      {"interleave", [](TensorMap& m) { m.interleave = 1; }},
      {"interleave 7", [](TensorMap& m) { m.interleave = 7; }},
      {"swizzle 4", [](TensorMap& m) { m.swizzle = static_cast<TensorSwizzle>(4); }},
      {"fill 2", [](TensorMap& m) { m.fill = static_cast<OutOfBounds>(2); }},
      {"promotion", [](TensorMap& m) { m.l2_promotion = 4; }},
      {"type", [](TensorMap& m) { m.type = static_cast<TensorType>(13); }},
      {"NaN", [](TensorMap& m) { m.type = TensorType::u16; }}};
  for (const auto& [name, fault] : faults) {
    TensorMap map = good();
    fault(map);
    EXPECT_THROW(encode(map), Error) << name;
  }
}

// The order in which Triton's device descriptors write their fields, into 128 zero bytes.
TEST(PtxTensorMap, FieldsBuildAMap) {
  TensorMapImage image{};
  const auto set = [&](const char* field, int ordinal, std::uint64_t value) {
    replace_field(image, tensor_map_field(field), ordinal, value);
  };
  set("global_address", 0, 0x1000);
  set("rank", 0, 1);
  set("box_dim", 0, 64);
  set("box_dim", 1, 128);
  set("global_dim", 0, 128);
  set("global_dim", 1, 4096);
  set("global_stride", 0, 256);
  set("element_stride", 0, 1);
  set("element_stride", 1, 1);
  set("elemtype", 0, 10);
  set("interleave_layout", 0, 0);
  set("swizzle_mode", 0, 3);
  set("fill_mode", 0, 0);
  const TensorMap want{.type = TensorType::bf16,
                       .rank = 2,
                       .address = 0x1000,
                       .size = {128, 4096, 1, 1, 1},
                       .stride = {0, 256, 0, 0, 0},
                       .box = {64, 128, 1, 1, 1},
                       .swizzle = TensorSwizzle::bytes128};
  EXPECT_EQ(decode(image), want);
}

TEST(PtxTensorMap, ReplacedFieldsKeepTheRest) {
  TensorMapImage image = encode(good());
  replace_field(image, TensorMapField::global_address, 0, 0x2000);
  replace_field(image, TensorMapField::global_dim, 3, 5);
  replace_field(image, TensorMapField::global_stride, 2, 32);
  TensorMap want = good();
  want.address = 0x2000;
  want.size[3] = 5;
  want.stride[3] = 32;
  EXPECT_EQ(decode(image), want);
  EXPECT_THROW(replace_field(image, TensorMapField::box_dim, 5, 1), Error);
  EXPECT_THROW(replace_field(image, TensorMapField::global_stride, 4, 16), Error);
  EXPECT_THROW(replace_field(image, TensorMapField::box_dim, 0, 70000), Error);
  EXPECT_THROW(replace_field(image, TensorMapField::elemtype, 0, 13), Error);
  EXPECT_THROW(tensor_map_field("colour"), Error);
}

// PTX numbers f32.ftz 8 and f64 9, the driver the other way round.
TEST(PtxTensorMap, ElementTypesOfPtx) {
  const TensorType types[] = {
      TensorType::u8,   TensorType::u16,  TensorType::u32,     TensorType::s32,     TensorType::u64,
      TensorType::s64,  TensorType::f16,  TensorType::f32,     TensorType::f32_ftz, TensorType::f64,
      TensorType::bf16, TensorType::tf32, TensorType::tf32_ftz};
  for (std::size_t i = 0; i < std::size(types); ++i) {
    TensorMap map{.type = TensorType::f16, .box = {16, 1, 1, 1, 1}};
    TensorMapImage image = encode(map);
    replace_field(image, TensorMapField::elemtype, 0, i);
    map.type = types[i];
    EXPECT_EQ(decode(image), map) << i;
  }
}

}  // namespace
}  // namespace karat::ptx::units
