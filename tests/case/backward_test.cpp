// dO made and given, the gradients of grouped heads, and what a backward is refused for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "karat/attention/attend.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
#include "karat/case/request.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

using testing::HasSubstr;
using testing::Not;
constexpr std::size_t kTokens = 2 * 4 * 4, kChannels = 16;
constexpr float kInf = std::numeric_limits<float>::infinity();

std::string problem(ErrorKind kind, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "nothing thrown";
}

Case generated_case(const char* recipe, int heads, std::size_t kv_heads) {
  return make_case(
      recipe::preset(recipe),
      generated_inputs({.grid = {2, 4, 4}, .heads = heads, .head_dim = kChannels}, 0, kv_heads));
}

TEST(GeneratedGradient, IsAFunctionOfSeedAndPlaceAndExactInBf16) {
  const auto made = generated_output_gradient(7, 1, 2, 64, 16);
  EXPECT_EQ(made, generated_output_gradient(7, 1, 2, 64, 16));
  EXPECT_NE(made, generated_output_gradient(8, 1, 2, 64, 16));
  EXPECT_NE(made, generated_output_gradient(7, 0, 2, 64, 16));
  EXPECT_NE(made, generated_output_gradient(7, 1, 1, 64, 16));
  const files::Tensor stored = encoded(made, numerics::FormatId::bf16, {64, 16});
  for (std::size_t e = 0; e < made.size(); ++e) {
    const auto wide = static_cast<std::uint32_t>(stored.as<std::uint16_t>()[e]) << 16;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(made[e]), wide);
  }
}

TEST(GeneratedGradient, TokensHaveOneOfFourSizes) {
  constexpr std::size_t kRows = 400, kWide = 1024;
  const auto made = generated_output_gradient(3, 0, 0, kRows, kWide);
  std::array<int, 4> seen{};
  for (std::size_t i = 0; i < kRows; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < kWide; ++j)
      sum += static_cast<double>(made[i * kWide + j]) * made[i * kWide + j];
    // The root mean square of 1024 normal numbers is 1 within 6 * 1/sqrt(2048) = 0.13.
    const double size = -std::log2(std::sqrt(sum / kWide));
    EXPECT_NEAR(size, std::round(size), 0.21);
    ++seen.at(static_cast<std::size_t>(std::max(0.0, std::round(size))));
  }
  for (const int count : seen) EXPECT_NEAR(count, kRows / 4, 6 * std::sqrt(kRows * 3.0 / 16));
}

struct Gathered {
  std::vector<std::vector<float>> dq, dk, dv;
};
Gathered gradients_of(const Case& of) {
  Gathered all;
  for_each_group(of, {.threads = 1}, [&](GroupAtWork& group) {
    EXPECT_EQ(group.kv_head, all.dk.size());
    EXPECT_EQ(group.number + 1, all.dq.size() + of.shape().group());
    attention::BackwardResult made = group.backward.run(group.layout, {.threads = 1});
    for (auto& dq : made.dq) all.dq.push_back(std::move(dq));
    all.dk.push_back(std::move(made.dk));
    all.dv.push_back(std::move(made.dv));
  });
  return all;
}

