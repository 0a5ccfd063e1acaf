// Raw codes by their size, numbers by their type.
#include "candidate_values.hpp"

#include "karat/case/formats.hpp"
#include "karat/files/widen.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {
namespace {

template <typename Code>
std::vector<float> decoded(const files::Tensor& tensor, numerics::FormatId format) {
  std::vector<Code> codes(tensor.bytes.size() / sizeof(Code));
  std::memcpy(codes.data(), tensor.bytes.data(), tensor.bytes.size());
  std::vector<float> values(codes.size());
  numerics::decode(codes, values, format);
  return values;
}

}  // namespace

std::vector<float> candidate_values(const files::Tensor& tensor, numerics::FormatId format,
                                    const std::string& subject) {
  using files::DType;
  const DType type = tensor.dtype;
  const int bits = numerics::format(format).bits;
  const bool raw = type == cases::dtype_of(format) ||
                   (bits == 8 && (type == DType::u8 || type == DType::i8)) ||
                   (bits == 16 && type == DType::u16);
  if (raw && bits == 8) return decoded<std::uint8_t>(tensor, format);
  if (raw && bits == 16) return decoded<std::uint16_t>(tensor, format);
  if (bits == 16 &&
      (type == DType::f8_e4m3 || type == DType::f8_e5m2))  // narrower, so no code of it
    return decoded<std::uint8_t>(tensor, cases::format_of(type));
  const bool number = files::info(type).storage == files::Storage::floating ||
                      type == DType::bf16 || type == DType::f16;
  if (bits == 8 || !number)
    throw Error(ErrorKind::usage, subject,
                "is stored as " + std::string(files::info(type).name) +
                    " where the golden file has " + std::string(numerics::format(format).name),
                bits == 8 ? "store the codes as uint8" : "store it as a float type");
  if (type == DType::f64) {  // rounded: f64 has more digits than any stage
    const auto wide = tensor.as<double>();
    return {wide.begin(), wide.end()};
  }
  return files::widen_to_f32(tensor, subject);
}

}  // namespace karat::golden
