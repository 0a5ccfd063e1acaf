// What a study says of gradients equals what one gets by hand, and each part moves what it should.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "../capture/saved.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/validate.hpp"
#include "karat/study/gradient_ladder.hpp"
#include "karat/study/page.hpp"
#include "karat/study/report.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

using capture::Job;
using testing::HasSubstr;

/// A backward that quantises all it can: P, dO and dS in FP8, delta of an uncoded P.
recipe::Recipe trained(const std::string& edits = "", const std::string& name = "trained") {
  return small_recipe(
      R"(, "backward": {"loop": "two_kernels", "plain": "bf16",
          "p_format": "e4m3", "p_scale_rule": "given", "p_multiplier": 448,
          "do_format": "e4m3", "do_group": "block",
          "ds_format": "e4m3", "ds_group": "block", "promote": "block",
          "delta": "unquantised_p")" +
          edits + "}",
      name);
}

MeasureOptions gradient_options(std::vector<std::int32_t> apart = {0}) {
  return {.sample = {.rows = 1 << 20, .draws = 4},  // more than there are: every row
          .taken_apart = std::move(apart),
          .pass = Pass::backward};
}

double of(const JobResult& job, Output output, Measure measure, GradientPart part = {},
          std::int32_t recipe = 0) {
  return figure(job, recipe, Quantity::of_gradient(output, Metric::relative_l2, measure, part));
}
double cosine(const JobResult& job, Output output, Measure measure, GradientPart part = {}) {
  return figure(job, 0, Quantity::of_gradient(output, Metric::cosine, measure, part));
}

/// A source whose dO is known.
class WithGradient : public capture::Source {
 public:
  explicit WithGradient(const capture::Source& source) : source_(source) {
    facts_ = source.facts();
    facts_.output_gradient = cases::GradientOrigin::given;
  }
  files::Json identity() const override { return source_.identity(); }
  std::string head_kind(const Job& job) const override { return source_.head_kind(job); }
  std::vector<std::int32_t> query_tokens(const Job&) const override { return {}; }
  cases::HeadValues values(const capture::Cell& cell, int threads) const override {
    return source_.values(cell, threads);
  }
  std::optional<std::vector<float>> output_gradient(const capture::Cell&) const override {
    return cases::generated_output_gradient(7, 0, 0, 384, 32);
  }

 private:
  const capture::Source& source_;
};

/// One that holds the queries of some tokens only.
class WithSomeQueries final : public WithGradient {
 public:
  using WithGradient::WithGradient;
  std::vector<std::int32_t> query_tokens(const Job&) const override { return {0, 1}; }
};

class OfGradients : public testing::Test {
 protected:
  std::unique_ptr<capture::Source> generated = capture::generated_source(small_source());
  WithGradient source{*generated};
  Job job = source.facts().jobs.front();
  cases::HeadValues values = source.values(cell_of(job, video::Branch::conditional), 1);
  std::vector<float> d_o = *source.output_gradient({});

  JobResult measured(const recipe::Recipe& recipe, std::vector<std::int32_t> apart = {0}) const {
    return Workbench(source, {recipe}, gradient_options(std::move(apart))).measure(job, 1, [] {});
  }
  /// dq, dk and dv of all tokens.
  std::array<std::vector<float>, 3> by_hand(const recipe::Recipe& recipe) const {
    const auto layout = layout::make_layout(recipe, source.facts().grid, 32);
    const auto operands =
        attention::quantise_head(recipe, layout, values.view(), numerics::Path::fast);
    const auto forward = attention::attend(recipe, layout, operands, {.threads = 1});
    std::vector<float> uncoded;
    if (recipe.backward.delta == recipe::Delta::unquantised_p)
      uncoded = attention::unquantised_p_output(recipe, layout, operands, numerics::Path::fast, 1);
    const attention::BackwardHead head{.head = &operands,
                                       .input = values.view(),
                                       .o = forward.o,
                                       .lse = forward.lse,
                                       .d_o = d_o,
                                       .o_unquantised_p = uncoded};
    auto result = attention::attend_backward(recipe, layout, {&head, 1}, {.threads = 1});
    return {result.dq.front(), result.dk, result.dv};
  }
  std::array<std::vector<double>, 3> truth(const recipe::Recipe& recipe,
                                           attention::OracleMask mask) const {
    const auto layout = layout::make_layout(recipe, source.facts().grid, 32);
    std::vector<std::int32_t> all(384);
    std::iota(all.begin(), all.end(), 0);
    auto found = attention::oracle_gradients(layout, values.view(), d_o, all, all, mask, 1);
    return {found.dq, found.dk, found.dv};
  }
  static double distance(const std::vector<float>& a, const std::vector<double>& b) {
    double error = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      error += (a[i] - b[i]) * (a[i] - b[i]);
      size += b[i] * b[i];
    }
    return std::sqrt(error / size);
  }
};

