// Kernels that take another of the functions a GPU offers than the golden one: a check calls them
// legal unless golden bits are demanded, a diagnosis that counts every bit names the function.
#include <gmock/gmock.h>

#include "diagnose_case.hpp"
#include "karat/golden/check.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

using testing::HasSubstr;

struct Other {
  const char* edit;  ///< as a diagnosis names it
  void (*make)(recipe::Recipe&);
};
void PrintTo(const Other& other, std::ostream* out) { *out << other.edit; }

class SpecialFunctions : public DiagnoseCase, public testing::TestWithParam<Other> {
 protected:
  /// Outputs in f32, so that an ulp shows.
  static recipe::Recipe kernel() {
    recipe::Recipe recipe = small("fpsattention");
    recipe.output = numerics::FormatId::f32;
    return recipe;
  }
  GoldenFile made(const recipe::Recipe& recipe, const char* name) {
    return make_golden(
        cases::make_case(recipe, cases::generated_inputs({.grid = {2, 16, 16}, .heads = 1}, 0)),
        name);
  }
};

TEST_P(SpecialFunctions, AreLegalAndAreNamed) {
  const GoldenFile golden = made(kernel(), "g.h5");
  recipe::Recipe edited = kernel();
  GetParam().make(edited);
  const std::vector<float> o = made(edited, "other.h5").values("o", cases::Extents::matrix, 0, 0);
  const auto other = candidate(golden, o);
  const CheckReport report = check(golden, *other);
  EXPECT_EQ(report.verdict, Verdict::within);
  EXPECT_GT(report.stages.front().differing, 0);
  const CheckReport strict = check(golden, *other, {.demand = Demand::golden});
  EXPECT_EQ(strict.verdict, Verdict::differs);
  EXPECT_EQ(strict.stages.front().outside, strict.stages.front().differing);
  EXPECT_EQ(rank_of(diagnose(golden, *other, {.alarm = Alarm::any_bit}), GetParam().edit), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Functions, SpecialFunctions,
    testing::Values(Other{"softmax.exp2 \"mufu\" -> \"rounded\"",
                          [](recipe::Recipe& r) { r.softmax.exp2 = recipe::Exp2::rounded; }},
                    Other{"softmax.row_sum_start \"separate\" -> \"fused_first\"",
                          [](recipe::Recipe& r) {
                            r.softmax.row_sum_start = recipe::RowSumStart::fused_first;
                          }},
                    Other{"finish.reciprocal \"mufu\" -> \"rounded\"", [](recipe::Recipe& r) {
                            r.finish.reciprocal = recipe::Reciprocal::rounded;
                          }}));

using Demands = SpecialFunctions;

TEST_F(Demands, GoldenBitsAreMetByThemAndMeaningfulOfMufuAlone) {
  const GoldenFile golden = made(kernel(), "g.h5");
  const auto same = candidate(golden, golden.values("o", cases::Extents::matrix, 0, 0));
  EXPECT_TRUE(check(golden, *same, {.demand = Demand::golden}).passed);
  recipe::Recipe rounded = kernel();
  rounded.softmax.exp2 = recipe::Exp2::rounded;
  const GoldenFile of_no_gpu = made(rounded, "rounded.h5");
  try {
    check(of_no_gpu, *same, {.demand = Demand::golden});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("--strict"));
  }
}

}  // namespace
}  // namespace karat::golden
