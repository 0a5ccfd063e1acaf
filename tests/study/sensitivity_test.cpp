// The sensitivity table survives each of its files, and refuses what is broken.
#include "karat/study/sensitivity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::study {
namespace {

SensitivityTable sample() {
  SensitivityTable table{
      .origin = "a test", .steps = 3, .sigma = {1, 0.7, 0.1}, .recipes = {"one", "two"}};
  for (const int step : {0, 2})
    for (const video::Branch branch : {video::Branch::conditional, video::Branch::unconditional})
      for (const int recipe : {0, 1})
        table.rows.push_back(
            {.cell = {.prompt = 1, .step = step, .layer = 2, .head = 3, .branch = branch},
             .recipe = recipe,
             .error = 0.1 * (step + 1) / (recipe + 3),
             .sampling_error = 1e-3});
  table.rows.back().guided_error = 0.25;
  return table;
}

void expect_same(const SensitivityTable& a, const SensitivityTable& b) {
  EXPECT_EQ(a.steps, b.steps);
  EXPECT_EQ(a.recipes, b.recipes);
  ASSERT_EQ(a.rows.size(), b.rows.size());
  for (std::size_t i = 0; i < a.rows.size(); ++i) {
    EXPECT_EQ(a.rows[i].cell, b.rows[i].cell);
    EXPECT_EQ(a.rows[i].recipe, b.rows[i].recipe);
    EXPECT_EQ(a.rows[i].error, b.rows[i].error);
    EXPECT_EQ(a.rows[i].sampling_error, b.rows[i].sampling_error);
    EXPECT_EQ(std::isnan(a.rows[i].guided_error), std::isnan(b.rows[i].guided_error));
    if (!std::isnan(a.rows[i].guided_error)) {
      EXPECT_EQ(a.rows[i].guided_error, b.rows[i].guided_error);
    }
  }
}

class SensitivityFiles : public testing::Test {
 protected:
  std::filesystem::path path(const std::string& name) const {
    return std::filesystem::path(testing::TempDir()) / ("karat_sensitivity_" + name);
  }
};

TEST_F(SensitivityFiles, RoundTripThroughEveryFormat) {
  const SensitivityTable table = sample();
  files::write_file(path("a.csv"), sensitivity_csv(table));
  files::write_json(path("a.json"), sensitivity_json(table));
  files::Hdf5Writer writer(path("a.h5"), "karat-study/1");
  write_sensitivity(writer, table);
  writer.commit();
  for (const char* name : {"a.csv", "a.json", "a.h5"}) {
    SCOPED_TRACE(name);
    const SensitivityTable read = read_sensitivity(path(name));
    expect_same(table, read);
    EXPECT_EQ(read.sigma[0], 1);
    EXPECT_EQ(read.sigma[2], 0.1);
  }
}

TEST_F(SensitivityFiles, RefusesBrokenTables) {
  const std::string good = sensitivity_csv(sample());
  const auto read = [](const std::string& text) { return parse_sensitivity_csv(text, "t.csv"); };
  const std::string last = good.substr(good.rfind('\n', good.size() - 2) + 1);
  EXPECT_THROW(read(good + last), Error) << "a row twice";
  EXPECT_THROW(read(good.substr(0, good.find('\n') + 1)), Error) << "no rows";
  EXPECT_THROW(read("step," + good), Error) << "another heading";
  EXPECT_THROW(read(good + "0,1,3,0.7,0,0,conditional,one,nan,0,\n"), Error);
  EXPECT_THROW(read(good + "0,3,3,0.7,0,0,conditional,one,0.5,0,\n"), Error) << "step past the end";
  EXPECT_THROW(read(good + "0,1,3,0.7,0,0,neither,one,0.5,0,\n"), Error);
  EXPECT_THROW(read(good + "0,1,3,0.7,0,0,conditional,one,0.5\n"), Error);
  try {
    read(good + "0,x,3,0.7,0,0,conditional,one,0.5,0,\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("line 10"));
    EXPECT_EQ(error.kind(), ErrorKind::input_output);
  }
  EXPECT_THROW(read_sensitivity(path("none.csv")), Error);
  files::Json json = sensitivity_json(sample());
  json["rows"][0].erase(8);
  EXPECT_THROW(parse_sensitivity_json(json, "t.json"), Error);
}

TEST_F(SensitivityFiles, TakesRowsInAnyOrder) {
  SensitivityTable table = sample();
  const SensitivityTable sorted = table;
  std::swap(table.rows.front(), table.rows.back());
  EXPECT_THROW(validate(table, "t"), Error);
  const SensitivityTable read = parse_sensitivity_json(sensitivity_json(table), "t");
  expect_same(sorted, read);
}

}  // namespace
}  // namespace karat::study
