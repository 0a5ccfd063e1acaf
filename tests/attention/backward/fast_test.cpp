// The two engines of the backward agree bit for bit: presets, cases, random edits of every field.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

#include "alternatives.hpp"
#include "backward_case.hpp"
#include "equal_bits.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::attention {
namespace {

using numerics::Path;
using recipe::Recipe;

/// The scalar engine against the fast one on one thread and on three, tapped and not.
std::string engines_differ(const BackwardCase& c) {
  const BackwardResult scalar = c.run(Path::scalar, 2);
  for (const int threads : {1, 3})
    if (const std::string found = difference(scalar, c.run(Path::fast, threads)); !found.empty())
      return found + " on " + std::to_string(threads) + " threads";
  BackwardResult plain = attend_backward(c.recipe, *c.layout, c.backward_heads(), {.threads = 2});
  plain.query_taps = scalar.query_taps;
  plain.key_taps = scalar.key_taps;
  const std::string found = difference(scalar, plain);
  return found.empty() ? found : found + " without taps";
}

struct Situation {
  const char* name;
  std::function<void(Recipe&)> apply;
  layout::Setting setting{.grid = {3, 5, 6}, .channels = 24};
  Flavour flavour = Flavour::normal;
  int heads = 1;
  Rows rows = Rows::all;
};

const std::vector<Situation>& situations() {
  using namespace recipe;
  static const std::vector<Situation> list{
      {"ragged", [](Recipe&) {}},
      {"causal", [](Recipe& r) { r.mask.causal = Causal::on; }},
      {"exact window",
       [](Recipe& r) {
         r.mask.kind = MaskKind::window;
         r.mask.tile = {2, 2, 3};
         r.mask.window = {3, 3, 3};
         r.mask.unit = mask::Unit::tokens_exact;
       }},
      {"text", [](Recipe&) {}, {.grid = {2, 5, 6}, .channels = 16, .text = 7}},
      {"grouped heads", [](Recipe&) {}, {.grid = {2, 5, 6}, .channels = 16}, Flavour::normal, 3},
      {"rows without keys",
       [](Recipe& r) { r.finish.fully_masked = FullyMasked::nan; },
       {.grid = {2, 5, 6}, .channels = 16},
       Flavour::normal,
       2,
       Rows::some_without_keys},
      {"saturating",
       [](Recipe& r) {
         for (const auto& [rule, times] :
              {std::pair{&r.backward.p, 8.0f}, {&r.backward.ds, 4096.0f}})
           if (rule->scale_rule == quant::ScaleRule::given) rule->multiplier *= times;
       },
       {.grid = {2, 5, 6}, .channels = 40},
       Flavour::one_hot},
      {"subnormal", [](Recipe&) {}, {.grid = {2, 3, 5}, .channels = 16}, Flavour::subnormal},
      {"subnormals kept",
       [](Recipe& r) {
         r.subnormals = numerics::Subnormals::keep;
         r.softmax.exp2 = Exp2::rounded;
         r.finish.reciprocal = Reciprocal::rounded;
         r.finish.logarithm = Logarithm::exact;
       },
       {.grid = {2, 3, 5}, .channels = 16},
       Flavour::wide_range},
      {"wide range", [](Recipe&) {}, {.grid = {2, 3, 5}, .channels = 16}, Flavour::wide_range},
      {"zero tiles", [](Recipe&) {}, {.grid = {2, 3, 5}, .channels = 16}, Flavour::zero_tiles},
      {"padded tiles",
       [](Recipe& r) {
         r.mask.tile = {2, 2, 3};
         r.mask.ragged = video::Ragged::pad;
       }},
  };
  return list;
}

TEST(BackwardFast, EqualsScalarOnEveryPreset) {
  unsigned seed = 300;
  for (const std::string& name : backward_presets())
    for (const Situation& s : situations()) {
      Recipe recipe = small_preset(name);
      s.apply(recipe);
      if (!recipe::problems(recipe).empty()) {
        ADD_FAILURE() << name << ", " << s.name << ": " << recipe::problems(recipe).front().why;
        continue;
      }
      const BackwardCase c(recipe, s.setting, s.flavour, ++seed, s.heads, s.rows);
      EXPECT_EQ(engines_differ(c), "") << name << ", " << s.name;
    }
}

/// Forwards with something for the backward's choices to act on.
Recipe random_base(std::mt19937& random) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list = backward_presets();
    for (const char* more : {"dense_f32", "dense_f64", "sage2_sm89", "fa3_fp8"})
      list.emplace_back(more);
    return list;
  }();
  Recipe recipe = small_preset(names[random() % names.size()]);
  recipe.q.smooth = recipe.v.smooth = recipe::Smooth::none;
  if (!recipe.backward.exists())
    recipe = recipe::edited(recipe, "backward.loop", std::string("two_kernels"));
  if (random() % 3 == 0) recipe.k.smooth = recipe::Smooth::mean;
  if (random() % 3 == 0) recipe.k.limit = recipe.q.limit = recipe.v.limit = 600;
  if (random() % 3 == 0) recipe.softmax.exp2 = recipe::Exp2::exact;
  if (random() % 3 == 0) recipe.qk.scale_order = recipe::ScaleOrder::scaled_then_fused;
  return recipe;
}

