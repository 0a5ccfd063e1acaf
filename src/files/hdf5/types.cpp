// See types.hpp.
#include "types.hpp"

#include <bit>
#include <cstring>

namespace karat::files {
namespace {

/// IEEE 754 half precision, which HDF5 1.10 has no predefined type for; h5py writes it so.
Handle half_type() {
  Handle type(H5Tcopy(H5T_IEEE_F32LE));
  checked(H5Tset_fields(type, 15, 10, 5, 0, 10));
  checked(H5Tset_size(type, 2));
  checked(H5Tset_ebias(type, 15));
  return type;
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
  if (equal(type, half_type())) return DType::f16;
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
    default:
      break;
  }
  if (!plain || format.empty()) return plain;
  const auto named = dtype_named(format);
  if (!named || *named == *plain) return named;
  const bool codes = needs_format_attribute(*named) &&
                     info(*plain).storage == Storage::unsigned_integer &&
                     info(*plain).size == info(*named).size && *plain != DType::f16;
  return codes ? named : std::nullopt;
}

Handle memory_type(DType dtype, hid_t type) {
  const bool as_it_is = H5Tget_class(type) == H5T_ENUM || equal(type, half_type());
  return Handle(H5Tcopy(as_it_is ? type : stored_type(dtype)));
}

}  // namespace karat::files
