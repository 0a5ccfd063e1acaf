// safetensors: round trips, bytes as the format's description has them, and every refusal.
#include "karat/files/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::Bytes;
using test::input_error;
using test::one_of_everything;
using test::read_bytes;
using test::Scratch;
using test::to_bytes;
using test::write_bytes;
using testing::HasSubstr;

/// A file by hand: length, header text, then `data_size` bytes counting up from 0.
Bytes file_of(const std::string& header, std::size_t data_size) {
  std::string text(8, '\0');
  for (int i = 0; i < 8; ++i) text[i] = static_cast<char>(header.size() >> (8 * i));
  text += header;
  for (std::size_t i = 0; i < data_size; ++i) text += static_cast<char>(i);
  return to_bytes(text);
}

TEST(Safetensors, EveryTypeSurvivesMemoryAndFile) {
  const Scratch scratch;
  const TensorFile file{one_of_everything(), {{"recipe", "{\"a\": 1}"}, {"by", "karat\n"}}};
  EXPECT_EQ(parse_safetensors(format_safetensors(file.tensors, file.metadata), "x"), file);
  write_safetensors(scratch / "a.safetensors", file.tensors, file.metadata);
  EXPECT_EQ(read_safetensors(scratch / "a.safetensors"), file);
  EXPECT_EQ(read_bytes(scratch / "a.safetensors"), format_safetensors(file.tensors, file.metadata));
  const auto list = list_safetensors(scratch / "a.safetensors");
  ASSERT_EQ(list.size(), file.tensors.size());
  for (const TensorInfo& item : list) {
    const Tensor& tensor = file.tensors.at(item.name);
    EXPECT_EQ(item, (TensorInfo{item.name, tensor.dtype, tensor.shape, ""}));
    EXPECT_EQ(read_safetensors(scratch / "a.safetensors", item.name), tensor);
  }
  EXPECT_THAT(input_error([&] { read_safetensors(scratch / "a.safetensors", "qq"); }),
              HasSubstr("a.safetensors: qq: is not in the file"));
}

TEST(Safetensors, BytesAreAsDescribed) {
  const Tensors tensors{{"b", make_tensor(DType::i16, {2}, std::vector<std::int16_t>{1, -1})},
                        {"a", make_tensor(DType::f8_e4m3, {1}, std::vector<std::uint8_t>{0x7e})}};
  const Bytes expected = file_of(R"({"__metadata__":{"k":"vv"},)"
                                 R"("b":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},)"
                                 R"("a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[4,5]}})"
                                 "       ",
                                 0);
  Bytes bytes = format_safetensors(tensors, {{"k", "vv"}});
  ASSERT_EQ(bytes.size(), expected.size() + 5);
  EXPECT_EQ(Bytes(bytes.end() - 5, bytes.end()), to_bytes({"\x01\x00\xff\xff\x7e", 5}));
  bytes.resize(expected.size());
  EXPECT_EQ(bytes, expected);
  EXPECT_EQ(bytes.size() % 8, 0u);
}

TEST(Safetensors, AnIndependentReaderAgrees) {
  // The format in a dozen lines of Python; NumPy turns the bytes of the types it knows to values.
  const std::string script = R"(
import json, sys, numpy as np
raw = open(sys.argv[1], 'rb').read()
n = int.from_bytes(raw[:8], 'little')
header = json.loads(raw[8:8 + n])
data = raw[8 + n:]
assert header.pop('__metadata__') == {'k': 'v'}
at = 0
for name, t in header.items():
    b, e = t['data_offsets']
    assert b == at, name
    at = e
    if t['dtype'] == 'F32':
        x = np.frombuffer(data[b:e], '<f4').reshape(t['shape'])
        assert name == 'x' and x[1, 2] == 5.0 and x[0, 0] == -0.5
    else:
        assert name == 'i' and np.frombuffer(data[b:e], '<i4').tolist() == [7, -9]
assert at == len(data)
print('ok')
)";
  const Scratch scratch;
  write_safetensors(
      scratch / "a",
      {{"x", make_tensor(DType::f32, {2, 3}, std::vector{-0.5f, 1.f, 2.f, 3.f, 4.f, 5.f})},
       {"i", make_tensor(DType::i32, {2}, std::vector<std::int32_t>{7, -9})}},
      {{"k", "v"}});
  EXPECT_EQ(test::python(script, {scratch / "a"}), "ok\n");
}

