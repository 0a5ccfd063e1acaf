// The two engines of the backward agree bit for bit: presets, cases, random edits of every field.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "backward_case.hpp"
#include "equal_bits.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
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
  BackwardResult plain = attend_backward(c.recipe, c.layout, c.backward_heads(), {.threads = 2});
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
         r.backward.p.multiplier *= 8;
         r.backward.ds.multiplier *= 4096;
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

/// Values worth trying of a field of the backward.
std::vector<recipe::Value> alternatives(const recipe::Field& field) {
  std::vector<recipe::Value> values;
  switch (field.kind) {
    case recipe::Kind::choice:
      for (const recipe::Choice& choice : field.choices)
        values.emplace_back(std::string(choice.name));
      return values;
    case recipe::Kind::integer:
      return {0.0, 1.0, 9.0, 16.0, 40.0};
    case recipe::Kind::number:
      return {0.25, 1.0, 3.0, 448.0, 1e5};
    case recipe::Kind::instruction:
      for (const numerics::Instruction& row : numerics::instructions())
        values.emplace_back(std::string(numerics::name(row)));
      return values;
    case recipe::Kind::extent:
    case recipe::Kind::text:
      break;
  }
  return values;
}

/// Forwards with something for the backward's choices to act on.
Recipe random_base(std::mt19937& random) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list = backward_presets();
    for (const char* more : {"dense_f32", "dense_f64", "sage2_sm90", "fa3_fp8"})
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

}  // namespace
}  // namespace karat::attention
