// Diagnosis of cases with text, masks of their own, predicted masks and shared heads. Every faulty
// kernel is the engine on another case, so that nothing of the diagnosis is in the candidate.
#include <gtest/gtest.h>

#include <functional>

#include "diagnose_case.hpp"
#include "karat/attention/predict.hpp"

namespace karat::golden {
namespace {

constexpr video::Extent3 kGrid{2, 12, 12};
constexpr std::size_t kTokens = 2 * 12 * 12;

/// Which pairs of tokens are kept.
using Pairs = std::function<bool(std::size_t query, std::size_t key)>;

files::Tensor matrix_of(const std::vector<Pairs>& heads, std::size_t tokens) {
  std::vector<std::uint8_t> keep;
  for (const Pairs& pairs : heads)
    for (std::size_t i = 0; i < tokens; ++i)
      for (std::size_t j = 0; j < tokens; ++j) keep.push_back(pairs(i, j));
  return files::make_tensor(files::DType::u8, {1, heads.size(), tokens, tokens}, keep);
}

std::shared_ptr<const cases::GivenMask> given(const std::vector<Pairs>& heads,
                                              std::size_t tokens = kTokens,
                                              cases::MaskOrder order = cases::MaskOrder::tokens) {
  files::Tensors arrays;
  arrays["mask"] = matrix_of(heads, tokens);
  return std::make_shared<const cases::GivenMask>(
      std::move(arrays), "test", cases::MaskReading{.pairs = order, .blocks = order});
}

/// Three quarters of the pairs in clumps, and no symmetry.
Pairs clumps(std::size_t seed) {
  return [seed](std::size_t i, std::size_t j) {
    return i == j || ((i / 8 * 31 + j / 12 * 17 + seed * 7) % 4 != 0 && (i + 2 * j) % 5 != 0);
  };
}

class DiagnoseMasks : public DiagnoseCase, public testing::Test {
 protected:
  static std::shared_ptr<const cases::Inputs> inputs(int heads, int text = 0,
                                                     std::size_t kv_heads = 0) {
    return cases::generated_inputs({.grid = kGrid, .text = text, .heads = heads, .head_dim = 32}, 0,
                                   kv_heads);
  }
  std::vector<float> output(const cases::Case& of, std::size_t head = 0) {
    return make_golden(of, "faulty.h5").values("o", cases::Extents::matrix, 0, head);
  }
  /// One head's o as the engine makes it of other operands or another layout.
  static std::vector<float> attended(const recipe::Recipe& recipe, const layout::Layout& layout,
                                     const cases::HeadValues& values) {
    const auto operands =
        attention::quantise_head(recipe, layout, values.view(), numerics::Path::fast);
    return attention::attend(recipe, layout, operands, {.threads = 2}).o;
  }
  void expect_first(const GoldenFile& golden, const std::vector<float>& o, const std::string& name,
                    std::size_t head = 0) {
    const Diagnosis diagnosis = diagnose(golden, *candidate(golden, o, head), {.reported = 1000});
    EXPECT_FALSE(diagnosis.matches) << name;
    EXPECT_TRUE(diagnosis.explained) << name;
    EXPECT_EQ(rank_of(diagnosis, name), 1u)
        << name << ", first: "
        << (diagnosis.hypotheses.empty() ? "nothing" : to_text(diagnosis.hypotheses.front()));
  }
};

TEST_F(DiagnoseMasks, NamesWhatATextIsTakenFor) {
  constexpr std::size_t kText = 20;
  recipe::Recipe recipe = small("fpsattention");
  recipe.mask.window = {1, 1, 1};
  const auto of = inputs(1, kText);
  const GoldenFile golden = make_golden(cases::make_case(recipe, of));
  const auto& order = golden.layout().order.position_of;
  const auto right = [&](std::size_t i, std::size_t j) {
    return golden.layout().mask->keeps(order[i], order[j]);
  };
  const auto last = static_cast<std::size_t>(
      golden.layout().order.token_at[golden.layout().order.positions() - kText - 1]);
  const auto in_video = [&](std::size_t token) { return token < kTokens ? token : last; };
  const std::pair<const char*, Pairs> faults[] = {
      {"text keys left out",
       [&](std::size_t i, std::size_t j) { return j < kTokens && right(i, j); }},
      {"text sees text alone",
       [&](std::size_t i, std::size_t j) { return (i < kTokens || j >= kTokens) && right(i, j); }},
      {"text masked as video",
       [&](std::size_t i, std::size_t j) { return right(in_video(i), in_video(j)); }},
  };
  for (const auto& [name, pairs] : faults)
    expect_first(golden, output(cases::make_case(recipe, of, given({pairs}, kTokens + kText))),
                 name);
}

TEST_F(DiagnoseMasks, NamesHowAGivenMaskIsMisread) {
  const recipe::Recipe recipe = small("fpsattention");
  const auto of = inputs(1);
  const Pairs right = clumps(0);
  const GoldenFile golden = make_golden(cases::make_case(recipe, of, given({right})));
  const video::TokenOrder& order = golden.layout().order;
  const std::pair<const char*, Pairs> faults[] = {
      {"mask transposed", [&](std::size_t i, std::size_t j) { return right(j, i); }},
      {"mask read by position",
       [&](std::size_t i, std::size_t j) {
         return right(order.position_of[i], order.position_of[j]);
       }},
  };
  for (const auto& [name, pairs] : faults)
    expect_first(golden, output(cases::make_case(recipe, of, given({pairs}))), name);
  recipe::Recipe open = recipe;
  open.mask.kind = recipe::MaskKind::none;
  expect_first(golden, output(cases::make_case(open, of)), "mask.kind \"given\" -> \"none\"");
}

TEST_F(DiagnoseMasks, NamesAMaskByPositionReadByToken) {
  const recipe::Recipe recipe = small("fpsattention");
  const auto of = inputs(1);
  const auto by_position = given({clumps(1)}, kTokens, cases::MaskOrder::positions);
  const GoldenFile golden = make_golden(cases::make_case(recipe, of, by_position));
  expect_first(golden, output(cases::make_case(recipe, of, given({clumps(1)}))),
               "mask read by token");
}

TEST_F(DiagnoseMasks, NamesTheMaskOfAnotherHead) {
  const recipe::Recipe recipe = small("fpsattention");
  const auto of = inputs(3);
  const Pairs masks[] = {clumps(0), clumps(1), clumps(2)};
  const GoldenFile golden =
      make_golden(cases::make_case(recipe, of, given({masks[0], masks[1], masks[2]})));
  const auto with = [&](std::size_t head) {
    return output(cases::make_case(recipe, of, given({masks[head]})), 1);
  };
  expect_first(golden, with(2), "mask of the next head", 1);
  expect_first(golden, with(0), "mask of the first head", 1);
}

TEST_F(DiagnoseMasks, NamesWhatIsWrongWithAPredictedMask) {
  recipe::Recipe recipe = small("sparge_sm90");
  recipe.predict.similarity = -1;  // every block's pooled row stands for its rows
  recipe.predict.mass = 0.5;
  const auto of = inputs(2);
  const GoldenFile golden = make_golden(cases::make_case(recipe, of));
  const cases::HeadValues own = of->values(0, 0, 1), next = of->values(0, 1, 1);
  expect_first(golden,
               attended(recipe, attention::layout_of_head(recipe, of->setting(), next.view()), own),
               "mask of the next head");
  recipe::Recipe edited = recipe;
  edited.predict.mass = 0.9f;
  expect_first(golden, output(cases::make_case(edited, of)), "predict.mass 0.5 -> 0.9");
  edited = recipe;
  edited.predict.rule = recipe::PredictRule::never;
  expect_first(golden, output(cases::make_case(edited, of)),
               "predict.rule \"similarity\" -> \"never\"");
}

TEST_F(DiagnoseMasks, NamesTheWrongHeadOfKeys) {
  const recipe::Recipe recipe = small("fpsattention");
  const auto of = inputs(4, 0, 2);
  const GoldenFile golden = make_golden(cases::make_case(recipe, of));
  cases::HeadValues values = of->values(0, 1, 1);
  const cases::HeadValues other = of->values(0, 2, 1);  // of the other group
  values.k = other.k;
  values.v = other.v;
  expect_first(golden, attended(recipe, golden.layout(), values), "k and v of the wrong group", 1);
  values.k = of->values(0, 1, 1).k;
  expect_first(golden, attended(recipe, golden.layout(), values), "v of the next head", 1);
}

TEST_F(DiagnoseMasks, CorrectKernelsRaiseNoAlarm) {
  recipe::Recipe predicted = small("sparge_sm90");
  predicted.predict.similarity = -1;
  predicted.skip.rule = recipe::SkipRule::never;
  recipe::Recipe tiled = small("fpsattention");
  for (recipe::Recipe* recipe : {&predicted, &tiled}) recipe->output = numerics::FormatId::f32;
  const cases::Case right[] = {
      cases::make_case(tiled, inputs(1, 20)),
      cases::make_case(tiled, inputs(1), given({clumps(0)})),
      cases::make_case(predicted, inputs(1)),
      cases::make_case(tiled, inputs(4, 0, 2)),
  };
  for (const cases::Case& of : right) {
    const GoldenFile golden = make_golden(of);
    const std::size_t head = golden.shape().heads - 1;
    const Base base = make_base(golden, 0, head);
    const Hypothesis none{.edits = {}, .mistakes = {}, .recipe = golden.recipe()};
    const auto made = predict_all(base, none, another_exp2(3));
    const std::vector<float>& o = made->stages[1].values;
    const std::vector<float> exact = golden.values("o", cases::Extents::matrix, 0, head);
    EXPECT_FALSE(std::equal(o.begin(), o.end(), exact.begin(), same_value)) << golden.recipe().name;
    EXPECT_TRUE(diagnose(golden, *candidate(golden, o, head)).matches) << golden.recipe().name;
  }
}

}  // namespace
}  // namespace karat::golden