TEST_F(OfGradients, EveryFigureIsWhatOneGetsByHand) {
  const recipe::Recipe recipe = trained();
  const JobResult job_result = measured(recipe);
  const auto dense = truth(recipe, attention::OracleMask::dense);
  const auto sparse = truth(recipe, attention::OracleMask::sparse);
  const auto expect = [&](const recipe::Recipe& variant, Measure measure, const auto& against,
                          GradientPart part = {}) {
    const auto result = by_hand(variant);
    for (std::size_t g = 0; g < 3; ++g) {
      const double wanted = distance(result[g], against[g]);
      EXPECT_GT(wanted, 0);
      EXPECT_NEAR(of(job_result, kGradients[g], measure, part), wanted, 1e-9 * wanted)
          << to_string(Quantity::of_gradient(kGradients[g], Metric::relative_l2, measure, part));
    }
  };
  expect(recipe, Measure::both, dense);
  expect(recipe, Measure::fp8_given_mask, sparse);
  expect(without_mask(recipe), Measure::fp8, dense);
  const recipe::Recipe exact = without_gradient_errors(recipe);
  for (const GradientRung& rung : gradient_ladder(recipe)) {
    expect(rung.recipe, Measure::given, sparse, rung.part);
    if (rung.part != GradientPart::ds && rung.part != GradientPart::q) continue;
    const recipe::Recipe alone = with_gradient_part(exact, recipe, rung.part);
    expect(alone, Measure::alone, sparse, rung.part);
    expect(without_mask(alone), Measure::alone_dense, dense, rung.part);
  }
  const auto result = by_hand(recipe);
  const double both =
      std::inner_product(result[0].begin(), result[0].end(), dense[0].begin(), 0.0) /
      std::sqrt(std::inner_product(result[0].begin(), result[0].end(), result[0].begin(), 0.0) *
                std::inner_product(dense[0].begin(), dense[0].end(), dense[0].begin(), 0.0));
  EXPECT_NEAR(cosine(job_result, Output::dq, Measure::both), both, 1e-6);
}

TEST_F(OfGradients, SampledRowsAreThoseOfTheWholeGradients) {
  const recipe::Recipe recipe = trained();
  MeasureOptions options = gradient_options({});
  options.sample = {.rows = 64, .draws = 8};
  const JobResult sampled = Workbench(source, {recipe}, options).measure(job, 1, [] {});
  const auto result = by_hand(recipe);
  const auto dense = truth(recipe, attention::OracleMask::dense);
  const auto layout = layout::make_layout(recipe, source.facts().grid, 32);
  const std::uint64_t stream = sample_stream(job);
  const Sample queries = draw_sample(layout, {}, options.sample, stream),
               keys = draw_key_sample(layout, options.sample, stream);
  EXPECT_NE(queries.tokens, keys.tokens);
  for (std::size_t g = 0; g < 3; ++g) {
    const Sample& sample = g == 0 ? queries : keys;
    double error = 0, size = 0;
    for (const auto& draw : sample.draws.rows)
      for (const std::size_t row : draw)
        for (std::size_t j = 0; j < 32; ++j) {
          const auto at = static_cast<std::size_t>(sample.tokens[row]) * 32 + j;
          error += (result[g][at] - dense[g][at]) * (result[g][at] - dense[g][at]);
          size += dense[g][at] * dense[g][at];
        }
    EXPECT_NEAR(of(sampled, kGradients[g], Measure::both), std::sqrt(error / size), 1e-9);
  }
}

TEST_F(OfGradients, NothingIsLeftWithoutErrors) {
  const recipe::Recipe exact = without_gradient_errors(trained());
  const JobResult result = measured(exact, {});
  for (const Output output : kGradients) {
    EXPECT_LT(of(result, output, Measure::fp8_given_mask), 2e-6);
    EXPECT_LT(of(result, output, Measure::fp8), 2e-6);
    EXPECT_GT(of(result, output, Measure::mask), 1e-3);
    EXPECT_NEAR(cosine(result, output, Measure::fp8_given_mask), 1, 1e-10);
  }
}

