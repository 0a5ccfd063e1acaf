// What every workload promises: BF16 values, the same bits however it is made, named kinds.
#include "karat/video/workload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

using testing::HasSubstr;

bool same_bits(const Head& a, const Head& b) {
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return std::ranges::equal(x, y, {}, std::bit_cast<std::uint32_t, float>,
                              std::bit_cast<std::uint32_t, float>);
  };
  return same(a.q, b.q) && same(a.k, b.k) && same(a.v, b.v);
}

std::uint64_t checksum(const Head& head) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a over the 16 bits that count
  for (const auto* values : {&head.q, &head.k, &head.v})
    for (const float x : *values)
      hash = (hash ^ std::bit_cast<std::uint32_t>(x) >> 16) * 0x100000001b3;
  return hash;
}

/// 7 x 11 x 13 tokens: no power of two anywhere.
WorkloadSpec odd_spec(WorkloadKind kind) {
  return {.kind = kind, .grid = {7, 11, 13}, .batch = 2, .heads = 3, .head_dim = 30, .seed = 5};
}

class EveryKind : public testing::TestWithParam<WorkloadKind> {};

TEST_P(EveryKind, IsFiniteAndExactInBf16) {
  const Head head = generate_head(odd_spec(GetParam()), 1, 2);
  for (const auto* values : {&head.q, &head.k, &head.v}) {
    ASSERT_EQ(values->size(), 7u * 11 * 13 * 30);
    for (const float x : *values) {
      ASSERT_TRUE(std::isfinite(x));
      ASSERT_EQ(std::bit_cast<std::uint32_t>(x) & 0xFFFF, 0u);
    }
  }
}

TEST_P(EveryKind, DoesNotDependOnThreads) {
  const auto spec = odd_spec(GetParam());
  const Head one = generate_head(spec, 0, 1, 1);
  for (const int threads : {2, 3, 0})
    EXPECT_TRUE(same_bits(one, generate_head(spec, 0, 1, threads)));
}

TEST_P(EveryKind, DoesNotDependOnHowManyHeadsThereAre) {
  auto spec = odd_spec(GetParam());
  const Head head = generate_head(spec, 0, 1);
  spec.batch = 1, spec.heads = 40;
  EXPECT_TRUE(same_bits(head, generate_head(spec, 0, 1)));
}

TEST_P(EveryKind, DiffersByHeadBatchAndSeed) {
  auto spec = odd_spec(GetParam());
  const Head head = generate_head(spec, 0, 0);
  const auto differ = [&](const Head& other) {
    const bool fixed_k = GetParam() == WorkloadKind::saturating_p;
    const bool fixed_q = fixed_k || GetParam() == WorkloadKind::sink;
    EXPECT_EQ(head.q == other.q, fixed_q);
    EXPECT_EQ(head.k == other.k, fixed_k);
    EXPECT_NE(head.v, other.v);
  };
  differ(generate_head(spec, 0, 1));
  differ(generate_head(spec, 1, 0));
  spec.seed = 6;
  differ(generate_head(spec, 0, 0));
}

std::vector<WorkloadKind> all_kinds() {
  std::vector<WorkloadKind> kinds;
  for (const auto& row : workload_kinds()) kinds.push_back(row.kind);
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind, testing::ValuesIn(all_kinds()), [](const auto& test) {
  return std::string(workload_kinds()[test.index].name);
});

TEST(Workload, BitsStay) {
  // Any change of these sums is a change of everybody's workloads: say so in the changelog.
  constexpr std::uint64_t kSums[] = {0xe398d9d05fa21e53, 0x619996d88acd8e66, 0x0296e8c003215673,
                                     0x482e5c8c4512c0e5, 0x4c01734c97e0b3e6, 0xa51c2800c389eca3,
                                     0xdfffe17550fc9f92, 0xf7265974994d85bc, 0xb818a78ee0d07b32,
                                     0x1dd49ea3fa70e4ff, 0x95c743155552cf4b};
  for (std::size_t i = 0; i < std::size(kSums); ++i) {
    const auto& row = workload_kinds()[i];
    EXPECT_EQ(checksum(generate_head(odd_spec(row.kind), 1, 2)), kSums[i]) << row.name;
  }
}

TEST(Workload, KindsAreFoundByName) {
  EXPECT_EQ(workload_kinds().size(), std::size_t(WorkloadKind::sink) + 1);
  EXPECT_EQ(head_kinds().size(), std::size_t(HeadKind::sink) + 1);
  for (const auto& row : workload_kinds()) {
    EXPECT_EQ(find_workload_kind(row.name), row.kind);
    EXPECT_FALSE(row.meaning.empty());
  }
  for (const auto& row : head_kinds()) EXPECT_EQ(find_head_kind(row.name), row.kind);
  try {
    find_workload_kind("onehot");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "workload.kind: unknown name 'onehot'; did you mean one_hot?");
  }
  EXPECT_THROW(find_head_kind(""), Error);
}

TEST(Workload, TheMixOfTenHeads) {
  std::vector<int> count(head_kinds().size());
  for (int head = 0; head < 40; ++head) ++count[int(head_kind_of({}, head))];
  EXPECT_THAT(count, testing::ElementsAre(16, 8, 8, 4, 4));
  EXPECT_EQ(head_kind_of({}, 0), HeadKind::local);
  EXPECT_EQ(head_kind_of({.head_kind = HeadKind::sink}, 0), HeadKind::sink);
}

TEST(Workload, RefusesFieldsOutOfRange) {
  const auto refused = [](const WorkloadSpec& spec, const char* text) {
    try {
      generate_head(spec, 0, 0);
      ADD_FAILURE() << "accepted " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  };
  refused({.grid = {0, 1, 1}}, "grid");
  refused({.batch = 0}, "workload.batch");
  refused({.heads = -1}, "workload.heads");
  refused({.head_dim = 0}, "workload.head_dim");
  refused({.head_dim = 5}, "workload.head_dim");
  refused({.sigma = 1.5}, "workload.sigma");
  refused({.sigma = NAN}, "workload.sigma");
  refused({.objects = -1}, "workload.objects");
  refused({.motion = NAN}, "workload.motion");
  refused({.outlier_channels = 129}, "workload.outlier_channels");
  refused({.outlier_gain = INFINITY}, "workload.outlier_gain");
  refused({.tile = {1, 1, 0}}, "tile");
  EXPECT_THROW(generate_head({.heads = 2}, 0, 2), Error);
  EXPECT_THROW(generate_head({}, 1, 0), Error);
  EXPECT_THROW(generate_head({}, 0, -1), Error);
}

TEST(Workload, TheSmallestVideoHeadIsFinite) {
  const Head head = generate_head({.grid = {1, 1, 1}, .head_dim = 6}, 0, 0);
  for (const float x : head.q) EXPECT_TRUE(std::isfinite(x));
}

}  // namespace
}  // namespace karat::video
