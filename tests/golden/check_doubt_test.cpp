// What lies inside the worst case and is no match: each reason for doubt raised by a candidate, and
// candidates that raise none.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "check/error_gate.hpp"
#include "check/legal_draws.hpp"
#include "check_case.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/bounds/legal_kernels.hpp"
#include "karat/golden/check_report.hpp"

namespace karat::golden {
namespace {

using testing::HasSubstr;
using Reason = Doubt::Reason;
using Scope = Doubt::Scope;

constexpr std::size_t kS = 512, kD = 64, kH = 2;

/// fa3_fp8 never promotes: its worst case is wider than its values.
class Doubts : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ =
        std::filesystem::path(testing::TempDir()) / ("karat_doubt_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    make(cases::make_case(recipe::preset("fa3_fp8"),
                          cases::generated_inputs({.kind = video::WorkloadKind::gaussian,
                                                   .grid = {2, 16, 16},
                                                   .heads = kH,
                                                   .head_dim = kD},
                                                  0)),
         {.taps = "1", .threads = 2}, folder_ / "g.h5");
    golden_ = new GoldenFile(folder_ / "g.h5");
  }
  static void TearDownTestSuite() {
    delete golden_;
    std::filesystem::remove_all(folder_);
  }

  static std::vector<float> golden_o() {
    std::vector<float> all;
    for (std::size_t h = 0; h < kH; ++h)
      for (const float x : golden_->values("o", cases::Extents::matrix, 0, h)) all.push_back(x);
    return all;
  }
  static float* row(std::vector<float>& o, std::size_t head, std::size_t token) {
    return &o[(head * kS + token) * kD];
  }
  static std::unique_ptr<cases::TensorSource> source(const files::Tensors& tensors) {
    files::write_safetensors(folder_ / "c.safetensors", tensors);
    return cases::TensorSource::open(folder_ / "c.safetensors");
  }
  static CheckReport compared(const files::Tensors& tensors, const CheckOptions& options = {}) {
    return check(*golden_, *source(tensors), options);
  }
  static std::vector<float> range(const char* name) {
    std::vector<float> all;
    for (std::size_t h = 0; h < kH; ++h)
      for (const float x : golden_->values(name, cases::Extents::matrix, 0, h)) all.push_back(x);
    return all;
  }
  /// As a candidate; values outside the worst case go to its end.
  static files::Tensors with_o(const std::vector<float>& o) {
    static const std::vector<float> low = range("bound.o_low"), high = range("bound.o_high");
    std::vector<float> stored;
    for (std::size_t e = 0; e < o.size(); ++e)
      stored.push_back(std::clamp(numerics::decode(numerics::encode(o[e], numerics::FormatId::bf16),
                                                   numerics::FormatId::bf16),
                                  low[e], high[e]));
    return {{"o", cases::encoded(stored, numerics::FormatId::bf16, {1, kH, kS, kD})}};
  }
  /// The first row from `token` on whose worst case is wider than its values.
  static std::size_t wide_row(std::size_t head, std::size_t token) {
    static const std::vector<float> high = range("bound.o_high");
    const std::vector<float> o = golden_o();
    while (!(high[(head * kS + token) * kD] > 1.5f * std::abs(o[(head * kS + token) * kD])))
      ++token;
    return token;
  }
  static std::vector<Doubt> doubts(const std::vector<float>& o, const CheckOptions& options = {}) {
    const CheckReport report = compared(with_o(o), options);
    EXPECT_FALSE(report.passed);
    EXPECT_EQ(report.verdict, Verdict::undecided);
    EXPECT_EQ(report.first_difference(), nullptr);
    EXPECT_EQ(report.first_doubt(), &report.stages.front());
    EXPECT_EQ(report.stages.front().outside, 0);
    return report.stages.front().doubts;
  }
  /// o of a legal kernel that check does not run, both heads.
  static std::vector<float> legal_o(std::uint32_t seed) {
    std::vector<float> o = golden_o();
    for (std::size_t h = 0; h < kH; ++h) {
      const layout::Layout& layout = golden_->layout(0, h);
      const attention::QuantisedHead head = golden_->operands(0, h);
      attention::AttendOptions options{.threads = 2};
      for (int b = 0; b < std::ssize(layout.blocks.query_blocks); ++b) options.tapped.push_back(b);
      const auto run = attention::attend(golden_->recipe(), layout, head, options);
      const bounds::LegalKernels kernels(golden_->recipe(), layout, head, {});
      for (const attention::BlockTap& tap : run.taps) {
        const auto made =
            kernels.run({bounds::Errs::at_random, seed}, tap, bounds::Detail::outputs);
        for (std::int64_t i = 0; i < tap.queries.size(); ++i)
          std::copy_n(&made.out[i * kD], kD,
                      row(o, h, layout.order.token_at[tap.queries.begin + i]));
      }
    }
    return o;
  }

  static inline std::filesystem::path folder_;
  static inline GoldenFile* golden_ = nullptr;
};

