// A study small enough for a test: 384 tokens, 32 channels, tiles of 32 tokens.
#pragma once

#include <filesystem>
#include <string>

#include "../capture/small_source.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/run.hpp"

namespace karat::study {

using capture::small_source;

inline recipe::Recipe small_recipe(const std::string& edits = "",
                                   const std::string& name = "small") {
  return recipe::parse_recipe(
      R"({"base": "fpsattention", "name": ")" + name +
          R"(", "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]}, "q": {"tile": [2, 4, 4]},
            "k": {"tile": [2, 4, 4]}, "block": {"q": 16, "k": 32}, "pv": {"promote_every": 32})" +
          edits + "}",
      "test");
}

inline MeasureOptions small_options() {
  return {.sample = {.rows = 64, .draws = 8}, .taken_apart = {0}};
}

inline std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) /
         ("karat_study_" + std::to_string(::getpid()) + "_" + name);
}

/// The one figure of that name, recipe and branch.
inline double figure(const JobResult& job, std::int32_t recipe, Quantity quantity,
                     video::Branch branch = video::Branch::conditional) {
  for (const Figure& f : job.figures)
    if (f.recipe == recipe && f.quantity == quantity && f.branch == branch) return f.value;
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace karat::study
