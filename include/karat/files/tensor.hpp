// A tensor in memory as files know it: a number type, a shape and the raw little-endian bytes.
// Values are never converted here; widen.hpp turns float tensors into f32 exactly.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace karat::files {

enum class DType : std::uint8_t {
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  bf16,
  f16,
  f32,
  f64,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
  boolean,
};

/// How an element lies in memory: codes of the small formats are unsigned integers.
enum class Storage : std::uint8_t { unsigned_integer, signed_integer, floating };

/// One row of the table of number types; everything about a type in a file is derived from it.
struct DTypeInfo {
  DType dtype;
  std::string_view name;         ///< in messages, HDF5 `format` attributes and npy notes: "e4m3"
  std::string_view safetensors;  ///< "F8_E4M3"
  std::string_view npy;          ///< "|u1"; types NumPy cannot name show their code's type
  bool npy_names_it;             ///< false where .npy needs a note beside the file
  std::size_t size;              ///< bytes of an element
  Storage storage;
};

/// All types in the order of DType.
std::span<const DTypeInfo> dtypes();
const DTypeInfo& info(DType dtype);
/// The type called `name`, if any.
std::optional<DType> dtype_named(std::string_view name);

using Shape = std::vector<std::size_t>;

/// Most dimensions a tensor may have (NumPy's and HDF5's limit).
constexpr std::size_t kMaxRank = 32;

/// Product of the dimensions, 1 for a scalar, 0 if any is 0; nothing if it exceeds 2^63 - 1.
std::optional<std::size_t> checked_count(std::span<const std::size_t> shape);
/// checked_count times the element size, with the same limit.
std::optional<std::size_t> checked_bytes(DType dtype, std::span<const std::size_t> shape);
/// "[2, 3]", as messages print it.
std::string to_string(std::span<const std::size_t> shape);

/// Types that can view the storage of some DType.
template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> ||
    (std::integral<T> && !std::same_as<T, bool> && sizeof(T) <= 8);

template <Element T>
constexpr Storage kStorageOf = std::floating_point<T>    ? Storage::floating
                               : std::signed_integral<T> ? Storage::signed_integer
                                                         : Storage::unsigned_integer;

/// Row-major values; bytes.size() == product(shape) * info(dtype).size.
struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> bytes;

  std::size_t element_count() const { return bytes.size() / info(dtype).size; }

  /// The elements as T: float for f32, double for f64, std::uint8_t for e4m3, std::uint16_t for
  /// bf16 and so on. Any other T throws Error(internal): look at `dtype` first.
  template <Element T>
  std::span<const T> as() const {
    require_storage(kStorageOf<T>, sizeof(T));
    return {reinterpret_cast<const T*>(bytes.data()), element_count()};
  }
  template <Element T>
  std::span<T> as() {
    require_storage(kStorageOf<T>, sizeof(T));
    return {reinterpret_cast<T*>(bytes.data()), element_count()};
  }

  friend bool operator==(const Tensor&, const Tensor&) = default;

 private:
  void require_storage(Storage storage, std::size_t size) const;
};

/// A tensor of zeros. Throws Error(internal) if the size overflows.
Tensor make_tensor(DType dtype, Shape shape);

/// A tensor holding a copy of `values`; their number must be product(shape), else Error(internal).
Tensor make_tensor(DType dtype, Shape shape, std::span<const std::byte> values);
template <class T>
concept ElementRange = Element<std::ranges::range_value_t<T>>;
template <ElementRange Range>
Tensor make_tensor(DType dtype, Shape shape, const Range& values) {
  using T = std::ranges::range_value_t<Range>;
  Tensor tensor = make_tensor(dtype, std::move(shape), std::as_bytes(std::span<const T>(values)));
  (void)tensor.as<T>();  // refuses values of another storage
  return tensor;
}

/// Tensors by name, in the order of their names.
using Tensors = std::map<std::string, Tensor>;
/// Free text beside the tensors (safetensors `__metadata__`).
using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  Tensors tensors;
  Metadata metadata;

  friend bool operator==(const TensorFile&, const TensorFile&) = default;
};

/// What a file says about one tensor, without its values.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::string problem;  ///< why it cannot be read as a tensor; empty if it can

  friend bool operator==(const TensorInfo&, const TensorInfo&) = default;
};

}  // namespace karat::files