TEST_F(OfGradients, EachPartMovesWhatReadsIt) {
  const JobResult result = measured(trained());
  const auto moves = [&](GradientPart part, Output output) {
    return of(result, output, Measure::alone, part) > 1e-4;
  };
  const struct {
    GradientPart part;
    bool dq, dk, dv;
  } expected[] = {
      {GradientPart::q, true, true, true},      {GradientPart::k, true, true, true},
      {GradientPart::v, true, true, false},     {GradientPart::delta, true, true, false},
      {GradientPart::p, false, false, true},    {GradientPart::d_o, true, true, true},
      {GradientPart::ds, true, true, false},    {GradientPart::functions, false, false, false},
      {GradientPart::output, true, true, true},
  };
  for (const auto& row : expected) {
    SCOPED_TRACE(to_string(row.part));
    EXPECT_EQ(moves(row.part, Output::dq), row.dq);
    EXPECT_EQ(moves(row.part, Output::dk), row.dk);
    EXPECT_EQ(moves(row.part, Output::dv), row.dv);
  }
}

TEST_F(OfGradients, AMultiplierBeforeTheCastIsTakenOut) {
  const JobResult plain = measured(trained(R"(, "output": "e5m2")"), {}),
                  multiplied = measured(trained(R"(, "output": "e5m2", "dq_multiplier": 64,
                                                     "dk_multiplier": 64, "dv_multiplier": 64)"),
                                        {});
  for (const Output output : kGradients)
    EXPECT_NEAR(of(multiplied, output, Measure::fp8_given_mask),
                of(plain, output, Measure::fp8_given_mask), 1e-3);
}

// The output of an uncoded P reads the codes of V, so that recipes apart in V alone share none.
TEST_F(OfGradients, RecipesBesideEachOtherKeepTheirOwnV) {
  recipe::Recipe other = trained("", "other");
  other.v.scale = quant::ScaleFormat::ue8m0_up;
  const JobResult alone = measured(other, {});
  const JobResult both =
      Workbench(source, {trained(), other}, gradient_options({})).measure(job, 1, [] {});
  for (const Output output : kGradients)
    EXPECT_EQ(of(both, output, Measure::fp8_given_mask, {}, 1),
              of(alone, output, Measure::fp8_given_mask));
}

TEST_F(OfGradients, RefusesRecipesWithoutABackward) {
  try {
    Workbench(source, {small_recipe()}, gradient_options());
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("has no backward"));
  }
}

TEST_F(OfGradients, RefusesSomeOfTheQueries) {
  const WithSomeQueries some(*generated);
  try {
    Workbench(some, {trained()}, gradient_options()).measure(job, 1, [] {});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output);
    EXPECT_THAT(error.what(), HasSubstr("sum over all of them"));
  }
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Stop {};

TEST(GradientStudy, GivesTheSameBytesHoweverItIsStopped) {
  const auto source = capture::generated_source(small_source());
  MeasureOptions options = gradient_options();
  options.sample = {.rows = 32, .draws = 4};
  const Workbench bench(*source, {trained()}, options);
  const StudyIdentity identity = identity_of(*source, bench.recipes(), options);
  MeasureOptions forward = options;
  forward.pass = Pass::forward;
  EXPECT_NE(identity.sha256, identity_of(*source, bench.recipes(), forward).sha256);
  {
    Journal journal(scratch("gradients_one.journal"), identity);
    write_study(scratch("gradients_one.h5"),
                run(*source, bench, identity, journal, {.threads = 1}));
    journal.remove();
  }
  const auto path = scratch("gradients_two.journal");
  {
    Journal journal(path, identity);
    std::size_t begun = 0;
    EXPECT_THROW(run(*source, bench, identity, journal,
                     {.threads = 1,
                      .progress =
                          [&](std::size_t, std::size_t) {
                            if (++begun > bench.steps_per_job() * 3 / 2) throw Stop{};
                          }}),
                 Stop);
  }
  Journal journal(path, identity);
  ASSERT_EQ(journal.finished().size(), 1u);
  std::size_t steps = 0;
  const StudyResult result =
      run(*source, bench, identity, journal,
          {.threads = 2, .progress = [&](std::size_t, std::size_t) { ++steps; }});
  EXPECT_EQ(steps, (source->facts().jobs.size() - 1) * bench.steps_per_job());
  journal.remove();
  write_study(scratch("gradients_two.h5"), result);
  EXPECT_EQ(bytes_of(scratch("gradients_two.h5")), bytes_of(scratch("gradients_one.h5")));

  const StudyResult read = read_study(scratch("gradients_two.h5"));
  EXPECT_EQ(read.jobs, result.jobs);
  EXPECT_EQ(read.pass, Pass::backward);
  EXPECT_EQ(read.output_gradient, cases::GradientOrigin::generated);
  EXPECT_THROW(read_sensitivity(scratch("gradients_two.h5")), Error);
  const Summary summary = summarise(read);
  const RecipeSummary& recipe = summary.recipes.front();
  for (const Output output : kGradients) {
    ASSERT_NE(find(recipe.amplifications, {Amplification::conditional, output}), nullptr);
    const auto& cell = result.jobs.front();
    EXPECT_GT(of(cell, output, Measure::mask), 0);
  }
  EXPECT_EQ(find(recipe.amplifications, Amplification::rss), nullptr);
  ASSERT_NE(find(recipe.amplifications, {Amplification::conditional, Output::dq, GradientPart::ds}),
            nullptr);
  const files::Json json = to_json(read, summary);
  EXPECT_EQ(json.at("pass"), "backward");
  EXPECT_EQ(json.at("output_gradient"), "generated");
  EXPECT_TRUE(json.at("recipes").at(0).at("amplification").contains("dk.conditional.ds"));
  EXPECT_TRUE(json.at("recipes").at(0).at("steps").at(0).contains("dv"));
  const std::string page = html_page(read, summary, {"karat study", "0"});
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, testing::Not(HasSubstr("nan")));
  EXPECT_THAT(to_text(read, summary), HasSubstr("dO generated"));
}

