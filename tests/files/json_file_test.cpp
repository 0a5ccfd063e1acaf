// Strict JSON: positions in messages, refused texts, stable formatting.
#include "karat/files/json_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::input_error;
using testing::HasSubstr;
using testing::StartsWith;

std::string parse_problem(const std::string& text) {
  return input_error([&] { parse_json(text, "r.json"); });
}

TEST(Json, SaysWhereTheTextIsWrong) {
  const struct {
    const char* text;
    const char* where;
  } cases[] = {
      {"", "line 1, column 1: "},
      {"{\"a\": 1,\n \"b\": }", "line 2, column 7: "},
      {"[1, 2", "line 1, column 5: "},
      {"[1] x", "line 1, column 5: "},
      {"{\"a\": 1e999}", "line 1, column "},
      {"[\"\xff\"]", "line 1, column 3: "},
      {"{\"a\": 1,\n\"c\": {\"b\": 1, \"b\": 2}}", "line 2, column 17: \"b\" is given twice"},
      {"[NaN]", "line 1, column 2: "},
      {"[1,]", "line 1, column 4: "},
      {"// no\n1", "line 1, column "},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(parse_problem(c.text), StartsWith(std::string("r.json: ") + c.where)) << c.text;
  }
}

TEST(Json, LimitsDepth) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "x"));
  EXPECT_THAT(parse_problem(nested(kMaxJsonDepth + 1)), HasSubstr("column 65: more than 64"));
  EXPECT_THAT(parse_problem(std::string(1 << 20, '{')), HasSubstr("line 1"));
}

TEST(Json, KeepsTheOrderOfVeryManyKeys) {
  std::string text = "{";
  constexpr int kKeys = 100'000;  // their square would take minutes
  for (int i = 0; i < kKeys; ++i)
    text +=
        (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": {\"v\": [" + std::to_string(i) + "]}";
  const Json value = parse_json(text + "}", "x");
  ASSERT_EQ(value.size(), static_cast<std::size_t>(kKeys));
  int i = 0;
  for (const auto& [key, item] : value.items()) {
    ASSERT_EQ(key, std::to_string(i));
    ASSERT_EQ(item["v"][0], i++);
  }
  EXPECT_THAT(parse_problem(text + ", \"7\": 1}"), HasSubstr("\"7\" is given twice"));
}

TEST(Json, TheSameKeyMayStandInDifferentObjects) {
  EXPECT_EQ(parse_json(R"({"a": {"b": 1}, "b": [{"b": 2}, {"b": 3}]})", "x").size(), 2u);
}

TEST(Json, FormatsShortThingsOnOneLineAndReadsThemBack) {
  const Json value = parse_json(
      R"({"name":"x","tile":[6,8,8],"scale":0.1,"none":null,"deep":{"list":[[1,2],[3]],"empty":{}}})",
      "x");
  const std::string text = format_json(value);
  EXPECT_EQ(text, R"({
  "name": "x",
  "tile": [6, 8, 8],
  "scale": 0.1,
  "none": null,
  "deep": {
    "list": [
      [1, 2],
      [3]
    ],
    "empty": {}
  }
}
)");
  EXPECT_EQ(parse_json(text, "x"), value);
}

TEST(Json, BreaksLinesThatWouldBeTooLong) {
  Json list = Json::array();
  for (int i = 0; i < 40; ++i) list.push_back(1000 + i);
  const std::string text = format_json(list);
  EXPECT_THAT(text, StartsWith("[\n  1000,\n  1001,\n"));
  EXPECT_EQ(parse_json(text, "x"), list);
}

TEST(Json, RefusesToWriteWhatItCannotReadBack) {
  EXPECT_THROW(format_json(Json("\xff")), Error);
  EXPECT_THROW(format_json(Json{{"x", std::numeric_limits<double>::quiet_NaN()}}), Error);
}

TEST(Json, GoesThroughAFile) {
  const test::Scratch scratch;
  const Json value{{"a", {1, 2}}, {"b", "ü"}};
  write_json(scratch / "a.json", value);
  EXPECT_EQ(read_json(scratch / "a.json"), value);
  EXPECT_THAT(input_error([&] { read_json(scratch / "none.json"); }),
              HasSubstr("none.json: cannot be read: No such file"));
  EXPECT_THAT(input_error([&] { read_json(scratch.folder()); }), HasSubstr("is a folder"));
}

}  // namespace
}  // namespace karat::files