TEST_F(Doubts, LegalKernelsMatch) {
  for (const std::uint32_t seed : {100u, 101u, 102u}) {
    const CheckReport report = compared(with_o(legal_o(seed)));
    EXPECT_TRUE(report.passed) << seed;
    EXPECT_EQ(report.verdict, Verdict::within) << seed;
    EXPECT_GT(report.stages.front().differing, 0) << seed;
  }
  EXPECT_EQ(compared(with_o(golden_o())).verdict, Verdict::equal);
}

TEST_F(Doubts, NoiseInOneHeadIsOfThatHead) {
  std::vector<float> o = golden_o();
  for (std::size_t e = 0; e < kS * kD; ++e) o[kS * kD + e] *= e % 2 == 0 ? 1.01f : 0.99f;
  const std::vector<Doubt> found = doubts(o);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].reason, Reason::spread);
  EXPECT_EQ(found[0].scope, Scope::head);
  EXPECT_EQ(found[0].at.head, 1u);
  EXPECT_GT(found[0].found, 0.005);
  EXPECT_LT(found[0].found, 0.012);
  EXPECT_LT(found[0].allowed, 0.002);
}

TEST_F(Doubts, AWrongRowIsNamed) {
  std::vector<float> o = golden_o();
  const std::size_t token = wide_row(0, 77);
  for (std::size_t j = 0; j < kD; ++j) row(o, 0, token)[j] *= 1.03f;
  const std::vector<Doubt> found = doubts(o);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].scope, Scope::row);
  EXPECT_EQ(found[0].at.head, 0u);
  EXPECT_EQ(found[0].at.token, Coordinate(token));
  EXPECT_EQ(found[0].at.query_block, Coordinate(token / 128));
  EXPECT_NEAR(found[0].found, 0.03, 0.003);
}

TEST_F(Doubts, AWrongValueIsNamed) {
  std::vector<float> o = golden_o();
  constexpr std::size_t kChannel = 9;
  const std::size_t token = wide_row(1, 400);
  row(o, 1, token)[kChannel] *= 1.25f;
  const std::vector<Doubt> found = doubts(o);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].at.head, 1u);
  EXPECT_EQ(found[0].at.token, Coordinate(token));
  if (found[0].scope == Scope::value) {
    EXPECT_EQ(found[0].at.channel, Coordinate(kChannel));
  }
}

// The gate never doubts what legal kernels do, however strict it is asked to be.
TEST_F(Doubts, LegalKernelsPassAStrictErrorGate) {
  CheckOptions options;
  options.error_ratio = 1;
  EXPECT_TRUE(compared(with_o(legal_o(103)), options).passed);
}

TEST_F(Doubts, TappedAccumulatorsAreHeldAgainstLegalKernels) {
  const std::string name = "tap.0.0.1.o";
  const attention::BlockTap tap = golden_->tap(0, 0, 1);
  const layout::Layout& layout = golden_->layout(0, 0);
  const attention::QuantisedHead head = golden_->operands(0, 0);
  const bounds::BlockBounds range =
      bounds::HeadBounds(golden_->recipe(), layout, head)
          .of(tap,
              bounds::gather(golden_->values("o", cases::Extents::matrix, 0, 0), layout,
                             tap.queries, kD),
              bounds::gather(golden_->values("lse", cases::Extents::vector, 0, 0), layout,
                             tap.queries, 1),
              bounds::Detail::stages);
  const files::Tensors exported = exported_stages(*golden_);
  files::Tensors candidate{{name, exported.at(name)}};
  const std::span<float> o = candidate[name].as<float>();
  for (std::size_t e = 0; e < o.size(); ++e)
    o[e] = std::clamp(o[e] * 1.02f, range.o_low[e], range.o_high[e]);
  const CheckReport report = compared(candidate);
  ASSERT_EQ(report.verdict, Verdict::undecided);
  const StageReport& stage = report.stages.front();
  EXPECT_EQ(stage.stage, "o by block");
  ASSERT_EQ(stage.doubts.size(), 1u);
  EXPECT_EQ(stage.doubts[0].at.query_block, Coordinate(1));
}

TEST_F(Doubts, StandInEveryReport) {
  std::vector<float> o = golden_o();
  for (float& x : o) x *= 1.02f;
  const auto candidate = source(with_o(o));
  const CheckReport report = check(*golden_, *candidate);
  const std::string text = to_text(report, *golden_, *candidate);
  EXPECT_THAT(text, HasSubstr("is undecided against"));
  EXPECT_THAT(text, HasSubstr("undecided: o, batch 0, head 0: the head lies"));
  const files::Json json = to_json(report, *golden_, *candidate);
  EXPECT_EQ(json.at("verdict"), "undecided");
  EXPECT_EQ(json.at("passed"), false);
  EXPECT_EQ(json.at("first_difference"), nullptr);
  const files::Json& stage = json.at("stages").at(0);
  EXPECT_EQ(stage.at("result"), "undecided");
  EXPECT_EQ(stage.at("doubts").at(0).at("reason"), "spread");
  EXPECT_EQ(stage.at("doubts").at(0).at("scope"), "head");
  const std::string page = to_page(report, *golden_, *candidate);
  EXPECT_THAT(page, HasSubstr("<td class=\"unsure\">undecided</td>"));
  EXPECT_THAT(page, HasSubstr("class=\"answer unsure\""));
}

