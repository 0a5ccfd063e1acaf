// Every field of the backward moves a bit of the gradients in some case, and none of the forward.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "alternatives.hpp"
#include "backward_case.hpp"
#include "equal_bits.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::attention {
namespace {

using recipe::Recipe;
using recipe::Value;

using Edits = std::vector<std::pair<std::string, Value>>;

struct Base {
  const char* preset;
  Edits edits;
  Flavour flavour = Flavour::normal;
};

Value text(const char* name) { return std::string(name); }

/// Cases in which the fields that presets leave at rest decide something.
std::vector<Base> bases() {
  std::vector<Base> list;
  static const std::vector<std::string> names = backward_presets();
  for (const std::string& name : names) list.push_back({name.c_str(), {}});
  Edits dynamic = {{"backward.p_scale_rule", text("divide")}, {"backward.promote", text("block")}};
  for (const std::string operand : {"backward.p_", "backward.do_", "backward.ds_"}) {
    dynamic.push_back({operand + "format", text("e4m3")});
    dynamic.push_back({operand + "group", text("block")});
  }
  Edits cut = dynamic, fake = dynamic;
  for (const std::string operand : {"backward.p_", "backward.do_", "backward.ds_"}) {
    // Cut values show every last bit of the scale; channels_16 must enter dequantised.
    cut.push_back({operand + "rounding", text("toward_zero")});
    fake.push_back({operand + "enters", text("bf16")});
  }
  list.push_back({"fps_qat_fp8", dynamic});
  list.push_back({"fps_qat_fp8", dynamic, Flavour::zero_tiles});
  list.push_back({"fps_qat_fp8", cut});
  list.push_back({"fps_qat_fp8", fake});
  list.push_back({"fps_qat_fp8",
                  {{"backward.do_format", text("e4m3")},
                   {"backward.do_scale_rule", text("given")},
                   {"backward.do_multiplier", 1e4},
                   {"backward.p_multiplier", 1e4}}});
  list.push_back({"fps_qat_fp8",
                  {{"backward.ds_format", text("e5m2")},
                   {"backward.ds_scale_rule", text("given")},
                   {"backward.ds_multiplier", 1e6}}});
  list.push_back({"fps_ste_bf16", {{"k.smooth", text("mean")}}});
  list.push_back({"fps_ste_bf16", {{"q.limit", 600.0}, {"k.limit", 600.0}, {"v.limit", 600.0}}});
  list.push_back(
      {"fps_qat_fp8", {{"mask.unit", text("tokens_exact")}, {"backward.output", text("f32")}}});
  list.push_back({"dense_f32",
                  {{"backward.loop", text("two_kernels")}, {"backward.scores", text("operands")}}});
  return list;
}

/// Nothing where the recipe has no meaning.
std::optional<BackwardResult> gradients(const Recipe& recipe, const BackwardCase& like) {
  if (!recipe::problems(recipe).empty() || !recipe.backward.exists()) return std::nullopt;
  try {
    BackwardCase c = like;
    c.recipe = recipe;
    if (recipe.backward.delta == recipe::Delta::unquantised_p)
      for (std::size_t h = 0; h < c.heads.size(); ++h)
        c.unquantised[h] =
            unquantised_p_output(recipe, *c.layout, c.heads[h], numerics::Path::fast, 1);
    return attend_backward(recipe, *c.layout, c.backward_heads(), {.threads = 1});
  } catch (const Error&) {
    return std::nullopt;
  }
}

TEST(BackwardFields, EachMovesTheGradientsAndNoneTheForward) {
  std::set<std::string> moved;
  for (const Base& base : bases()) {
    Recipe recipe = small_preset(base.preset);
    for (const auto& [path, value] : base.edits) recipe = recipe::edited(recipe, path, value);
    ASSERT_TRUE(recipe::problems(recipe).empty())
        << base.preset << ": " << recipe::problems(recipe).front().path << " "
        << recipe::problems(recipe).front().why;
    const layout::Setting setting{.grid = {3, 5, 6}, .channels = 32};
    const BackwardCase c(recipe, setting, base.flavour, 77, 2);
    const std::optional<BackwardResult> right = gradients(recipe, c);
    ASSERT_TRUE(right) << base.preset;
    for (const recipe::Field& field : recipe::fields()) {
      if (field.decides != recipe::Decides::gradients) continue;
      for (const Value& value : alternatives(field)) {
        if (moved.contains(field.path) || value == field.read(recipe)) continue;
        const Recipe other = recipe::edited(recipe, field.path, value);
        const std::optional<BackwardResult> edited = gradients(other, c);
        if (!edited || difference(*right, *edited).empty()) continue;
        moved.insert(field.path);
        const BackwardCase forward(other, setting, base.flavour, 77, 2);
        EXPECT_EQ(difference(forward.forward[1].o, c.forward[1].o, "o"), "") << field.path;
        EXPECT_EQ(difference(forward.forward[1].lse, c.forward[1].lse, "lse"), "") << field.path;
      }
    }
  }
  for (const recipe::Field& field : recipe::fields()) {
    if (field.decides != recipe::Decides::gradients || field.choices.size() == 1) continue;
    EXPECT_TRUE(moved.contains(field.path)) << field.path << " never moved a bit";
  }
}

}  // namespace
}  // namespace karat::attention
