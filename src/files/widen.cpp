// Exact widening to f32 through the conversions of the numerics layer.
// See karat/files/widen.hpp.
#include "karat/files/widen.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::files {
namespace {

using numerics::FormatId;

template <class Code>
std::vector<float> decoded(const Tensor& tensor, FormatId format) {
  std::vector<float> values(tensor.element_count());
  numerics::decode(tensor.as<Code>(), values, format);
  return values;
}

std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// `index` of a row-major tensor as "[1, 0, 7]".
std::string coordinates(std::size_t index, Shape shape) {
  for (std::size_t i = shape.size(); i-- > 0;) {
    const std::size_t n = shape[i];
    shape[i] = index % n;
    index /= n;
  }
  return to_string(shape);
}

std::vector<float> narrowed_exactly(const Tensor& tensor, const std::string& subject) {
  const auto wide = tensor.as<double>();
  std::vector<float> values(wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const bool fits = std::isinf(wide[i]) || std::abs(wide[i]) <= std::numeric_limits<float>::max();
    values[i] = std::isnan(wide[i]) ? std::numeric_limits<float>::quiet_NaN()
                : fits              ? static_cast<float>(wide[i])
                                    : 0.0f;
    if (!std::isnan(wide[i]) && static_cast<double>(values[i]) != wide[i]) {
      throw Error(ErrorKind::input_output, subject,
                  "f64 value " + shortest(wide[i]) + " at " + coordinates(i, tensor.shape) +
                      " is not an f32 and would be rounded",
                  "round to f32 yourself and save again");
    }
  }
  return values;
}

}  // namespace

std::vector<float> widen_to_f32(const Tensor& tensor, const std::string& subject) {
  switch (tensor.dtype) {
    case DType::f8_e4m3:
      return decoded<std::uint8_t>(tensor, FormatId::e4m3);
    case DType::f8_e5m2:
      return decoded<std::uint8_t>(tensor, FormatId::e5m2);
    case DType::f8_e8m0:
      return decoded<std::uint8_t>(tensor, FormatId::e8m0);
    case DType::bf16:
      return decoded<std::uint16_t>(tensor, FormatId::bf16);
    case DType::f16:
      return decoded<std::uint16_t>(tensor, FormatId::f16);
    case DType::f32: {
      const auto values = tensor.as<float>();
      return {values.begin(), values.end()};
    }
    case DType::f64:
      return narrowed_exactly(tensor, subject);
    default:
      throw Error(ErrorKind::input_output, subject,
                  "holds " + std::string(info(tensor.dtype).name) + ", which are not float values",
                  "save f32, bf16 or f16, or codes with their format named");
  }
}

}  // namespace karat::files