// dK and dV of a group are sums over its query heads; dQ of each is its own.
TEST(BackwardRun, HeadsThatShareKAndVRunTogether) {
  const Case shared = generated_case("dense_f32", 4, 2);
  recipe::Recipe exact = recipe::preset("fps_ste_bf16");
  const Case grouped = make_case(exact, shared.inputs);
  const Gathered all = gradients_of(grouped);
  ASSERT_EQ(all.dq.size(), 4u);
  ASSERT_EQ(all.dk.size(), 2u);
  class OneHead final : public Inputs {
   public:
    OneHead(const Inputs& from, std::size_t head)
        : Inputs({.grid = from.shape().grid, .channels = from.shape().channels}),
          from_(from),
          head_(head) {}
    files::Json source() const override { return {}; }
    files::DType dtype() const override { return from_.dtype(); }
    HeadValues values(std::size_t batch, std::size_t, int threads) const override {
      return from_.values(batch, head_, threads);
    }
    GradientOrigin output_gradient_origin() const override { return GradientOrigin::given; }
    std::vector<float> output_gradient(std::size_t batch, std::size_t) const override {
      return from_.output_gradient(batch, head_);
    }

   private:
    const Inputs& from_;
    std::size_t head_;
  };
  std::vector<Gathered> alone;
  for (std::size_t h = 0; h < 4; ++h)
    alone.push_back(gradients_of(make_case(exact, std::make_shared<OneHead>(*shared.inputs, h))));
  for (std::size_t h = 0; h < 4; ++h) EXPECT_EQ(all.dq[h], alone[h].dq[0]);
  for (std::size_t g = 0; g < 2; ++g)
    for (std::size_t e = 0; e < kTokens * kChannels; ++e) {
      const float sum = alone[2 * g].dk[0][e] + alone[2 * g + 1].dk[0][e];
      const float size =
          std::abs(alone[2 * g].dk[0][e]) + std::abs(alone[2 * g + 1].dk[0][e]) + 1e-3f;
      EXPECT_NEAR(all.dk[g][e], sum, 0x1p-7f * size);  // three roundings to BF16
    }
}

TEST(BackwardRun, ARecipeWithoutABackwardNamesThoseThatHaveOne) {
  const std::string told =
      problem(ErrorKind::usage, [] { BackwardRun(generated_case("fpsattention", 1, 0), 1); });
  EXPECT_THAT(told, HasSubstr("fpsattention"));
  EXPECT_THAT(told, HasSubstr("has no backward"));
  EXPECT_THAT(told, HasSubstr("fps_qat_fp8"));
}

class BackwardFiles : public testing::Test {
 protected:
  BackwardFiles()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("karat_backward_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    const std::vector<float> ones(kTokens * kChannels, 1.0f);
    for (const char* name : {"q", "k", "v", "do", "o"})
      tensors_[name] = encoded(ones, numerics::FormatId::f32, {1, 1, kTokens, kChannels});
    tensors_["lse"] =
        encoded(std::vector<float>(kTokens, 0.0f), numerics::FormatId::f32, {1, 1, kTokens});
  }
  ~BackwardFiles() override { std::filesystem::remove_all(folder_); }

  Case chosen(const std::function<void(CaseRequest&)>& change = {}) {
    const auto path = folder_ / "in.safetensors";
    files::write_safetensors(path, tensors_);
    CaseRequest asked{.recipe = "fps_qat_fp8", .in = path.string(), .backward = true};
    asked.workload.grid = {2, 4, 4};
    if (change) change(asked);
    return choose_case(asked).of;
  }
  static void given(CaseRequest& asked) { asked.forward = ForwardOrigin::given; }

  std::filesystem::path folder_;
  files::Tensors tensors_;
};

TEST_F(BackwardFiles, TheTensorDoIsTaken) {
  EXPECT_EQ(chosen().inputs->output_gradient(0, 0), std::vector<float>(kTokens * kChannels, 1.0f));
  EXPECT_EQ(chosen().inputs->output_gradient_dtype(), files::DType::f32);
  const Case made = chosen([](CaseRequest& asked) {
    asked.output_gradient = GradientOrigin::generated;
    asked.workload.seed = 5;
  });
  EXPECT_EQ(made.inputs->output_gradient(0, 0),
            generated_output_gradient(5, 0, 0, kTokens, kChannels));
}

