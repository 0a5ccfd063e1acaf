// The power of check: what it catches, and that legal kernels match. KARAT_LONG=1 and
// KARAT_POWER_TABLE=FILE write the tables of docs/bounds.md.
#include "power.hpp"

#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "forward_presets.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/recipe/json.hpp"
#include "karat/report/text.hpp"

namespace karat::golden {
namespace {

constexpr video::Extent3 kSmall{2, 16, 16};

/// Presets whose worst case is wider than their values, narrow, and in between.
class PowerOfCheck : public testing::TestWithParam<const char*> {};

TEST_P(PowerOfCheck, CatchesNoiseWrongValuesAndMistakes) {
  const SampledHead head(recipe::preset(GetParam()), {.grid = kSmall, .blocks = 3, .head_dim = 64});
  const Power power = power_of(head);
  EXPECT_LE(power.noise, 0x1p-8);
  EXPECT_GT(power.noise, 0);
  EXPECT_EQ(power.wrong, 1u);
  EXPECT_LT(power.worst_ratio, 1.5);
  // A wide accumulator gives the same within its roundings however often it is promoted or
  // rescaled.
  const numerics::Instruction& pv = numerics::instruction(head.recipe.pv.instruction);
  const bool wide = pv.arithmetic == numerics::Arithmetic::fused || pv.fraction > 20;
  for (const std::string& name : power.missed)
    EXPECT_TRUE(wide && (name.starts_with("promotion") || name == "lazy rescaling")) << name;
  EXPECT_GE(power.caught.size(), 13u);
}

TEST_P(PowerOfCheck, LegalKernelsMatch) {
  int judged = 0, differing = 0;
  for (std::uint32_t seed = 0; seed < 4; ++seed) {
    const SampledHead head(recipe::preset(GetParam()),
                           {.grid = kSmall, .blocks = 100, .seed = seed, .head_dim = 64});
    SampledJudge judge(head);
    for (const std::vector<float>& o : legal_outputs(head, seed)) {
      const Verdict verdict = judge.verdict(o);
      EXPECT_LE(verdict, Verdict::within)
          << verdict_name(verdict) << ", seed " << seed << ": " << doubt_text(judge.doubt());
      ++judged;
      differing += verdict != Verdict::equal;
    }
  }
  // One in five has the special-function unit's exp2, which may be the golden one.
  EXPECT_GT(differing, judged / 5);
}

INSTANTIATE_TEST_SUITE_P(Presets, PowerOfCheck,
                         testing::Values("fa3_fp8", "fpsattention", "fa3_bf16", "sage1",
                                         "dense_f32"));

struct Size {
  video::Extent3 grid;
  int blocks;
};
void PrintTo(const Size& size, std::ostream* out) {
  *out << size.grid.t << "x" << size.grid.h << "x" << size.grid.w;
}
constexpr Size kSizes[] = {{{4, 16, 16}, 4}, {{8, 32, 32}, 2}, {{21, 30, 52}, 1}};

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

class PowerTable : public testing::TestWithParam<Size> {};

/// Every preset at one size, a line each; the table is put behind what the file holds.
TEST_P(PowerTable, OfAllPresets) {
  const char* file = std::getenv("KARAT_POWER_TABLE");
  if (std::getenv("KARAT_LONG") == nullptr || file == nullptr)
    GTEST_SKIP() << "the power table is not measured: set KARAT_LONG=1 and KARAT_POWER_TABLE=FILE";
  const Size size = GetParam();
  std::ofstream out(file, std::ios::app);
  out << "\n"
      << size.grid.volume() << " tokens:\n\n"
      << "| preset | noise | wrong values | mistakes caught | missed | invisible | error ratio | "
         "legal kernels doubted |\n|---|---|---|---|---|---|---|---|\n";
  for (const std::string_view listed : recipe::forward_presets()) {
    const std::string name(listed);
    const SampledHead head(recipe::preset(name), {.grid = size.grid, .blocks = size.blocks});
    const Power power = power_of(head);
    SampledJudge judge(head);
    int legal = 0, doubted = 0;
    for (std::uint32_t seed = 0; seed < 2; ++seed)
      for (const std::vector<float>& o : legal_outputs(head, seed)) {
        ++legal;
        doubted += judge.verdict(o) > Verdict::within;
      }
    EXPECT_LT(power.worst_ratio, 1.5) << name << size.grid.volume();
    out << "| " << name << " | "
        << report::print("%.1e | %zu of %zu | %zu of %zu | ", power.noise, power.wrong,
                         power.values, power.caught.size(),
                         power.caught.size() + power.missed.size())
        << joined(power.missed) << " | " << power.invisible.size()
        << report::print(" | %.4g | %d of %d |", power.worst_ratio, doubted, legal) << std::endl;
    std::printf("%s %lld: invisible %s; no meaning: %s\n", name.c_str(),
                static_cast<long long>(size.grid.volume()), joined(power.invisible).c_str(),
                joined(power.meaningless).c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, PowerTable, testing::ValuesIn(kSizes));

}  // namespace
}  // namespace karat::golden
