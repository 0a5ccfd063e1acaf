// Noise is no kernel's mistake: whatever its size and place, no hypothesis is named.
#include <cstdlib>
#include <iostream>
#include <random>

#include "diagnose_case.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {
namespace {

enum class Place { one_row, one_head, all };
constexpr Place kPlaces[] = {Place::one_row, Place::one_head, Place::all};
constexpr double kLevels[] = {0.01, 0.1, 0.3};  ///< of the outputs' root mean square

class DiagnoseNoise : public DiagnoseCase, public testing::TestWithParam<const char*> {
 protected:
  /// Outputs of all heads with normal noise, as the kernel's BF16 would hold them.
  std::unique_ptr<cases::TensorSource> noisy(const GoldenFile& golden, double level, Place place,
                                             std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const cases::HeadShape& shape = golden.shape();
    std::vector<float> all;
    for (std::size_t head = 0; head < shape.heads; ++head) {
      std::vector<float> o = golden.values("o", cases::Extents::matrix, 0, head);
      double squares = 0;
      for (const float x : o) squares += double{x} * x;
      const double size = level * std::sqrt(squares / static_cast<double>(o.size()));
      const std::size_t row = random() % shape.rows;
      if (head == 0 || place == Place::all)
        for (std::size_t e = 0; e < o.size(); ++e)
          if (place != Place::one_row || e / shape.channels == row)
            o[e] =
                numerics::decode(numerics::encode(static_cast<float>(o[e] + size * normal(random)),
                                                  numerics::FormatId::bf16),
                                 numerics::FormatId::bf16);
      all.insert(all.end(), o.begin(), o.end());
    }
    files::write_safetensors(folder_ / "noisy.safetensors",
                             {{"o", cases::encoded(all, numerics::FormatId::f32,
                                                   {1, shape.heads, shape.rows, shape.channels})}});
    return cases::TensorSource::open(folder_ / "noisy.safetensors");
  }
};

TEST_P(DiagnoseNoise, NamesNothing) {
  const bool long_run = std::getenv("KARAT_LONG") != nullptr;
  const GoldenFile golden =
      make_golden(small(GetParam()), {.grid = {2, 8, 16}, .heads = 2, .head_dim = 32, .seed = 4});
  int diagnosed = 0, within = 0, listed = 0;
  for (std::uint64_t seed = 0; seed < (long_run ? 50 : 1); ++seed)
    for (std::size_t level = 0; level < std::size(kLevels); ++level)
      for (std::size_t place = 0; place < std::size(kPlaces); ++place) {
        if (!long_run && level != place) continue;
        const auto candidate = noisy(golden, kLevels[level], kPlaces[place], seed);
        for (const Alarm alarm : {Alarm::outside, Alarm::any_bit}) {
          const Diagnosis diagnosis = diagnose(golden, *candidate, {.alarm = alarm});
          within += diagnosis.matches;
          if (diagnosis.matches) continue;
          ++diagnosed;
          listed += !diagnosis.hypotheses.empty();
          EXPECT_FALSE(diagnosis.explained)
              << kLevels[level] << " seed " << seed << ": "
              << to_text(diagnosis, "golden", "noise of place " + std::to_string(place));
          for (const Explanation& explanation : diagnosis.hypotheses)
            EXPECT_EQ(explanation.look_for, "") << to_text(explanation);
          if (alarm == Alarm::outside) break;  // where something is outside, bits add nothing
        }
      }
  std::cout << GetParam() << ": " << diagnosed << " diagnosed, " << within
            << " within what is legal, " << listed << " with a list\n";
  EXPECT_GE(diagnosed, long_run ? 450 : 3);
  EXPECT_EQ(listed, 0);
}

INSTANTIATE_TEST_SUITE_P(Recipes, DiagnoseNoise, testing::Values("fpsattention", "fa3_fp8"));

}  // namespace
}  // namespace karat::golden
