// The table of number types, overflow-safe sizes and typed access.
#include "karat/files/tensor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "karat/numerics/base/error.hpp"
#include "scratch.hpp"

namespace karat::files {
namespace {

TEST(DType, NamesAreDistinctAndFoundAgain) {
  std::set<std::string_view> names, safetensors;
  for (const DTypeInfo& row : dtypes()) {
    EXPECT_EQ(&info(row.dtype), &row);
    EXPECT_EQ(dtype_named(row.name), row.dtype);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(safetensors.insert(row.safetensors).second) << row.safetensors;
  }
  EXPECT_EQ(dtype_named("e4m3fnuz"), std::nullopt);
}

TEST(Shape, SizesNeverWrapAround) {
  constexpr std::size_t kBig = std::size_t{1} << 32;
  EXPECT_EQ(checked_count(Shape{}), 1u);
  EXPECT_EQ(checked_count(Shape{2, 3, 4}), 24u);
  EXPECT_EQ(checked_count(Shape{kBig, kBig / 4}), std::size_t{1} << 62);
  EXPECT_EQ(checked_count(Shape{kBig, kBig / 2}), std::nullopt);
  EXPECT_EQ(checked_count(Shape{kBig, kBig}), std::nullopt);  // 2^64 wraps to 0
  EXPECT_EQ(checked_count(Shape{kBig, kBig, 0}), 0u);
  EXPECT_EQ(checked_bytes(DType::f32, Shape{3, 5}), 60u);
  EXPECT_EQ(checked_bytes(DType::f64, Shape{std::size_t{1} << 60}), std::nullopt);
  EXPECT_EQ(checked_bytes(DType::f64, Shape{SIZE_MAX}), std::nullopt);
  EXPECT_EQ(checked_bytes(DType::f64, Shape{0, SIZE_MAX}), 0u);
}

TEST(Tensor, HoldsTheValuesItWasMadeFrom) {
  const std::vector<float> values{1.5f, -2.0f, 0.25f};
  const Tensor tensor = make_tensor(DType::f32, {3, 1}, values);
  EXPECT_THAT(tensor.as<float>(), testing::ElementsAreArray(values));
  EXPECT_EQ(tensor.element_count(), 3u);
  EXPECT_EQ(to_string(tensor.shape), "[3, 1]");
  EXPECT_EQ(make_tensor(DType::bf16, {2}).as<std::uint16_t>().size(), 2u);
}

TEST(Tensor, RefusesAnotherViewAndAnotherSize) {
  const Tensor codes = make_tensor(DType::f8_e4m3, {4});
  EXPECT_NO_THROW((void)codes.as<std::uint8_t>());
  EXPECT_THROW((void)codes.as<std::int8_t>(), Error);
  EXPECT_THROW((void)codes.as<std::uint16_t>(), Error);
  EXPECT_THROW((void)make_tensor(DType::i32, {1}).as<float>(), Error);
  EXPECT_THROW(make_tensor(DType::f32, {4}, std::vector{1.0f, 2.0f}), Error);
  EXPECT_THROW(make_tensor(DType::i32, {1}, std::vector{1.0f}), Error);
  EXPECT_THROW(make_tensor(DType::f32, Shape(33, 1)), Error);
}

}  // namespace
}  // namespace karat::files