TEST(Safetensors, AcceptsAnyOrderOfTheHeader) {
  const auto file =
      parse_safetensors(file_of(R"({"z":{"shape":[1],"data_offsets":[2,3],"dtype":"U8"},)"
                                R"("a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})",
                                3),
                        "x");
  EXPECT_EQ(file.tensors.at("a").as<std::uint16_t>()[0], 0x0100);
  EXPECT_EQ(file.tensors.at("z").as<std::uint8_t>()[0], 2);
}

TEST(Safetensors, RefusesEachWrongHeaderWithItsReason) {
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return std::string("{\"dtype\":\"") + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}";
  };
  const struct {
    std::string header;
    std::size_t data;
    const char* message;
  } cases[] = {
      {"[]", 0, "x: has a header that is not a JSON object"},
      {" {}", 0, "not a JSON object"},
      {"{\"a\"", 0, "x: header: line 1, column 4: "},
      {"{\"a\":1}", 0, "x: a: needs exactly the fields"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "x: a: needs exactly the fields"},
      {"{\"a\":" + entry("F32", "[1]", "[0,4]") + ",\"a\":" + entry("F32", "[1]", "[4,8]") + "}", 8,
       "\"a\" is given twice"},
      {"{\"a\":" + entry("F4", "[1]", "[4,0]") + "}", 4, "data_offsets run backwards"},
      {"{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,0]}}", 0, "dtype is not a string"},
      {"{\"a\":" + entry("F32", "[2]", "[0,4]") + "}", 4, "shape [2] of F32 does not fill its 4"},
      {"{\"a\":" + entry("F32", "[-1]", "[0,4]") + "}", 4, "shape holds something else"},
      {"{\"a\":" + entry("F32", "[1.0]", "[0,4]") + "}", 4, "shape holds something else"},
      {"{\"a\":" + entry("F32", "[\"1\"]", "[0,4]") + "}", 4, "shape holds something else"},
      {"{\"a\":" + entry("F32", "1", "[0,4]") + "}", 4, "shape is not an array"},
      {"{\"a\":" + entry("F32", "[1]", "[0]") + "}", 4, "data_offsets are not two numbers"},
      {"{\"a\":" + entry("F32", "[1]", "[4,0]") + "}", 4, "data_offsets run backwards"},
      {"{\"a\":" + entry("U8", "[4294967296,4294967296]", "[0,0]") + "}", 0, "does not fill"},
      {"{\"a\":" + entry("U8", "[18446744073709551615]", "[0,18446744073709551615]") + "}", 0,
       "does not fill"},
      {"{\"a\":" + entry("U8", "[9223372036854775807]", "[0,9223372036854775807]") + "}", 0,
       "holds 0 bytes of values where its header says 9223372036854775807"},
      {"{\"a\":" + entry("U8", "[4]", "[0,4]") + "}", 3, "holds 3 bytes of values"},
      {"{\"a\":" + entry("U8", "[4]", "[0,4]") + "}", 5, "holds 5 bytes of values"},
      {"{\"a\":" + entry("U8", "[4]", "[1,5]") + "}", 5, "x: a: has a hole before it"},
      {"{\"a\":" + entry("U8", "[4]", "[0,4]") + ",\"b\":" + entry("U8", "[2]", "[3,5]") + "}", 5,
       "x: b: overlaps another tensor"},
      {"{\"a\":" + entry("U8", "[4]", "[0,4]") + ",\"b\":" + entry("U8", "[4]", "[0,4]") + "}", 4,
       "x: b: overlaps another tensor"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "x: __metadata__: a is not a string"},
      {"{\"__metadata__\":3}", 0, "x: __metadata__: is not an object"},
      {"{\"a\\n\":1}", 0, "x: a\\x0a: needs"},
  };
  for (const auto& c : cases) {
    const Bytes bytes = file_of(c.header, c.data);
    EXPECT_THAT(input_error([&] { parse_safetensors(bytes, "x"); }), HasSubstr(c.message))
        << c.header;
  }
}

