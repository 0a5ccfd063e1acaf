// In the child: which HDF5 type stands for which number type.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "handle.hpp"
#include "karat/files/tensor.hpp"

namespace karat::files {

/// Attribute that names the format of codes stored as unsigned integers.
constexpr const char* kFormatAttribute = "format";

/// Little-endian type a tensor is stored as: unsigned integers for codes and booleans.
hid_t stored_type(DType dtype);
/// True if the stored type alone does not say what the values are.
bool needs_format_attribute(DType dtype);

/// The number type that a dataset of HDF5 type `type` and `format` attribute (empty if none) holds;
/// nothing for anything that is no plain number, or if the two do not fit each other.
std::optional<DType> tensor_dtype(hid_t type, std::string_view format);

/// What to call values of a type that stands for no number type: "text", "opaque 16 bits".
std::string foreign_name(hid_t type);

/// Type of the values in memory for reading `dtype` from a dataset of HDF5 type `type`. HDF5 then
/// changes the byte order of integers, f32 and f64 at most, never a value.
Handle memory_type(DType dtype, hid_t type);

}  // namespace karat::files
