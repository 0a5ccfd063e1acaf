// A second branch whose sums another program took in another order, and planted mistakes in it:
// what karat check still catches. The branches here are written apart, in FP64 between the casts.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <ostream>

#include "check_case.hpp"
#include "karat/attention/attend.hpp"
#include "karat/bounds/branch_range.hpp"
#include "karat/golden/check_report.hpp"

namespace karat::golden {
namespace {

/// 300 tokens; tiles of 4x4x4 are short at the ends.
constexpr video::Extent3 kBranchGrid{3, 10, 10};
constexpr std::size_t kWidth = 32;

enum class Mistake {
  none,
  no_epsilon,
  features_not_normalised,
  features_of_tokens,
  tail_left_out,
  v_shifted,
  not_divided,
  kv_in_bf16,
  features_not_cast,
  sum_not_mean,
  whole_tiles_counted,
  no_scale,
  scale_without_root,
  softmax_of_queries,
  tiles_of_neighbours,
  p_not_cast,
  means_not_cast,
};
constexpr std::pair<Mistake, const char*> kLinear[] = {
    {Mistake::no_epsilon, "no epsilon"},
    {Mistake::features_not_normalised, "exp of k, not its softmax"},
    {Mistake::features_of_tokens, "softmax over tokens"},
    {Mistake::tail_left_out, "the last 20 tokens left out"},
    {Mistake::v_shifted, "V of the token before"},
    {Mistake::not_divided, "not divided"},
    {Mistake::kv_in_bf16, "KV added in BF16"},
    {Mistake::features_not_cast, "features not cast"},
};
constexpr std::pair<Mistake, const char*> kCoarse[] = {
    {Mistake::sum_not_mean, "sums of V, not means"},
    {Mistake::whole_tiles_counted, "short tiles divided by 64"},
    {Mistake::no_scale, "no d^-1/2"},
    {Mistake::scale_without_root, "1/d for d^-1/2"},
    {Mistake::softmax_of_queries, "softmax over queries"},
    {Mistake::tiles_of_neighbours, "the next tile's row"},
    {Mistake::p_not_cast, "P not cast"},
    {Mistake::means_not_cast, "means not cast"},
};

float bf16(double x) {
  return numerics::decode(numerics::encode(static_cast<float>(x), numerics::FormatId::bf16),
                          numerics::FormatId::bf16);
}

/// What the branch's operations hand on.
numerics::FormatId g_format = numerics::FormatId::bf16;
float typed(double x) {
  return g_format == numerics::FormatId::bf16 ? bf16(x) : static_cast<float>(x);
}

using Matrix = std::vector<std::vector<double>>;

void cast(Matrix& m) {
  for (auto& row : m)
    for (double& x : row) x = typed(x);
}
Matrix turned(const Matrix& m) {
  Matrix t(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t i = 0; i < m.size(); ++i)
    for (std::size_t j = 0; j < m[i].size(); ++j) t[j][i] = m[i][j];
  return t;
}
Matrix softmax(Matrix m) {
  for (auto& row : m) {
    const double largest = *std::ranges::max_element(row);
    double sum = 0;
    for (double& x : row) sum += x = std::exp(x - largest);
    for (double& x : row) x /= sum;
  }
  return m;
}
Matrix product(const Matrix& a, const Matrix& b_turned) {
  Matrix m(a.size(), std::vector<double>(b_turned.size()));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b_turned.size(); ++j)
      m[i][j] = std::inner_product(a[i].begin(), a[i].end(), b_turned[j].begin(), 0.0);
  return m;
}

struct Head {
  Matrix q, k, v;
};

Matrix linear(const Head& head, Mistake mistake) {
  Matrix q = softmax(head.q), k = softmax(head.k), v = head.v;
  if (mistake == Mistake::features_not_normalised) {
    k = head.k;
    for (auto& row : k) {
      const double largest = *std::ranges::max_element(row);
      for (double& x : row) x = std::exp(x - largest);
    }
  }
  if (mistake == Mistake::features_of_tokens) k = turned(softmax(turned(head.k)));
  if (mistake == Mistake::v_shifted) std::rotate(v.begin(), v.end() - 1, v.end());
  if (mistake != Mistake::features_not_cast) {
    cast(q);
    cast(k);
  }
  if (mistake == Mistake::tail_left_out) {
    k.resize(k.size() - 20);
    v.resize(k.size());
  }
  Matrix kv = product(turned(v), turned(k));
  if (mistake == Mistake::kv_in_bf16) {
    for (auto& row : kv) std::ranges::fill(row, 0.0);
    for (std::size_t t = 0; t < k.size(); ++t)
      for (std::size_t j = 0; j < kWidth; ++j)
        for (std::size_t i = 0; i < kWidth; ++i) kv[j][i] = bf16(kv[j][i] + v[t][j] * k[t][i]);
  }
  cast(kv);
  Matrix z(1, std::vector<double>(kWidth, 0.0));
  for (const auto& row : k)
    for (std::size_t i = 0; i < kWidth; ++i) z[0][i] += row[i];
  cast(z);
  Matrix rows = product(q, kv), below = product(q, z);
  cast(rows);
  cast(below);
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const double epsilon = mistake == Mistake::no_epsilon ? 0 : 1e-5;
    const double by = mistake == Mistake::not_divided ? 1 : typed(below[t][0] + epsilon);
    for (double& x : rows[t]) x = typed(x / by);
  }
  return rows;
}