TEST(BackwardFast, EqualsScalarUnderRandomEdits) {
  std::vector<const recipe::Field*> fields;
  for (const recipe::Field& field : recipe::fields())
    if (field.decides == recipe::Decides::gradients && field.path != "backward.loop")
      fields.push_back(&field);
  std::mt19937 random(7);
  std::map<std::string, int> edits;
  const auto least_edited = [&](const recipe::Field* a, const recipe::Field* b) {
    return edits[a->path] < edits[b->path];
  };
  const int wanted = std::getenv("KARAT_LONG") != nullptr ? 3000 : 150;
  int compared = 0, refused = 0;
  for (int attempt = 0; compared < wanted && attempt < 100 * wanted; ++attempt) {
    Recipe recipe = random_base(random);
    std::set<std::string> paths;
    std::string what = recipe.name;
    for (int tries = 0, count = 1 + static_cast<int>(random() % 12); tries < count; ++tries) {
      const recipe::Field& field = tries == 0 ? **std::ranges::min_element(fields, least_edited)
                                              : *fields[random() % fields.size()];
      const auto values = alternatives(field);
      const recipe::Value value = values[random() % values.size()];
      const Recipe next = recipe::edited(recipe, field.path, value);
      if (!recipe::problems(next).empty()) continue;
      recipe = next;
      paths.insert(field.path);
      what += ", " + field.path + " " + recipe::to_text(value);
    }
    if (!recipe::problems(recipe).empty() || paths.empty()) continue;
    const layout::Setting setting{.grid = {2, 3, 1 + static_cast<int>(random() % 9)},
                                  .channels = 8 + 8 * (random() % 4),
                                  .text = static_cast<int>(random() % 2 * 5)};
    const Flavour flavour = kFlavours[random() % std::size(kFlavours)];
    recipe.mask.causal = random() % 2 ? recipe::Causal::on : recipe::Causal::off;
    try {
      const BackwardCase c(recipe, setting, flavour, static_cast<unsigned>(attempt),
                           1 + static_cast<int>(random() % 2),
                           random() % 3 ? Rows::all : Rows::some_without_keys);
      EXPECT_EQ(engines_differ(c), "") << what;
    } catch (const Error& error) {
      ++refused;  // scales that a launch cannot place
      EXPECT_EQ(error.kind(), ErrorKind::usage) << what << ": " << error.what();
      continue;
    }
    ++compared;
    for (const std::string& path : paths) ++edits[path];
    if (HasFailure()) return;
  }
  EXPECT_EQ(compared, wanted) << refused << " refused";
  for (const recipe::Field* field : fields) {
    if (field->choices.size() == 1) continue;
    EXPECT_GT(edits[field->path], 0) << field->path << " was never edited";
  }
}

// P and dS coded by the largest value of their visit, or of 16 keys of a row: every format, scale
// format and code rule.
TEST(BackwardFast, EqualsScalarWhereBlocksHaveScalesOfTheirOwn) {
  const auto choices = [](const std::string& path) {
    std::vector<std::string> names;
    for (const recipe::Field& field : recipe::fields())
      if (field.path == path)
        for (const recipe::Choice& choice : field.choices) names.emplace_back(choice.name);
    return names;
  };
  const auto formats = choices("backward.p_format"), scales = choices("backward.p_scale"),
             codes = choices("backward.p_code_rule"), guards = choices("backward.p_guard");
  std::mt19937 random(11);
  std::map<std::string, int> compared;
  const auto any = [&](const std::vector<std::string>& names) {
    return names[random() % names.size()];
  };
  for (int round = 0, cases = 0; cases < 60 && round < 1000; ++round) {
    Recipe recipe = small_preset(round % 2 ? "fps_ste_bf16" : "flex_bf16");
    recipe = recipe::edited(recipe, "backward.promote", std::string("block"));
    std::string what;
    for (const std::string operand : {"backward.p_", "backward.ds_"}) {
      const std::string group = random() % 2 ? "block" : "channels_16";
      const std::string rule = random() % 3 ? "divide" : "exponent";
      const std::string enters = group == "block" && random() % 4 == 0 ? "codes" : "bf16";
      // The format first: without scales an edit of the others would decide nothing.
      for (const auto& [name, value] : {std::pair<const char*, std::string>{"format", any(formats)},
                                        {"group", group},
                                        {"enters", enters},
                                        {"scale_rule", rule},
                                        {"scale", any(scales)},
                                        {"code_rule", any(codes)},
                                        {"guard", any(guards)}}) {
        recipe = recipe::edited(recipe, operand + name, value);
        what += " " + operand + name + " " + value;
      }
    }
    if (!recipe::problems(recipe).empty()) continue;
    ++cases;
    for (const quant::Rule& rule : {recipe.backward.p, recipe.backward.ds})
      if (quant::has_scale(rule.format))
        ++compared[rule.group == quant::Group::block ? "block" : "16"];
    const Flavour flavour = kFlavours[random() % std::size(kFlavours)];
    const BackwardCase c(recipe, {.grid = {2, 3, 5 + round % 7}, .channels = 24}, flavour,
                         static_cast<unsigned>(round), 1,
                         round % 3 ? Rows::all : Rows::some_without_keys);
    ASSERT_EQ(engines_differ(c), "") << what;
  }
  EXPECT_GT(compared["block"], 10);
  EXPECT_GT(compared["16"], 10);
}

