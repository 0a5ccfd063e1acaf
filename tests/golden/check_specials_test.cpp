// Values of their own kind under the comparison: ulps, NaN, Inf, saturation, zeros, subnormals.
#include "check_case.hpp"
#include "karat/case/stages.hpp"

namespace karat::golden {
namespace {

class CheckSpecials : public CheckCase {};

TEST_F(CheckSpecials, UlpsAreCountedInTheStagesFormat) {
  for (const int codes : {1, 2, 3, 4, 7, 8}) {
    files::Tensors candidate = stages();
    const std::size_t e = at(0, 0, 11, 4);
    put_code(candidate["o"], e, code_at(candidate["o"], e) + codes);
    const StageReport row = stage(compared(candidate), "o");
    EXPECT_EQ(row.max_ulp, codes);
    EXPECT_EQ(row.ulp_histogram[std::bit_width(static_cast<unsigned>(codes))], 1) << codes;
    EXPECT_EQ(row.ulp_histogram[0], row.compared - 1) << codes;
  }
}

/// A value planted in a stage where it is not expected, and what is counted.
struct Special {
  const char* what;
  const char* stage;
  float value;
  std::int64_t Specials::*counted;
};

TEST_F(CheckSpecials, SpecialValuesAreCounted) {
  const float nan = std::nanf("");
  const Special kSpecials[] = {
      {"NaN in the output", "o", nan, &Specials::nan},
      {"NaN in lse", "lse", nan, &Specials::nan},
      {"NaN code", "q_codes", nan, &Specials::nan},
      {"infinity in the output", "o", kInf, &Specials::infinite},
      {"minus infinity in lse", "lse", -kInf, &Specials::infinite},
      {"saturated code", "k_codes", 448, &Specials::saturated},
      {"saturated negative code", "v_codes", -448, &Specials::saturated},
      {"zero in the output", "o", 0, &Specials::zero},
      {"minus zero in the output", "o", -0.0f, &Specials::zero},
  };
  for (const Special& special : kSpecials) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[special.stage];
    const std::size_t token = at(0, 1, 77);
    const std::size_t e = tensor.shape.size() == 4 ? token * kChannels + 6 : token;
    ASSERT_NE(value_at(tensor, e), special.value);
    put_value(tensor, e, special.value);
    const CheckReport report = compared(candidate);
    expect_only(report, special.stage, Verdict::differs);
    const StageReport& row = stage(report, special.stage);
    for (std::int64_t Specials::*kind :
         {&Specials::nan, &Specials::infinite, &Specials::saturated, &Specials::zero})
      EXPECT_EQ(row.candidate.*kind, row.golden.*kind + (kind == special.counted)) << special.what;
    EXPECT_EQ(row.max_ulp == std::numeric_limits<std::int64_t>::max(), std::isnan(special.value))
        << special.what;
    EXPECT_EQ(std::isfinite(row.relative_l2), std::isfinite(special.value)) << special.what;
  }
}

TEST_F(CheckSpecials, ZerosOfOtherSignDiffer) {
  const std::filesystem::path path = right_->folder / "zeros.h5";
  make(cases::make_case(small("fpsattention"),
                        cases::generated_inputs({.kind = video::WorkloadKind::zero_tiles,
                                                 .grid = kGrid,
                                                 .head_dim = kChannels,
                                                 .tile = {2, 4, 4}},
                                                0)),
       {.taps = "none", .threads = 2}, path);
  const GoldenFile zeros(path);
  files::Tensors candidate = exported_stages(zeros);
  files::Tensor& codes = candidate["q_codes"];
  std::size_t e = 0;
  while (e < codes.element_count() && value_at(codes, e) != 0) ++e;
  ASSERT_LT(e, codes.element_count());
  put_code(codes, e, code_at(codes, e) ^ 0x80);
  files::write_safetensors(right_->folder / "z.safetensors", candidate);
  const CheckReport report =
      check(zeros, *cases::TensorSource::open(right_->folder / "z.safetensors"));
  const StageReport& row = stage(report, "q_codes");
  EXPECT_EQ(row.verdict, Verdict::differs);
  EXPECT_EQ(row.differing, 1);
  EXPECT_EQ(row.candidate.zero, row.golden.zero);
  EXPECT_EQ(row.max_ulp, 1);
  EXPECT_EQ(row.relative_l2, 0);
  EXPECT_NE(std::signbit(row.first->golden), std::signbit(row.first->candidate));
}

TEST_F(CheckSpecials, SubnormalsAreReadAsTheyAre) {
  files::Tensors candidate = stages();
  candidate["l"].as<float>()[at(0, 0, 3)] = 1e-40f;
  const std::string tap = cases::tap_name(0, 0, 2, "s");
  candidate[tap].as<float>()[4] = -1e-44f;
  const CheckReport report = compared(candidate);
  EXPECT_EQ(stage(report, "l").first->candidate, 1e-40f);
  EXPECT_EQ(stage(report, "l").candidate.zero, stage(report, "l").golden.zero);
  EXPECT_EQ(stage(report, "s").first->candidate, -1e-44f);
  // The smallest subnormal code flushed to zero: one more zero, one ulp away.
  candidate = stages();
  const std::size_t e = at(1, 1, 8, 8);
  put_code(candidate["v_codes"], e, 0x00);
  const StageReport flushed = stage(compared(candidate), "v_codes");
  EXPECT_EQ(flushed.candidate.zero, flushed.golden.zero + 1);
}

}  // namespace
}  // namespace karat::golden