Matrix coarse(const Head& head, Mistake mistake) {
  std::map<std::array<int, 3>, std::vector<std::size_t>> tiles;
  std::size_t token = 0;
  for (int t = 0; t < kBranchGrid.t; ++t)
    for (int h = 0; h < kBranchGrid.h; ++h)
      for (int w = 0; w < kBranchGrid.w; ++w) tiles[{t / 4, h / 4, w / 4}].push_back(token++);
  const auto means = [&](const Matrix& x, bool sum) {
    Matrix made;
    for (const auto& [at, tokens] : tiles) {
      auto& row = made.emplace_back(kWidth, 0.0);
      for (const std::size_t i : tokens)
        for (std::size_t c = 0; c < kWidth; ++c) row[c] += x[i][c];
      const double count =
          mistake == Mistake::whole_tiles_counted ? 64.0 : static_cast<double>(tokens.size());
      for (double& value : row) value /= sum ? 1 : count;
    }
    if (mistake != Mistake::means_not_cast)  // BF16 for the prediction's sake (predict.means)
      for (auto& row : made)
        for (double& value : row) value = bf16(value);
    return made;
  };
  const Matrix q = means(head.q, false), k = means(head.k, false),
               v = means(head.v, mistake == Mistake::sum_not_mean);
  Matrix p = product(q, k);
  cast(p);
  const double d = kWidth;
  const double scale = mistake == Mistake::no_scale             ? 1
                       : mistake == Mistake::scale_without_root ? 1 / d
                                                                : 1 / std::sqrt(d);
  for (auto& row : p)
    for (double& x : row) x = typed(x * scale);
  p = mistake == Mistake::softmax_of_queries ? turned(softmax(turned(p))) : softmax(p);
  if (mistake != Mistake::p_not_cast) cast(p);
  Matrix of_tile = product(p, turned(v));
  cast(of_tile);
  if (mistake == Mistake::tiles_of_neighbours)
    std::rotate(of_tile.begin(), of_tile.begin() + 1, of_tile.end());
  Matrix rows(head.q.size());
  std::size_t number = 0;
  for (const auto& [at, tokens] : tiles) {
    for (const std::size_t i : tokens) rows[i] = of_tile[number];
    ++number;
  }
  return rows;
}

struct Branch {
  const char* preset;
  numerics::FormatId format;
};

void PrintTo(const Branch& branch, std::ostream* out) {
  *out << branch.preset << (branch.format == numerics::FormatId::f32 ? " f32" : " bf16");
}

class BranchCheck : public testing::TestWithParam<Branch> {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("karat_branch_" + std::string(GetParam().preset) + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    recipe::Recipe recipe = recipe::preset(GetParam().preset);
    g_format = recipe.branch.format = GetParam().format;
    make(cases::make_case(recipe, cases::generated_inputs(
                                      {.grid = kBranchGrid, .heads = 1, .head_dim = kWidth}, 0)),
         {.taps = "none", .threads = 2}, folder_ / "g.h5");
    golden_.emplace(folder_ / "g.h5");
    for (auto [matrix, name] : {std::pair(&head_.q, "q"), {&head_.k, "k"}, {&head_.v, "v"}}) {
      const auto values = golden_->values(name, cases::Extents::matrix, 0, 0);
      for (std::size_t e = 0; e < values.size(); e += kWidth)
        matrix->emplace_back(values.begin() + e, values.begin() + e + kWidth);
    }
    attention::QuantisedHead operands = golden_->operands(0, 0);
    operands.branch.clear();
    sparse_ = attention::attend(golden_->recipe(), golden_->layout(0, 0), operands).o;
  }
  void TearDown() override {
    golden_.reset();
    std::filesystem::remove_all(folder_);
  }

  bool is_linear() const { return golden_->recipe().branch.kind == recipe::BranchKind::linear; }
  std::vector<float> branch(Mistake mistake) const {
    std::vector<float> all;
    for (const auto& row : is_linear() ? linear(head_, mistake) : coarse(head_, mistake))
      for (const double x : row) all.push_back(static_cast<float>(x));
    return all;
  }
  std::vector<float> outputs(const std::vector<float>& branch, float weight = 1) const {
    std::vector<float> o;
    for (std::size_t e = 0; e < branch.size(); ++e)
      o.push_back(bf16(sparse_[e] + weight * branch[e]));
    return o;
  }
  CheckReport compared(const std::map<std::string, std::vector<float>>& stages) const {
    files::Tensors candidate;
    for (const auto& [name, values] : stages)
      candidate[name] = cases::encoded(values, name == "o" ? numerics::FormatId::bf16 : g_format,
                                       {1, 1, values.size() / kWidth, kWidth});
    files::write_safetensors(folder_ / "c.safetensors", candidate);
    return check(*golden_, *cases::TensorSource::open(folder_ / "c.safetensors"), {.threads = 2});
  }

