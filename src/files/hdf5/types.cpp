// See types.hpp.
#include "types.hpp"

#include <bit>
#include <cstring>

namespace karat::files {
namespace {

/// Where the bits of a floating-point type lie.
struct FloatBits {
  std::size_t size, sign, exponent_at, exponent, mantissa_at, mantissa, bias;
  friend bool operator==(const FloatBits&, const FloatBits&) = default;
};

/// Small floats that HDF5 1.10 has no predefined type for; h5py, with ml_dtypes, and HDF5 2.0 write
/// them so. FNUZ formats have other biases.
struct SmallFloat {
  DType dtype;
  FloatBits bits;
};
constexpr SmallFloat kSmallFloats[] = {{DType::f16, {2, 15, 10, 5, 0, 10, 15}},
                                       {DType::bf16, {2, 15, 7, 8, 0, 7, 127}},
                                       {DType::f8_e4m3, {1, 7, 3, 4, 0, 3, 7}},
                                       {DType::f8_e5m2, {1, 7, 2, 5, 0, 2, 15}}};

FloatBits float_bits(hid_t type) {
  FloatBits bits{.size = H5Tget_size(type), .bias = H5Tget_ebias(type)};
  checked(H5Tget_fields(type, &bits.sign, &bits.exponent_at, &bits.exponent, &bits.mantissa_at,
                        &bits.mantissa));
  return bits;
}

bool equal(hid_t a, hid_t b) { return checked(H5Tequal(a, b)) > 0; }

std::optional<DType> integer_dtype(hid_t type) {
  const bool is_signed = checked(H5Tget_sign(type)) == H5T_SGN_2;
  const std::size_t size = H5Tget_size(type);
  if (H5Tget_precision(type) != 8 * size) return std::nullopt;
  for (const DType dtype : {DType::i8, DType::u8, DType::i16, DType::u16, DType::i32, DType::u32,
                            DType::i64, DType::u64}) {
    const DTypeInfo& row = info(dtype);
    if (row.size == size && (row.storage == Storage::signed_integer) == is_signed) return dtype;
  }
  return std::nullopt;
}

std::optional<DType> float_dtype(hid_t type) {
  if (equal(type, H5T_IEEE_F32LE) || equal(type, H5T_IEEE_F32BE)) return DType::f32;
  if (equal(type, H5T_IEEE_F64LE) || equal(type, H5T_IEEE_F64BE)) return DType::f64;
  if (H5Tget_norm(type) != H5T_NORM_IMPLIED) return std::nullopt;
  const FloatBits bits = float_bits(type);
  for (const SmallFloat& small : kSmallFloats)
    if (small.bits == bits) return small.dtype;
  return std::nullopt;
}

/// h5py's numpy.bool_: an enumeration of one byte, FALSE = 0 and TRUE = 1.
bool is_h5py_boolean(hid_t type) {
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  constexpr const char* kNames[] = {"FALSE", "TRUE"};
  for (unsigned i = 0; i < 2; ++i) {
    char value = 0;
    char* name = H5Tget_member_name(type, i);
    const bool same = name != nullptr && std::strcmp(name, kNames[i]) == 0 &&
                      H5Tget_member_value(type, i, &value) >= 0 && value == static_cast<char>(i);
    H5free_memory(name);
    if (!same) return false;
  }
  return true;
}

}  // namespace

bool needs_format_attribute(DType dtype) {
  return !info(dtype).npy_names_it || dtype == DType::f16 || dtype == DType::boolean;
}

hid_t stored_type(DType dtype) {
  const DTypeInfo& row = info(dtype);
  const hid_t by_size[][4] = {{H5T_STD_U8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE},
                              {H5T_STD_I8LE, H5T_STD_I16LE, H5T_STD_I32LE, H5T_STD_I64LE},
                              {-1, -1, H5T_IEEE_F32LE, H5T_IEEE_F64LE}};
  return by_size[static_cast<int>(row.storage)][std::countr_zero(row.size)];
}

std::optional<DType> tensor_dtype(hid_t type, std::string_view format) {
  std::optional<DType> plain;
  const auto named = dtype_named(format);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      plain = integer_dtype(type);
      break;
    case H5T_FLOAT:
      plain = float_dtype(type);
      break;
    case H5T_ENUM:
      if (is_h5py_boolean(type)) plain = DType::boolean;
      break;
    case H5T_OPAQUE:  // how h5py writes bfloat16 and FP8 where it does not know them
      return named && !info(*named).npy_names_it && info(*named).size == H5Tget_size(type)
                 ? named
                 : std::nullopt;
    default:
      break;
  }
  if (!plain || format.empty()) return plain;
  if (!named || *named == *plain) return named;
  const bool codes = needs_format_attribute(*named) &&
                     info(*plain).storage == Storage::unsigned_integer &&
                     info(*plain).size == info(*named).size && *plain != DType::f16;
  return codes ? named : std::nullopt;
}

std::string foreign_name(hid_t type) {
  const std::string bits = std::to_string(8 * H5Tget_size(type));
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return "integer of " + std::to_string(H5Tget_precision(type)) + " bits in " + bits;
    case H5T_FLOAT:
      return "float of " + bits + " bits, exponent bias " + std::to_string(H5Tget_ebias(type));
    case H5T_STRING:
      return "text";
    case H5T_COMPOUND:
      return "records of " + bits + " bits";
    case H5T_OPAQUE:
      return "opaque " + bits + " bits without an attribute format that names them";
    case H5T_ENUM:
      return "enumeration";
    default:
      return "HDF5 class " + std::to_string(H5Tget_class(type));
  }
}

Handle memory_type(DType dtype, hid_t type) {
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_ENUM || kind == H5T_OPAQUE) return Handle(H5Tcopy(type));
  Handle memory(H5Tcopy(kind == H5T_FLOAT ? type : stored_type(dtype)));
  if (kind == H5T_FLOAT) checked(H5Tset_order(memory, H5T_ORDER_LE));
  return memory;
}

}  // namespace karat::files