TEST(Safetensors, ABoxIsReadByItself) {
  const Scratch scratch;
  std::vector<std::int16_t> numbers(3 * 4 * 5);
  std::iota(numbers.begin(), numbers.end(), std::int16_t{0});
  const auto path = scratch / "box.safetensors";
  write_safetensors(path, {{"before", make_tensor(DType::f32, {2}, std::vector{1.0f, 2.0f})},
                           {"x", make_tensor(DType::i16, {3, 4, 5}, numbers)}});
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 4; ++b)
      for (const Shape& count : {Shape{1, 1, 5}, {1, 4 - b, 5}, {3 - a, 1, 2}, {3 - a, 4 - b, 3}}) {
        std::vector<std::int16_t> expected;
        for (std::size_t i = 0; i < count[0]; ++i)
          for (std::size_t j = 0; j < count[1]; ++j)
            for (std::size_t k = 0; k < count[2]; ++k)
              expected.push_back(static_cast<std::int16_t>(((a + i) * 4 + b + j) * 5 + k));
        EXPECT_EQ(read_safetensors_part(path, "x", {a, b, 0}, count),
                  make_tensor(DType::i16, count, expected));
      }
  EXPECT_THAT(input_error([&] { read_safetensors_part(path, "x", {0, 2, 0}, {1, 3, 5}); }),
              HasSubstr("x: shape"));
  EXPECT_THAT(input_error([&] { read_safetensors_part(path, "x", {0, 0}, {1, 1}); }),
              HasSubstr("x: shape"));
  EXPECT_THAT(input_error([&] { read_safetensors_part(path, "y", {0}, {1}); }),
              HasSubstr("y: is not in the file"));
}

TEST(Safetensors, AnOddEntryIsListedWithItsReasonAndTheRestIsRead) {
  std::string deep = "[1";
  for (int i = 0; i < 32; ++i) deep += ",1";
  const Bytes bytes = file_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]},)"
                              R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
                              R"("c":{"dtype":"U8","shape":)" +
                                  deep + R"(],"data_offsets":[4,5]}})",
                              5);
  const TensorFile file = parse_safetensors(bytes, "x");
  ASSERT_EQ(file.tensors.size(), 1u);
  EXPECT_EQ(file.tensors.at("b").as<std::uint8_t>()[1], 3);
  const Scratch scratch;
  const auto path = scratch / "odd.safetensors";
  test::write_bytes(path, bytes);
  const std::vector<TensorInfo> listed = list_safetensors(path);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].problem, "is stored as F4, a type that karat does not read");
  EXPECT_EQ(listed[1].problem, "");
  EXPECT_EQ(listed[2].problem, "has 33 dimensions, more than 32");
  EXPECT_THAT(input_error([&] { read_safetensors(path, "a"); }), HasSubstr("a: is stored as F4"));
  EXPECT_EQ(read_safetensors(path, std::vector<std::string>{"b"}).tensors, file.tensors);
}

TEST(Safetensors, RefusesAbsurdHeaderLengths) {
  Bytes bytes = file_of("{}", 0);
  EXPECT_NO_THROW(parse_safetensors(bytes, "x"));
  for (const std::size_t i : {0, 1, 4, 7}) {
    Bytes absurd = bytes;
    absurd[i] = std::byte{0xff};
    EXPECT_THAT(input_error([&] { parse_safetensors(absurd, "x"); }),
                HasSubstr("says its header has"));
  }
  EXPECT_THAT(input_error([&] { parse_safetensors(file_of("", 0), "x"); }), HasSubstr("x: header"));
}

TEST(Safetensors, CorruptionIsAnErrorOrAnotherValidFile) {
  Tensors tensors;
  tensors["q"] = make_tensor(DType::f8_e4m3, {2, 3}, std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
  tensors["s"] = make_tensor(DType::f32, {1, 2}, std::vector{0.5f, 2.0f});
  const Bytes bytes = format_safetensors(tensors, {{"note", "n"}});
  std::size_t accepted = 0;
  test::for_each_corruption(bytes, [&](const Bytes& changed) {
    const TensorFile file = parse_safetensors(changed, "x");
    EXPECT_EQ(changed.size(), bytes.size()) << "a truncated file was accepted";
    EXPECT_NE(file, parse_safetensors(bytes, "x"));
    ++accepted;
  });
  EXPECT_GE(accepted, 2 * 14u);  // the values themselves carry no check
}

TEST(Safetensors, RefusesNamesItCannotWrite) {
  const Tensor tensor = make_tensor(DType::u8, {});
  EXPECT_THROW(format_safetensors({{"__metadata__", tensor}}), Error);
  EXPECT_THROW(format_safetensors({{"\xff", tensor}}), Error);
}

}  // namespace
}  // namespace karat::files