TEST(GradientStudy, AmplificationIsOfTheNamedErrors) {
  StudyResult result{.pass = Pass::backward, .recipes = {"one"}};
  JobResult job;
  const auto add = [&](Measure measure, double value, GradientPart part = {}) {
    job.figures.push_back(
        {.quantity = Quantity::of_gradient(Output::dk, Metric::relative_l2, measure, part),
         .value = value});
  };
  add(Measure::both, 0.06), add(Measure::mask, 0.03), add(Measure::fp8, 0.04);
  add(Measure::fp8_given_mask, 0.05);
  add(Measure::alone, 0.02, GradientPart::ds), add(Measure::alone_dense, 0.01, GradientPart::ds);
  add(Measure::alone, 2e-7, GradientPart::p), add(Measure::alone_dense, 1e-7, GradientPart::p);
  result.jobs = {job};
  result.head_kinds = {""};
  const auto value = [&](const AmplificationOf& of) {
    const auto found = amplification(result, 0, of);
    return found ? found->value : std::nan("");
  };
  EXPECT_NEAR(value({Amplification::sum, Output::dk}), 0.06 / 0.07, 1e-12);
  EXPECT_NEAR(value({Amplification::rss, Output::dk}), 0.06 / 0.05, 1e-12);
  EXPECT_NEAR(value({Amplification::conditional, Output::dk}), 1.25, 1e-12);
  EXPECT_NEAR(value({Amplification::conditional, Output::dk, GradientPart::ds}), 2, 1e-12);
  EXPECT_TRUE(std::isnan(value({Amplification::conditional, Output::dk, GradientPart::p})));
  EXPECT_TRUE(std::isnan(value({Amplification::conditional, Output::dq})));
}

using capture::Captures;

TEST_F(Captures, BringTheGradientOfTheOutput) {
  const std::vector<Job> jobs = generated->facts().jobs;
  EXPECT_EQ(opened()->facts().output_gradient, cases::GradientOrigin::none);
  const auto saved = cases::generated_output_gradient(7, 0, 0, 384, 32);
  const auto branch = video::Branch::conditional;
  for (const Job& each : jobs)
    tensors[name(each, branch, "do")] = make_tensor(files::DType::f32, {384, 32}, saved);
  const auto captured = opened();
  EXPECT_EQ(captured->facts().output_gradient, cases::GradientOrigin::given);
  EXPECT_EQ(captured->output_gradient(cell_of(jobs.front(), branch)), saved);
  const WithGradient same(*generated);
  const MeasureOptions options = gradient_options({});
  EXPECT_EQ(Workbench(*captured, {trained()}, options).measure(jobs.front(), 1, [] {}),
            Workbench(same, {trained()}, options).measure(jobs.front(), 1, [] {}));
  EXPECT_NE(Workbench(*captured, {trained()}, options).measure(jobs.front(), 1, [] {}),
            Workbench(*generated, {trained()}, options).measure(jobs.front(), 1, [] {}))
      << "another dO gave the same";
  tensors[name(jobs.back(), branch, "do")] =
      make_tensor(files::DType::f32, {380, 32}, std::vector<float>(380 * 32));
  expect_error("not that of q");
  tensors.erase(name(jobs.back(), branch, "do"));
  expect_error("lacks p");
}

}  // namespace
}  // namespace karat::study
