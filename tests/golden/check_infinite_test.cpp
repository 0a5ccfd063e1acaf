// Values past a format's range: what golden files hold of them, and what check says of kernels that
// write them and of kernels that do not.
#include <nlohmann/json.hpp>

#include "check_case.hpp"

namespace karat::golden {
namespace {

/// 64 tokens of 32 channels; one value of V, or a whole channel of it, is too large.
class LargeV : public cases::Inputs {
 public:
  LargeV(float value, bool whole_channel)
      : Inputs({.grid = {4, 4, 4}, .channels = 32}), value_(value), whole_channel_(whole_channel) {}
  files::Json source() const override { return {{"kind", "large V"}}; }
  files::DType dtype() const override { return files::DType::f32; }
  cases::HeadValues values(std::size_t, std::size_t, int) const override {
    cases::HeadValues head;
    for (auto* x : {&head.q, &head.k, &head.v})
      for (std::size_t e = 0; e < 64 * 32; ++e)
        x->push_back(static_cast<float>((e * 2654435761u + (x - &head.q) * 40503u) >> 7 & 0x3FF) /
                         256.0f -
                     2.0f);
    for (std::size_t token = 0; token < 64; ++token)
      if (whole_channel_ || token == 21) head.v[token * 32 + 5] = value_;
    return head;
  }

 private:
  float value_;
  bool whole_channel_;
};

struct Large {
  const char* preset;
  float value;
  bool whole_channel;
  const char* output;
};

class CheckInfinite : public testing::TestWithParam<Large> {
 protected:
  CheckInfinite()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("karat_infinite_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~CheckInfinite() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_P(CheckInfinite, IsKeptAndWanted) {
  const Large& large = GetParam();
  recipe::Recipe recipe = small(large.preset);
  recipe::set(recipe, "output", std::string(large.output));
  make(cases::make_case(recipe, std::make_unique<LargeV>(large.value, large.whole_channel)),
       {.taps = "all", .threads = 1}, folder_ / "g.h5");
  const GoldenFile golden(folder_ / "g.h5");
  const auto checked = [&](const files::Tensors& candidate) {
    files::write_safetensors(folder_ / "c.safetensors", candidate);
    return check(golden, *cases::TensorSource::open(folder_ / "c.safetensors"));
  };
  const files::Tensors right = exported_stages(golden);
  const CheckReport all = checked(right);
  EXPECT_TRUE(all.passed);
  for (const StageReport& row : all.stages) EXPECT_EQ(row.verdict, Verdict::equal) << row.stage;

  const files::Tensor& o = right.at("o");
  std::vector<std::size_t> infinite;
  for (std::size_t e = 0; e < o.element_count(); ++e) {
    if (e % 32 != 5) {
      EXPECT_TRUE(std::isfinite(value_at(o, e))) << e;
    } else if (std::isinf(value_at(o, e))) {
      infinite.push_back(e);
    } else if (std::isfinite(value_at(o, e))) {
      EXPECT_NE(recipe.v.format, numerics::FormatId::f16) << e;  // 70000 is Inf there
    }
  }
  ASSERT_FALSE(infinite.empty());
  const std::size_t e = infinite.front();
  const numerics::Format& f = numerics::format(recipe.output);
  for (const std::uint32_t wrong : {0u, f.max_finite(), f.infinity() | f.sign_mask()}) {
    files::Tensors candidate = right;
    put_code(candidate.at("o"), e, wrong);
    const CheckReport report = checked(candidate);
    EXPECT_FALSE(report.passed) << wrong;
    EXPECT_EQ(report.first_difference()->stage, "o");
    EXPECT_EQ(report.first_difference()->outside, 1);
    EXPECT_EQ(report.first_difference()->first->golden, kInf);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Presets, CheckInfinite,
    testing::Values(Large{"sage1", 70000, true, "bf16"}, Large{"sage1", 70000, false, "bf16"},
                    Large{"sage1", 70000, true, "f16"}, Large{"fa2_bf16", 3e38f, true, "bf16"},
                    Large{"sta_bf16", 3e38f, true, "bf16"}, Large{"dense_f32", 3e38f, true, "f16"},
                    Large{"fpsattention", 1e6f, true, "f16"}));

}  // namespace
}  // namespace karat::golden
