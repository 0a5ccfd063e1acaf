// Strict access to the fields of a capture file.
#include <charconv>

#include "comparison.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {

CaptureReader::CaptureReader(const std::filesystem::path& path)
    : CaptureReader(path.string(), files::read_safetensors(path)) {}

CaptureReader::CaptureReader(std::string name, files::TensorFile file)
    : name_(std::move(name)), file_(std::move(file)) {
  if (const std::string schema = text("schema"); schema != "karat-capture/1")
    fail("schema", "\"" + schema + "\" is not karat-capture/1");
}

void CaptureReader::fail(const std::string& field, const std::string& problem) const {
  throw Error(ErrorKind::input_output, name_ + ": " + field, problem,
              "capture again with tools/hopper/capture.sh");
}

std::string CaptureReader::text(const std::string& key) const {
  const auto found = file_.metadata.find(key);
  if (found == file_.metadata.end()) fail(key, "missing from the metadata");
  return found->second;
}

std::uint64_t CaptureReader::number(const std::string& key) const {
  const std::string digits = text(key);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size())
    fail(key, "\"" + digits + "\" is no whole number");
  return value;
}

const files::Tensor& CaptureReader::tensor(const std::string& name) const {
  const auto found = file_.tensors.find(name);
  if (found == file_.tensors.end()) fail(name, "missing");
  return found->second;
}

std::vector<std::uint32_t> CaptureReader::words(const std::string& name) const {
  const files::Tensor& t = tensor(name);
  const auto widened = [](auto values) {
    return std::vector<std::uint32_t>(values.begin(), values.end());
  };
  switch (t.dtype) {
    case files::DType::u8:
      return widened(t.as<std::uint8_t>());
    case files::DType::u16:
      return widened(t.as<std::uint16_t>());
    case files::DType::u32:
      return widened(t.as<std::uint32_t>());
    default:
      fail(name, "is neither U8, U16 nor U32");
  }
}

std::vector<std::uint32_t> CaptureReader::words(const std::string& name, std::size_t count) const {
  std::vector<std::uint32_t> values = words(name);
  if (values.size() != count)
    fail(name, "has " + std::to_string(values.size()) + " values, not " + std::to_string(count));
  return values;
}

std::vector<std::uint64_t> CaptureReader::hashes(const std::string& name, std::size_t count) const {
  const files::Tensor& t = tensor(name);
  if (t.dtype != files::DType::u64 || t.element_count() != count)
    fail(name, "is no list of " + std::to_string(count) + " U64");
  const auto values = t.as<std::uint64_t>();
  return {values.begin(), values.end()};
}

std::vector<float> CaptureReader::floats(const std::string& name, std::size_t count) const {
  const files::Tensor& t = tensor(name);
  if (t.dtype != files::DType::f32 || t.element_count() != count)
    fail(name, "is no list of " + std::to_string(count) + " F32");
  const auto values = t.as<float>();
  return {values.begin(), values.end()};
}

}  // namespace karat::evidence