  std::filesystem::path folder_;
  std::optional<GoldenFile> golden_;
  Head head_;
  std::vector<float> sparse_;  ///< o without a branch
};

TEST_P(BranchCheck, AnotherOrderOfTheSumsIsLegal) {
  const bool in_f32 = g_format == numerics::FormatId::f32;  // BF16 hides most orders
  const std::vector<float> other = branch(Mistake::none);
  const CheckReport both = compared({{"branch", other}, {"o", outputs(other)}});
  ASSERT_EQ(both.stages.size(), 2u);
  EXPECT_TRUE(both.passed);
  EXPECT_EQ(both.stages[0].stage, "branch");
  if (in_f32) {
    EXPECT_EQ(both.stages[0].verdict, Verdict::within);
    EXPECT_GT(both.stages[0].differing, 1000);
  }
  const CheckReport alone = compared({{"o", outputs(other)}});
  EXPECT_TRUE(alone.passed);
}

TEST_P(BranchCheck, LegalBranchesLieInsideTheRange) {
  std::vector<float> x[3];
  for (std::size_t i = 0; i < 3; ++i)
    x[i] = golden_->values(std::string(1, "qkv"[i]), cases::Extents::matrix, 0, 0);
  const attention::HeadInput input{x[0], x[1], x[2]};
  const layout::Layout& layout = golden_->layout(0, 0);
  const auto range = bounds::branch_range(golden_->recipe(), layout, input, 1);
  const std::vector<float> golden = golden_->values("branch", cases::Extents::matrix, 0, 0);
  std::size_t moved = 0;
  double width = 0, size = 0;
  for (const bounds::LegalKernel& kernel : bounds::kLegalKernels) {
    const auto legal = bounds::legal_branch(golden_->recipe(), layout, input, kernel);
    for (std::size_t e = 0; e < golden.size(); ++e) {
      ASSERT_TRUE(bounds::inside(golden[e], range.low[e], range.high[e])) << e;
      ASSERT_TRUE(bounds::inside(legal[e], range.low[e], range.high[e])) << e;
      moved += legal[e] != golden[e];
      width += double{range.high[e]} - range.low[e];
      size += std::abs(golden[e]);
    }
  }
  // BF16 hides most orders.
  EXPECT_GT(moved, g_format == numerics::FormatId::f32 ? golden.size() : 0u)
      << "kernels that all give the golden bits show nothing";
  EXPECT_GT(width, 0);
  EXPECT_LT(width, 0.1 * size) << "a range as wide as the values shows nothing";
}

TEST_P(BranchCheck, MistakesAreCaught) {
  if (g_format == numerics::FormatId::f32) GTEST_SKIP() << "casts are half of the mistakes";
  std::vector<std::string> missed, missed_in_o;
  const auto look = [&](const auto& mistakes) {
    for (const auto& [mistake, name] : mistakes) {
      const std::vector<float> wrong = branch(mistake);
      const CheckReport both = compared({{"branch", wrong}, {"o", outputs(wrong)}});
      if (both.passed) missed.emplace_back(name);
      const CheckReport alone = compared({{"o", outputs(wrong)}});
      if (alone.passed) missed_in_o.emplace_back(name);
    }
  };
  is_linear() ? look(kLinear) : look(kCoarse);
  // 1e-5 beside a denominator of BF16 changes no bit.
  const std::vector<std::string> unseen =
      is_linear() ? std::vector<std::string>{"no epsilon"} : std::vector<std::string>{};
  EXPECT_EQ(missed, unseen);
  EXPECT_EQ(missed_in_o, unseen);
}

TEST_P(BranchCheck, OutputsAnswerToTheCandidatesOwnBranch) {
  const std::vector<float> other = branch(Mistake::none);
  // Half the branch is no rounding of it.
  const CheckReport half = compared({{"branch", other}, {"o", outputs(other, 0.5f)}});
  EXPECT_LE(half.stages[0].verdict, Verdict::within);
  EXPECT_FALSE(half.passed);
  EXPECT_FALSE(compared({{"o", outputs(other, 0.5f)}}).passed);
  // A right kernel behind another branch: the branch alone is wrong.
  const Mistake mistake = is_linear() ? Mistake::v_shifted : Mistake::tiles_of_neighbours;
  const std::vector<float> wrong = branch(mistake);
  const CheckReport behind = compared({{"branch", wrong}, {"o", outputs(wrong)}});
  EXPECT_EQ(behind.stages[0].verdict, Verdict::differs);
  EXPECT_EQ(behind.stages[1].outside, 0);
}

INSTANTIATE_TEST_SUITE_P(Presets, BranchCheck,
                         testing::Values(Branch{"sla", numerics::FormatId::bf16},
                                         Branch{"vsa", numerics::FormatId::bf16},
                                         Branch{"sla", numerics::FormatId::f32},
                                         Branch{"vsa", numerics::FormatId::f32}));

}  // namespace
}  // namespace karat::golden
