// {"pointer": "q"}, {"f32": 0.5}, {"tensor_map": {...}}, {"bytes": "00ff", "patches": [...]}
#include "launch/read_argument.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "launch/fields.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 40;

PointerArgument read_pointer(Fields& in) {
  return {.tensor = in.text("pointer"), .offset = in.whole("offset", 0, kMost)};
}

TensorMapArgument read_map(const files::Json& json, const std::string& path) {
  Fields in(json, path);
  TensorMapArgument map{.tensor = in.text("tensor"),
                        .offset = in.whole("offset", 0, kMost),
                        .element = in.text("element", ""),
                        .shape = in.wholes<std::uint64_t>("shape", kMost),
                        .strides = in.wholes<std::uint64_t>("strides", kMost),
                        .box = in.wholes<std::uint32_t>("box", 256),
                        .element_strides = in.wholes<std::uint32_t>("element_strides", 8),
                        .swizzle = in.text("swizzle", "none"),
                        .fill = in.text("fill", "zero")};
  in.finish();
  return map;
}

template <typename T>
BytesArgument bytes_of(T value) {
  BytesArgument argument;
  argument.bytes.resize(sizeof value);
  std::memcpy(argument.bytes.data(), &value, sizeof value);
  return argument;
}

template <typename T>
BytesArgument integer(const files::Json& value, const Fields& in, const char* type) {
  const std::string problem = std::string(type) + ": no whole number of this type";
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) in.fail(problem);
    return bytes_of(static_cast<T>(number));
  }
  if (!value.is_number_integer()) in.fail(problem);
  const auto number = value.get<std::int64_t>();
  if (std::numeric_limits<T>::is_signed == false ||
      number < static_cast<std::int64_t>(std::numeric_limits<T>::min()))
    in.fail(problem);
  return bytes_of(static_cast<T>(number));
}

int digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

BytesArgument read_bytes(Fields& in) {
  BytesArgument argument;
  const std::string text = in.text("bytes");
  if (text.size() % 2 != 0) in.fail("bytes: two hexadecimal digits a byte are expected");
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) in.fail("bytes: hexadecimal digits are expected");
    argument.bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  if (!in.has("patches")) return argument;
  if (!in.at("patches").is_array()) in.fail("patches: a list is expected");
  std::size_t number = 0;
  for (const files::Json& each : in.at("patches")) {
    const std::string path = in.path() + ".patches[" + std::to_string(number++) + "]";
    Fields patch(each, path);
    BytesArgument::Patch result{.at = patch.whole("at", argument.bytes.size())};
    if (patch.has("tensor_map"))
      result.value = read_map(patch.at("tensor_map"), path + ".tensor_map");
    else
      result.value = read_pointer(patch);
    patch.finish();
    argument.patches.push_back(std::move(result));
  }
  return argument;
}

/// f32 and f64; "inf", "-inf" and "nan" as text, since JSON has none.
double number(const files::Json& value, const Fields& in) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  in.fail("a number, \"inf\", \"-inf\" or \"nan\" is expected");
}

struct ScalarType {
  const char* name;
  BytesArgument (*read)(const files::Json&, const Fields&);
};

constexpr ScalarType kScalars[] = {
    {"i8",
     [](const files::Json& v, const Fields& in) { return integer<std::int8_t>(v, in, "i8"); }},
    {"u8",
     [](const files::Json& v, const Fields& in) { return integer<std::uint8_t>(v, in, "u8"); }},
    {"i16",
     [](const files::Json& v, const Fields& in) { return integer<std::int16_t>(v, in, "i16"); }},
    {"u16",
     [](const files::Json& v, const Fields& in) { return integer<std::uint16_t>(v, in, "u16"); }},
    {"i32",
     [](const files::Json& v, const Fields& in) { return integer<std::int32_t>(v, in, "i32"); }},
    {"u32",
     [](const files::Json& v, const Fields& in) { return integer<std::uint32_t>(v, in, "u32"); }},
    {"i64",
     [](const files::Json& v, const Fields& in) { return integer<std::int64_t>(v, in, "i64"); }},
    {"u64",
     [](const files::Json& v, const Fields& in) { return integer<std::uint64_t>(v, in, "u64"); }},
    {"f32", [](const files::Json& v,
               const Fields& in) { return bytes_of(static_cast<float>(number(v, in))); }},
    {"f64", [](const files::Json& v, const Fields& in) { return bytes_of(number(v, in)); }},
};

}  // namespace

Argument read_argument(const files::Json& json, const std::string& path) {
  Fields in(json, path);
  const auto read = [&]() -> Argument {
    if (in.has("pointer")) return read_pointer(in);
    if (in.has("tensor_map")) return read_map(in.at("tensor_map"), path + ".tensor_map");
    if (in.has("bytes")) return read_bytes(in);
    for (const ScalarType& each : kScalars)
      if (in.has(each.name)) return each.read(in.at(each.name), in);
    in.fail("one of pointer, tensor_map, bytes, i8 to u64, f32, f64 is expected");
  };
  Argument argument = read();
  in.finish();
  return argument;
}

}  // namespace karat::ptx
