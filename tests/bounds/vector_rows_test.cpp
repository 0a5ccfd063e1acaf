// Loops of vectors against the same arithmetic one number after the other, on every target: the
// same bits, and the same refusals.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "../numerics/targets.hpp"
#include "finite_rows.hpp"
#include "golden_run.hpp"
#include "grouped_p.hpp"
#include "karat/numerics/tensor_core/instruction.hpp"
#include "karat/recipe/json.hpp"
#include "non_finite.hpp"
#include "row_sum.hpp"
#include "visits.hpp"

namespace karat::bounds {
namespace {

using numerics::Path;
using numerics::Subnormals;
using numerics::testing::for_each_target;

constexpr std::size_t kSizes[] = {1, 3, 4, 7, 8, 15, 16, 21, 32, 37, 128};

template <typename T>
::testing::AssertionResult same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "bits differ";
}

/// Numbers of every size and sign, zeros and subnormals among them.
class Numbers {
 public:
  explicit Numbers(unsigned seed) : random_(seed) {}
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  float positive(int smallest, int largest) {
    const float significand = 1 + std::ldexp(static_cast<float>(random_() >> 9), -23);
    return std::ldexp(significand, smallest + below(largest - smallest + 1));
  }
  float number() {
    if (below(16) == 0) return below(2) == 0 ? 0.0f : -0.0f;
    const float x = below(4) == 0 ? positive(-149, 120) : positive(-12, 8);
    return below(2) == 0 ? x : -x;
  }
  Interval interval() {
    const float a = number(), b = below(3) == 0 ? number() : a;
    return {std::min(a, b), std::max(a, b)};
  }
  std::vector<Interval> intervals(std::size_t count) {
    std::vector<Interval> made(count);
    for (Interval& x : made) x = interval();
    return made;
  }
  std::vector<float> numbers(std::size_t count) {
    std::vector<float> made(count);
    for (float& x : made) x = number();
    return made;
  }
  Interval factor() {
    switch (below(4)) {
      case 0:
        return 1.0f;
      case 1:
        return {0.0f, positive(-126, 0)};
      default:
        const float x = positive(-30, 0);
        return {x, x * (1 + 0x1p-22f)};
    }
  }
  Rescaling rescaling() { return {factor(), below(2) == 0 ? Subnormals::flush : Subnormals::keep}; }