TEST_F(BackwardFiles, WhatIsMissingOrOfAnotherShapeIsNamed) {
  tensors_["do"].shape = {1, 1, kChannels, kTokens};
  EXPECT_THAT(problem(ErrorKind::usage, [&] { chosen(); }), HasSubstr("do: shape"));
  tensors_.erase("do");
  EXPECT_THAT(problem(ErrorKind::usage, [&] { chosen(); }), HasSubstr("not do"));
  tensors_["do"] = tensors_["q"];
  tensors_.erase("lse");
  EXPECT_NO_THROW(chosen());
  EXPECT_THAT(problem(ErrorKind::usage, [&] { chosen(given); }), HasSubstr("not lse"));
  tensors_["lse"] =
      encoded(std::vector<float>(kTokens + 1), numerics::FormatId::f32, {1, 1, kTokens + 1});
  EXPECT_THAT(problem(ErrorKind::usage, [&] { chosen(given); }), HasSubstr("lse: shape"));
}

TEST_F(BackwardFiles, ValuesWithoutAGradientAreNamedByPlace) {
  tensors_["do"].as<float>()[kChannels + 3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(problem(ErrorKind::input_output, [&] { chosen().inputs->output_gradient(0, 0); }),
              HasSubstr("NaN at batch 0, head 0, token 1, channel 3"));
  tensors_["lse"].as<float>()[2] = kInf;
  EXPECT_THAT(problem(ErrorKind::input_output,
                      [&] { chosen(given).inputs->outputs(0, 0, numerics::FormatId::bf16); }),
              HasSubstr("Inf at batch 0, head 0, token 2"));
  tensors_["lse"].as<float>()[2] = -kInf;  // no keys: whatever o holds there has no gradient
  tensors_["o"].as<float>()[2 * kChannels] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(chosen(given).inputs->outputs(0, 0, numerics::FormatId::bf16).lse[2], -kInf);
  tensors_["lse"].as<float>()[2] = 0;
  EXPECT_THAT(problem(ErrorKind::input_output,
                      [&] { chosen(given).inputs->outputs(0, 0, numerics::FormatId::bf16); }),
              HasSubstr("o: NaN at batch 0, head 0, token 2, channel 0"));
}

// o in another format than the recipe's output is of another forward.
TEST_F(BackwardFiles, OutputsAreInTheFormatOfTheRecipe) {
  using numerics::FormatId;
  const auto outputs = [&](FormatId format) { return chosen(given).inputs->outputs(0, 0, format); };
  tensors_["o"].as<float>()[kChannels + 4] = 1 + 0x1p-7f;
  EXPECT_EQ(outputs(FormatId::bf16).o[kChannels + 4], 1 + 0x1p-7f);
  EXPECT_THAT(problem(ErrorKind::input_output, [&] { outputs(FormatId::e4m3); }),
              HasSubstr("o: the value at batch 0, head 0, token 1, channel 4 is none of e4m3"));
  const std::vector<float> values(kTokens * kChannels, 1.125f);
  tensors_["o"] = encoded(values, FormatId::e4m3, {1, 1, kTokens, kChannels});
  EXPECT_EQ(outputs(FormatId::e4m3).o, values);
  EXPECT_THAT(problem(ErrorKind::usage, [&] { outputs(FormatId::e5m2); }),
              HasSubstr("o: holds e4m3 codes where the recipe's output is e5m2"));
  EXPECT_THAT(problem(ErrorKind::usage, [&] { outputs(FormatId::bf16); }),
              HasSubstr("o: holds codes where the recipe's output is bf16"));
  tensors_["o"].dtype = files::DType::u8;  // plain bytes
  EXPECT_EQ(outputs(FormatId::e4m3).o, values);
  tensors_["lse"].dtype = files::DType::u8;
  tensors_["lse"].bytes.resize(kTokens);
  EXPECT_THAT(problem(ErrorKind::usage, [&] { chosen(given); }), HasSubstr("lse: holds u8 codes"));
}

/// A case whose o and lse are those of its recipe's forward, changed.
class GivenForward final : public Inputs {
 public:
  GivenForward(const Inputs& from, std::vector<GivenOutputs> given)
      : Inputs(from.shape()), from_(from), given_(std::move(given)) {}
  files::Json source() const override { return {}; }
  files::DType dtype() const override { return from_.dtype(); }
  HeadValues values(std::size_t batch, std::size_t head, int threads) const override {
    return from_.values(batch, head, threads);
  }
  GradientOrigin output_gradient_origin() const override { return GradientOrigin::given; }
  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override {
    return from_.output_gradient(batch, head);
  }
  bool gives_outputs() const override { return true; }
  GivenOutputs outputs(std::size_t, std::size_t head, numerics::FormatId) const override {
    return given_[head];
  }

 private:
  const Inputs& from_;
  std::vector<GivenOutputs> given_;
};

TEST(ForEachGroup, GivenOutputsAreHeldAgainstTheRecipesOwn) {
  const Case own = generated_case("fps_ste_bf16", 2, 0);
  std::vector<GivenOutputs> right;
  for_each_group(own,
                 {.threads = 1,
                  .forward =
                      [&](HeadAtWork& work) {
                        attention::HeadResult made =
                            attention::attend(own.recipe, work.layout, work.operands);
                        return right.emplace_back(GivenOutputs{made.o, made.lse});
                      }},
                 [](GroupAtWork&) {});
  const auto found = [&](const std::function<void(GivenOutputs&)>& change) {
    std::vector<GivenOutputs> given = right;
    change(given[1]);
    GivenAgainstOwn against;
    const Case of = make_case(own.recipe, std::make_shared<GivenForward>(*own.inputs, given));
    for_each_group(of, {.threads = 1, .against_own = &against}, [](GroupAtWork&) {});
    return against;
  };
  const GivenAgainstOwn same = found([](GivenOutputs&) {});
  EXPECT_EQ(same.rows, 2 * kTokens);
  EXPECT_EQ(same.relative_l2(), 0);
  EXPECT_EQ(same.largest_lse_difference, 0);
  EXPECT_THAT(same.told(own.recipe), Not(HasSubstr("of this recipe")));
  const GivenAgainstOwn other = found([](GivenOutputs& given) {
    for (float& lse : given.lse) lse *= 1.442695f;
    for (float& x : given.o) x *= 2;
    given.lse[3] = -kInf;
  });
  EXPECT_EQ(other.rows, 2 * kTokens - 1);
  EXPECT_EQ(other.other_rows, 1u);
  EXPECT_GT(other.relative_l2(), 0.3);  // one of two heads is off by its size
  EXPECT_LT(other.relative_l2(), 1.0);
  EXPECT_GT(other.largest_lse_difference, 0.5);
  EXPECT_THAT(other.told(own.recipe), HasSubstr("not of this recipe"));
}

TEST(NotFinite, CountsWhatOverflowed) {
  NotFinite found;
  found.count({.delta = {}, .dq = {{1, kInf}, {-kInf, NAN}}, .dk = {0, 1}, .dv = {NAN, 2}});
  EXPECT_EQ(found.dq, 3);
  EXPECT_EQ(found.dk, 0);
  EXPECT_EQ(found.dv, 1);
  EXPECT_TRUE(found.any());
  EXPECT_THAT(found.told(), HasSubstr("3 values of dq, 0 of dk, 1 of dv"));
  EXPECT_FALSE(NotFinite{}.any());
}

TEST_F(BackwardFiles, FieldsOfABackwardSayNothingWithoutOne) {
  const auto forward = [&](auto change) {
    return problem(ErrorKind::usage, [&] {
      chosen([&](CaseRequest& asked) {
        asked.backward = false;
        change(asked);
      });
    });
  };
  EXPECT_THAT(forward([](CaseRequest& a) { a.output_gradient = GradientOrigin::generated; }),
              HasSubstr("--do: says nothing without --backward"));
  EXPECT_THAT(forward(given), HasSubstr("--forward: says nothing without --backward"));
  EXPECT_THAT(problem(ErrorKind::usage,
                      [&] { chosen([](CaseRequest& asked) { asked.recipe = "fpsattention"; }); }),
              HasSubstr("has no backward"));
}

}  // namespace
}  // namespace karat::cases