// Lazy rescaling saturates P: all but a few values differ, and all lie inside fa3_fp8's worst case.
TEST(DoubtsOfAWiderRange, LazyRescalingIsNoMatchForFlashAttention3) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("karat_lazy_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const std::shared_ptr<const cases::Inputs> inputs = cases::generated_inputs(
      {.kind = video::WorkloadKind::gaussian, .grid = {4, 16, 16}, .heads = 1}, 0);
  make(cases::make_case(recipe::preset("fa3_fp8"), inputs), {.taps = "none", .threads = 2},
       folder / "g.h5");
  make(cases::make_case(recipe::preset("fa3_fp8_lazy_rescale"), inputs),
       {.taps = "none", .threads = 2}, folder / "lazy.h5");
  const GoldenFile golden(folder / "g.h5");
  const files::Tensors lazy = exported_stages(GoldenFile(folder / "lazy.h5"));
  files::write_safetensors(folder / "c.safetensors",
                           {{"o", lazy.at("o")}, {"lse", lazy.at("lse")}});
  const CheckReport report = check(golden, *cases::TensorSource::open(folder / "c.safetensors"));
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.verdict, Verdict::undecided);
  const StageReport& o = report.stages.back();
  EXPECT_EQ(o.differing, 110263);
  EXPECT_EQ(o.outside, 0);
  std::vector<Reason> reasons;
  for (const Doubt& doubt : o.doubts) reasons.push_back(doubt.reason);
  EXPECT_THAT(reasons, testing::UnorderedElementsAre(Reason::spread, Reason::error));
  std::filesystem::remove_all(folder);
}

TEST(LegalDrawsLimit, IsBernsteinsTimesTheReserve) {
  LegalDraws draws(0.5);
  for (const double x : {1.0, 3.0}) draws.add(0, x);  // mean 2, variance 1, largest 3
  for (const double x : {1.0, 1.0}) draws.add(1, x);
  const double length = std::log(7 / 1e-6);
  EXPECT_NEAR(draws.limit(10, 7), 4 * (2 + std::sqrt(2 * 1 * length / 10) + 3 * length / (3 * 10)),
              1e-12);
  EXPECT_NEAR(LegalDraws(0.5).limit(1, 1), 4 * 0.5 * std::log(1e6) / 3, 1e-12);
}

/// 256 rows in query blocks of 64, each with error 0.05 of a norm of 1.
struct Gate {
  layout::Layout layout = layout::make_layout(recipe::preset("sta_bf16"), {1, 16, 16}, 32);
  std::vector<TruthRow> rows;
  Gate() {
    for (std::int32_t token = 0; token < 256; ++token)
      rows.push_back({.token = token, .truth = 1, .golden = 0.0025, .candidate = 0.0025});
  }
  std::optional<Doubt> operator()(double ratio) const {
    return beyond(ratio, {.order = layout.order, .blocks = layout.blocks.query_blocks},
                  numerics::FormatId::bf16, rows);
  }
};

TEST(ErrorGate, ComparesHeadsBlocksAndRows) {
  Gate gate;
  EXPECT_FALSE(gate(1));
  for (TruthRow& row : gate.rows) row.candidate *= 1.3 * 1.3;
  ASSERT_TRUE(gate(1.25));
  EXPECT_EQ(gate(1.25)->scope, Scope::head);
  EXPECT_NEAR(gate(1.25)->found, 1.3, 1e-9);
  EXPECT_FALSE(gate(1.31));
}

TEST(ErrorGate, AllowsWhatLegalKernelsReachAndHalfAsMuchAgain) {
  EXPECT_EQ(allowed_ratio(1.25, 1), 1.25);
  EXPECT_EQ(allowed_ratio(1.25, 1.5), 1.75);
}

TEST(ErrorGate, FindsOneWrongRowAmongMany) {
  Gate gate;
  gate.rows[200].candidate = 1;  // wrong by its own size: the head's error grows by 1.26
  ASSERT_TRUE(gate(1.5));
  EXPECT_EQ(gate(1.5)->scope, Scope::row);
  EXPECT_EQ(gate(1.5)->at.token, Coordinate(200));
  EXPECT_NEAR(gate(1.5)->found, std::sqrt(1 / (5 * 0.0025)), 1e-9);
}

TEST(ErrorGate, TakesNaNForInfinitelyWrongAndLeavesRowsWithoutTruthOut) {
  const std::vector<double> truth{1, 2};
  const float nan = std::nanf("");
  const std::vector<float> golden{1, 2}, broken{1, nan};
  EXPECT_EQ(truth_row(0, truth, golden, broken)->candidate, kInf);
  EXPECT_FALSE(truth_row(0, truth, broken, golden));
}

}  // namespace
}  // namespace karat::golden