 private:
  std::mt19937 random_;
};

constexpr float kNoNumbers[] = {kInfinity, -kInfinity, kNan};

/// A row of the fast path beside one of the scalar path.
struct Twins {
  explicit Twins(std::vector<Interval> from)
      : fast(from), scalar(std::move(from)), of_fast(fast.size()), of_scalar(fast.size()) {}
  std::vector<Interval> fast, scalar;
  FiniteRow of_fast, of_scalar;
};

TEST(VectorRows, RescaleAndPromoteAsOneByOne) {
  for_each_target([](const std::string& target) {
    SCOPED_TRACE(target);
    Numbers numbers(1);
    int refused = 0;
    for (const std::size_t channels : kSizes)
      for (int draw = 0; draw < 60; ++draw) {
        const Rescaling by = numbers.rescaling();
        std::vector<Interval> o = numbers.intervals(channels), t = numbers.intervals(channels), f;
        if (draw % 2 == 0)
          for (std::size_t j = 0; j < channels; ++j) f.push_back(numbers.factor());
        if (draw % 5 == 0) (draw % 2 == 0 ? o : t)[draw % channels].high = kNoNumbers[draw % 3];
        Twins rescaled(o), promoted(o);
        rescale_row(by, rescaled.fast);
        rescale_row(by, rescaled.scalar, Path::scalar);
        EXPECT_TRUE(same(rescaled.fast, rescaled.scalar));
        const bool done = promote_row(by, t, f, promoted.of_fast, promoted.fast);
        EXPECT_EQ(done, promote_row(by, t, f, promoted.of_scalar, promoted.scalar, Path::scalar));
        EXPECT_TRUE(same(promoted.fast, promoted.scalar));
        EXPECT_TRUE(done || same(promoted.fast, o));
        refused += !done;
      }
    EXPECT_GT(refused, 50);
  });
}

TEST(VectorRows, AccumulateAsOneByOne) {
  for_each_target([](const std::string& target) {
    SCOPED_TRACE(target);
    Numbers numbers(2);
    int refused = 0, beyond = 0;
    for (const std::size_t channels : kSizes)
      for (int draw = 0; draw < 60; ++draw) {
        const Rescaling by = numbers.rescaling();
        std::vector<Interval> o = numbers.intervals(channels);
        std::vector<float> earlier = numbers.numbers(channels), golden = numbers.numbers(channels);
        if (draw % 5 == 0)
          (draw % 2 == 0 ? earlier : golden)[draw % channels] = kNoNumbers[draw % 3];
        std::vector<double> around(channels);
        for (double& x : around) x = std::ldexp(numbers.positive(-30, 0), draw % 7 == 0 ? 130 : -4);
        if (draw % 4 == 1) {
          // Nearly nothing is left of the sums, so that the order of their terms shows.
          earlier = golden;
          for (std::size_t j = 0; j < channels; ++j) {
            o[j] = golden[j];
            around[j] =
                std::abs(golden[j]) * (1 + std::ldexp(1.0 + numbers.positive(-40, -1), -24));
          }
        }
        const float* before = draw % 3 == 0 ? nullptr : earlier.data();
        Twins twins(o);
        const BegunRow begun = begin_row(by, twins.fast, before, golden.data(), twins.of_fast);
        const BegunRow truly =
            begin_row(by, twins.scalar, before, golden.data(), twins.of_scalar, Path::scalar);
        EXPECT_EQ(begun.finite, truly.finite);
        refused += !begun.finite;
        if (!begun.finite) continue;
        EXPECT_EQ(begun.largest, truly.largest);
        for (const auto member :
             {&FiniteRow::low, &FiniteRow::high, &FiniteRow::away_low, &FiniteRow::away_high})
          EXPECT_TRUE(same(twins.of_fast.*member, twins.of_scalar.*member));
        constexpr double kLargest = std::numeric_limits<float>::max();
        const bool done = end_row(golden.data(), around, kLargest, twins.of_fast, twins.fast);
        EXPECT_EQ(done, end_row(golden.data(), around, kLargest, twins.of_scalar, twins.scalar,
                                Path::scalar));
        EXPECT_TRUE(same(twins.fast, twins.scalar));
        EXPECT_TRUE(done || same(twins.fast, o));
        beyond += !done;
      }
    EXPECT_GT(refused, 50);
    EXPECT_GT(beyond, 20);
  });
}

TEST(VectorRows, WidthsAsOneByOne) {
  for_each_target([](const std::string& target) {
    SCOPED_TRACE(target);
    Numbers numbers(3);
    for (const char* instruction : {"f32.fma", "exact", "hopper.wgmma.e4m3.f32"}) {
      const ChainBound bound(numerics::instruction(instruction));
      for (const std::size_t channels : kSizes) {
        std::vector<double> v_max(channels);
        for (double& x : v_max) x = numbers.below(9) == 0 ? kInfinity : std::abs(numbers.number());
        const ChainSize size{.k = 1 + channels,
                             .a_max = std::abs(numbers.number()),
                             .a_sum = std::abs(numbers.number()),
                             .start = std::abs(numbers.number())};
        for (const bool add : {false, true}) {
          std::vector<double> fast(channels), scalar(channels);
          for (std::size_t j = 0; j < channels; ++j)
            fast[j] = scalar[j] = std::abs(numbers.number());
          const std::vector<float> v = numbers.numbers(channels);
          const double width = std::abs(numbers.number()) * (1 + 0x1p-40);
          add_widths(width, v.data(), fast);
          add_widths(width, v.data(), scalar, Path::scalar);
          EXPECT_TRUE(same(fast, scalar));
          chain_widths(bound, size, {add, width}, v_max, fast);
          chain_widths(bound, size, {add, width}, v_max, scalar, Path::scalar);
          EXPECT_TRUE(same(fast, scalar));
          for (std::size_t j = 0; j < channels && !add; ++j) {
            ChainSize of = size;
            of.b_max = v_max[j];
            const double expected = width * v_max[j] + 2 * bound.of_size(of);
            EXPECT_TRUE(scalar[j] == expected || (std::isnan(expected) && std::isnan(scalar[j])));
          }
        }
      }
    }
  });
}

TEST(VectorRows, SumsOfLegalPAsOneByOne) {
  for_each_target([](const std::string& target) {
    SCOPED_TRACE(target);
    Numbers numbers(4);
    for (std::size_t rows = 1; rows < 20; ++rows)
      for (const std::size_t columns : kSizes) {
        std::vector<std::vector<float>> low, high;
        std::vector<RowEnds> ends;
        for (std::size_t i = 0; i < rows; ++i) {
          low.emplace_back();
          high.emplace_back();
          for (std::size_t n = 0; n < columns; ++n) {
            high[i].push_back(numbers.positive(-126, 3));
            low[i].push_back(numbers.below(2) == 0 ? high[i][n] : high[i][n] * (1 - 0x1p-20f));
          }
          if (rows == 9) high[i][columns / 2] = kNoNumbers[i % 3];
        }
        for (std::size_t i = 0; i < rows; ++i) ends.push_back({low[i].data(), high[i].data()});
        std::vector<LegalSums> fast(rows), scalar(rows);
        legal_sums(ends, columns, fast);
        legal_sums(ends, columns, scalar, Path::scalar);
        EXPECT_TRUE(same(fast, scalar));
      }
  });
}

struct Prepared {
  explicit Prepared(const char* name, const auto& change)
      : run(
            [&] {
              recipe::Recipe recipe = small(recipe::preset(name));
              change(recipe);
              return recipe;
            }(),
            {3, 8, 9}, 32, attention::Flavour::normal, 1),
        free(run.recipe, run.layout, run.head, Freedom{}) {}
  explicit Prepared(const char* name) : Prepared(name, [](recipe::Recipe&) {}) {}
  GoldenRun run;
  FreeLaunch free;
};

TEST(VectorRows, PAndRowSumsAsOneByOne) {
  for (const char* name : {"fa3_fp8", "sta_bf16", "dense_f32", "triton_sparse_fp8", "attn_qat_fp8",
                           "attn_qat_nvfp4", "sage_bwd_int8", "trtllm_sage", "fa4_sm100_fp8"})
    for (const auto start : {recipe::RowSumStart::separate, recipe::RowSumStart::fused_first})
      for (const auto subnormals : {Subnormals::flush, Subnormals::keep}) {
        const Prepared of(name, [&](recipe::Recipe& recipe) {
          recipe.softmax.row_sum_start = start;
          recipe.subnormals = subnormals;
        });
        for_each_target([&](const std::string& target) {
          SCOPED_TRACE(std::string(name) + " on " + target);
          Numbers numbers(5);
          for (const std::size_t rows : {1, 4, 9}) {
            std::vector<RowSum> fast(rows, RowSum(of.free)), scalar = fast;
            for (const std::size_t columns : kSizes) {
              std::vector<RowP> p(rows), scalar_p(rows);
              std::vector<Interval> alpha(rows);
              for (std::size_t i = 0; i < rows; ++i) {
                std::vector<float> x(columns);
                for (float& e : x) {
                  e = -numbers.positive(-20, numbers.below(4) == 0 ? 7 : 3);
                  if (numbers.below(12) == 0) e = -kInfinity;
                  if (numbers.below(12) == 0) e = numbers.below(2) == 0 ? 0.0f : -0.0f;
                }
                of.free.p(x, p[i]);
                of.free.p(x, scalar_p[i], Path::scalar);
                EXPECT_TRUE(same(p[i].low, scalar_p[i].low));
                EXPECT_TRUE(same(p[i].high, scalar_p[i].high));
                EXPECT_TRUE(same(p[i].cast_low, scalar_p[i].cast_low));
                EXPECT_TRUE(same(p[i].cast_high, scalar_p[i].cast_high));
                EXPECT_EQ(p[i].scale.low, scalar_p[i].scale.low);
                EXPECT_EQ(p[i].scale.high, scalar_p[i].scale.high);
                alpha[i] = numbers.factor();
              }
              RowSum::absorb(fast, alpha, p);
              RowSum::absorb(scalar, alpha, p, Path::scalar);
              for (std::size_t i = 0; i < rows; ++i) {
                EXPECT_EQ(fast[i].total().low, scalar[i].total().low);
                EXPECT_EQ(fast[i].total().high, scalar[i].total().high);
              }
            }
          }
        });
      }
}

TEST(VectorRows, FactorsOfThePastAsOneByOne) {
  for (const char* name : {"fa3_fp8", "dense_f32", "dense_f64", "triton_sparse_fp8"}) {
    const Prepared of(name);
    Numbers numbers(6);
    std::vector<float> before = numbers.numbers(50), after(50);
    for (std::size_t i = 0; i < after.size(); ++i)
      after[i] = before[i] + (i % 3 == 0 ? 0.0f : numbers.positive(-20, 5));
    before[0] = before[1] = -kInfinity;
    after[0] = -kInfinity;
    std::vector<Interval> alpha(50);
    of.free.alphas(before, after, alpha);
    for (std::size_t i = 0; i < alpha.size(); ++i) {
      const Interval one = of.free.alpha(before[i], after[i]);
      EXPECT_EQ(alpha[i].low, one.low) << name;
      EXPECT_EQ(alpha[i].high, one.high) << name;
    }
  }
}

TEST(VectorRows, LargestNumbersAsTheEngineHasThem) {
  for_each_target([](const std::string& target) {
    SCOPED_TRACE(target);
    Numbers numbers(7);
    for (const std::size_t count : kSizes)
      for (int draw = 0; draw < 40; ++draw) {
        std::vector<float> x = numbers.numbers(count);
        if (draw % 4 == 1) x[0] = kNan;
        if (draw % 4 == 2) x[draw % count] = kNoNumbers[draw % 3];
        if (draw % 8 == 3) std::ranges::fill(x, draw % 16 == 3 ? kNan : -kInfinity);
        float expected = -kInfinity;
        for (const float e : x) expected = e > expected ? e : expected;
        EXPECT_EQ(largest_of(x), expected);
      }
  });
}

}  // namespace
}  // namespace karat::bounds
