// The table of number types that files can hold, overflow-safe sizes, and tensor construction.
#include "karat/files/tensor.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "karat/numerics/base/error.hpp"

namespace karat::files {
namespace {

using enum Storage;

constexpr DTypeInfo kTable[] = {
    {DType::f8_e4m3, "e4m3", "F8_E4M3", "|u1", false, 1, unsigned_integer},
    {DType::f8_e5m2, "e5m2", "F8_E5M2", "|u1", false, 1, unsigned_integer},
    {DType::f8_e8m0, "e8m0", "F8_E8M0", "|u1", false, 1, unsigned_integer},
    {DType::bf16, "bf16", "BF16", "<u2", false, 2, unsigned_integer},
    {DType::f16, "f16", "F16", "<f2", true, 2, unsigned_integer},
    {DType::f32, "f32", "F32", "<f4", true, 4, floating},
    {DType::f64, "f64", "F64", "<f8", true, 8, floating},
    {DType::i8, "i8", "I8", "|i1", true, 1, signed_integer},
    {DType::u8, "u8", "U8", "|u1", true, 1, unsigned_integer},
    {DType::i16, "i16", "I16", "<i2", true, 2, signed_integer},
    {DType::u16, "u16", "U16", "<u2", true, 2, unsigned_integer},
    {DType::i32, "i32", "I32", "<i4", true, 4, signed_integer},
    {DType::u32, "u32", "U32", "<u4", true, 4, unsigned_integer},
    {DType::i64, "i64", "I64", "<i8", true, 8, signed_integer},
    {DType::u64, "u64", "U64", "<u8", true, 8, unsigned_integer},
    {DType::boolean, "bool", "BOOL", "|b1", true, 1, unsigned_integer},
};

constexpr bool table_follows_enum() {
  for (std::size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<std::size_t>(kTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_follows_enum());
static_assert(std::endian::native == std::endian::little, "files are little-endian, read as is");

}  // namespace

std::span<const DTypeInfo> dtypes() { return kTable; }

const DTypeInfo& info(DType dtype) { return kTable[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_named(std::string_view name) {
  const auto row = std::ranges::find(kTable, name, &DTypeInfo::name);
  return row == std::end(kTable) ? std::nullopt : std::optional(row->dtype);
}

std::optional<std::size_t> checked_count(std::span<const std::size_t> shape) {
  constexpr std::size_t kLimit = std::numeric_limits<std::ptrdiff_t>::max();
  if (std::ranges::find(shape, std::size_t{0}) != shape.end()) return 0;
  std::size_t count = 1;
  for (const std::size_t n : shape) {
    if (n > kLimit / count) return std::nullopt;
    count *= n;
  }
  return count;
}

std::optional<std::size_t> checked_bytes(DType dtype, std::span<const std::size_t> shape) {
  const std::size_t sizes[] = {checked_count(shape).value_or(SIZE_MAX), info(dtype).size};
  return checked_count(sizes);
}

std::string to_string(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

void Tensor::require_storage(Storage storage, std::size_t size) const {
  const DTypeInfo& row = info(dtype);
  if (row.storage == storage && row.size == size) return;
  throw Error(ErrorKind::internal, "tensor of " + std::string(row.name),
              "viewed as another type of " + std::to_string(size) + " bytes");
}

Tensor make_tensor(DType dtype, Shape shape) {
  const auto bytes = checked_bytes(dtype, shape);
  if (!bytes || shape.size() > kMaxRank) {
    throw Error(ErrorKind::internal, "tensor of shape " + to_string(shape), "is too large");
  }
  return Tensor{.dtype = dtype, .shape = std::move(shape), .bytes = std::vector<std::byte>(*bytes)};
}

Tensor make_tensor(DType dtype, Shape shape, std::span<const std::byte> values) {
  if (checked_bytes(dtype, shape) != values.size() || shape.size() > kMaxRank) {
    throw Error(ErrorKind::internal,
                "tensor of " + std::string(info(dtype).name) + " " + to_string(shape),
                "given " + std::to_string(values.size()) + " bytes");
  }
  return Tensor{.dtype = dtype, .shape = std::move(shape), .bytes = {values.begin(), values.end()}};
}

}  // namespace karat::files