TEST(BackwardFast, ChosenBlocksEqualTheWholeRun) {
  for (const char* name : {"fps_qat_fp8", "flex_bf16", "fa3_bf16"}) {
    Recipe recipe = small_preset(name);
    recipe.mask.unit = mask::Unit::tokens_exact;
    const BackwardCase c(recipe, {.grid = {3, 5, 6}, .channels = 16}, Flavour::normal, 5, 2);
    const mask::BlockMap blocks = backward_blocks(recipe, *c.layout);
    const std::vector<int> queries{1, 3}, keys{2, 0};
    for (const Path path : {Path::scalar, Path::fast}) {
      const BackwardResult whole =
          attend_backward(recipe, *c.layout, c.backward_heads(),
                          {.path = path, .tapped_queries = {3}, .tapped_keys = {0}});
      const BackwardResult part = attend_backward(recipe, *c.layout, c.backward_heads(),
                                                  {.path = path,
                                                   .threads = 2,
                                                   .query_blocks = queries,
                                                   .key_blocks = keys,
                                                   .tapped_queries = {3},
                                                   .tapped_keys = {0}});
      const auto expect_rows = [&](const std::vector<float>& some, const std::vector<float>& all,
                                   const video::TokenOrder& order,
                                   const std::vector<video::Range>& ranges,
                                   const std::vector<int>& chosen) {
        for (std::size_t block = 0; block < ranges.size(); ++block)
          for (std::int64_t i = ranges[block].begin; i < ranges[block].end; ++i) {
            const std::size_t at = static_cast<std::size_t>(order.token_at[i]) * 16 + 3;
            const bool in = std::ranges::find(chosen, static_cast<int>(block)) != chosen.end();
            EXPECT_EQ(some[at], in ? all[at] : 0.0f) << name << " block " << block;
          }
      };
      expect_rows(part.dq[1], whole.dq[1], c.layout->order, blocks.query_blocks, queries);
      expect_rows(part.dk, whole.dk, c.layout->key_order, blocks.key_blocks, keys);
      expect_rows(part.dv, whole.dv, c.layout->key_order, blocks.key_blocks, keys);
      BackwardResult taps = whole;
      taps.query_taps = part.query_taps;
      taps.key_taps = part.key_taps;
      EXPECT_EQ(difference(whole, taps), "");
    }
  }
}

// Workers that wait for each other's turns must all stop when one of them fails.
TEST(BackwardFast, AnInterruptedRunEnds) {
  const BackwardCase c(small_preset("fps_ste_bf16"), {.grid = {3, 5, 6}, .channels = 16},
                       Flavour::normal, 5);
  BackwardOptions options{.threads = 3};
  std::size_t calls = 0, total = 0;
  options.progress = [&](std::size_t, std::size_t all) { total = all; };
  attend_backward(c.recipe, *c.layout, c.backward_heads(), options);
  EXPECT_EQ(total, backward_blocks(c.recipe, *c.layout).key_blocks.size());
  options.threads = 1;
  options.progress = [&](std::size_t done, std::size_t) { EXPECT_EQ(done, ++calls); };
  attend_backward(c.recipe, *c.layout, c.backward_heads(), options);
  EXPECT_EQ(calls, total);
  options.threads = 3;
  options.progress = [](std::size_t, std::size_t) { throw std::runtime_error("enough"); };
  EXPECT_THROW(attend_backward(c.recipe, *c.layout, c.backward_heads(), options),
               std::runtime_error);
}

}  // namespace
}  // namespace karat::attention
