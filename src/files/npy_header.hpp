// The header of a .npy file: a Python dictionary literal with descr, fortran_order and shape.
// Read by a small strict parser; nothing is ever evaluated.
#pragma once

#include <cstdint>
#include <string>

#include "byte_source.hpp"
#include "karat/files/tensor.hpp"

namespace karat::files {

enum class ArrayOrder { c, fortran };

struct NpyHeader {
  std::string descr;  ///< as NumPy writes it: "<f4"
  ArrayOrder order = ArrayOrder::c;
  Shape shape;
  std::uint64_t data_offset = 0;
};

/// Throws Error(input_output) for another magic or version, or a header that is not such a literal.
NpyHeader read_npy_header(const ByteSource& source);

/// Magic, version 1, and the header padded so that the data begins at a multiple of 64.
std::string format_npy_header(std::string_view descr, const Shape& shape);

}  // namespace karat::files
