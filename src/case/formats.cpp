// One row per pair.
#include "karat/case/formats.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::cases {
namespace {

using files::DType;
using numerics::FormatId;

struct Row {
  FormatId format;
  DType dtype;
};
constexpr Row kRows[] = {
    {FormatId::e4m3, DType::f8_e4m3}, {FormatId::e5m2, DType::f8_e5m2},
    {FormatId::e8m0, DType::f8_e8m0}, {FormatId::bf16, DType::bf16},
    {FormatId::f16, DType::f16},      {FormatId::f32, DType::f32},
    {FormatId::int8, DType::i8},
};

template <typename Code>
void encode_into(std::span<const float> values, FormatId format, files::Tensor& tensor) {
  std::vector<Code> codes(values.size());
  numerics::encode(values, codes, format, numerics::kAsComputed);
  std::memcpy(tensor.bytes.data(), codes.data(), tensor.bytes.size());
}

}  // namespace

bool has_dtype(FormatId format) {
  return std::any_of(std::begin(kRows), std::end(kRows),
                     [&](const Row& row) { return row.format == format; });
}

DType dtype_of(FormatId format) {
  for (const Row& row : kRows)
    if (row.format == format) return row.dtype;
  throw Error(ErrorKind::usage, std::string(numerics::format(format).name),
              "files have no type for codes of 4 bits",
              "let the values enter as bf16, or give a format of 8 bits or more");
}

bool has_format(DType dtype) {
  return std::any_of(std::begin(kRows), std::end(kRows),
                     [&](const Row& row) { return row.dtype == dtype; });
}

FormatId format_of(DType dtype) {
  for (const Row& row : kRows)
    if (row.dtype == dtype) return row.format;
  throw Error(ErrorKind::internal, std::string(files::info(dtype).name), "is no number format");
}

files::Tensor encoded(std::span<const float> values, FormatId format, files::Shape shape) {
  files::Tensor tensor = files::make_tensor(dtype_of(format), std::move(shape));
  if (format == FormatId::f32)
    std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  else if (files::info(tensor.dtype).size == 1)
    encode_into<std::uint8_t>(values, format, tensor);
  else
    encode_into<std::uint16_t>(values, format, tensor);
  return tensor;
}

}  // namespace karat::cases
