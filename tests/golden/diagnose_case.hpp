// Small cases for diagnosis: golden files, and candidates that replace the output of one head.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "diagnose/prediction.hpp"
#include "karat/case/formats.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/diagnose.hpp"
#include "karat/golden/make.hpp"
#include "karat/recipe/json.hpp"
#include "same_value.hpp"

namespace karat::golden {

/// A preset cut down to small tiles and blocks.
inline recipe::Recipe small(std::string_view name) {
  recipe::Recipe recipe = recipe::preset(name);
  if (recipe.mask.kind == recipe::MaskKind::window || recipe.mask.tile.volume() > 1)
    recipe.mask.tile = {2, 4, 4};
  for (quant::Rule* rule : {&recipe.q, &recipe.k, &recipe.v}) rule->tile = {2, 4, 4};
  recipe.block.q = 16;
  recipe.block.k = 32;
  for (quant::Rule* rule : {&recipe.q, &recipe.k, &recipe.v}) rule->rows = 16;
  if (recipe.block.listed > 0) recipe.block.listed = 32;
  if (recipe.pv.promote_every > 0) recipe.pv.promote_every = 32;
  return recipe;
}

/// Another exp2 within 2 ulp, different for every argument.
inline KernelExp2 another_exp2(std::uint32_t seed) {
  return [seed](float x, float rounded) {
    std::uint32_t h = std::bit_cast<std::uint32_t>(x) * 2654435761u ^ seed * 2246822519u;
    h = (h ^ h >> 15) * 2246822519u;
    const double ulp = 0x1p-23 * std::exp2(std::ilogb(rounded));
    return static_cast<float>(rounded + (static_cast<int>(h >> 16) % 2) * ulp);
  };
}

/// 1 for the first entry; 0 when it is not there.
inline std::size_t rank_of(const Diagnosis& diagnosis, const std::string& injected) {
  for (std::size_t i = 0; i < diagnosis.hypotheses.size(); ++i) {
    const Explanation& e = diagnosis.hypotheses[i];
    const auto among = [&](const std::vector<std::string>& others) {
      return std::find(others.begin(), others.end(), injected) != others.end();
    };
    if (to_text(e) == injected || among(e.same_bits) || among(e.as_good)) return i + 1;
  }
  return 0;
}

/// A folder of its own, and what is made in it.
class DiagnoseCase {
 protected:
  DiagnoseCase()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("karat_diagnose_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~DiagnoseCase() { std::filesystem::remove_all(folder_); }

  GoldenFile make_golden(const cases::Case& of, const char* name = "g.h5") {
    make(of, {.taps = "none", .threads = 2}, folder_ / name);
    return GoldenFile(folder_ / name);
  }
  GoldenFile make_golden(const recipe::Recipe& recipe, const video::WorkloadSpec& spec) {
    return make_golden(cases::make_case(recipe, cases::generated_inputs(spec, 0)));
  }

  /// The golden outputs with those of one head replaced, as f32, or as codes where they are.
  std::unique_ptr<cases::TensorSource> candidate(const GoldenFile& golden,
                                                 const std::vector<float>& o,
                                                 std::size_t replaced = 0) {
    const cases::HeadShape& shape = golden.shape();
    std::vector<float> all;
    for (std::size_t h = 0; h < shape.heads; ++h) {
      const auto head = h == replaced ? o : golden.values("o", cases::Extents::matrix, 0, h);
      all.insert(all.end(), head.begin(), head.end());
    }
    const numerics::FormatId output = attention::output_format(golden.recipe());
    files::write_safetensors(
        folder_ / "c.safetensors",
        {{"o", cases::encoded(all, quant::has_scale(output) ? output : numerics::FormatId::f32,
                              {shape.batch, shape.heads, shape.rows, shape.channels})}});
    return cases::TensorSource::open(folder_ / "c.safetensors");
  }

  std::filesystem::path folder_;
};

}  // namespace karat::golden
