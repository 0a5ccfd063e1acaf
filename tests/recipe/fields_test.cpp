// The field table: complete, self-consistent, and the only way to a field by name.
#include "karat/recipe/fields.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <type_traits>

#include "expect_error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

using testing::HasSubstr;

/// A value of the field other than the present one, where it has one.
Value another(const Field& field, const Value& present) {
  switch (field.kind) {
    case Kind::choice:
      for (const Choice& choice : field.choices) {
        if (Value(std::string(choice.name)) != present) return std::string(choice.name);
      }
      return present;
    case Kind::integer:
    case Kind::number:
      return present == Value(64.0) ? 32.0 : 64.0;
    case Kind::extent:
      return video::Extent3{2, 3, 5};
    case Kind::instruction:
      return std::string("exact");
    case Kind::text:
      return std::string("another");
  }
  return present;
}

TEST(Fields, PathsAreUniqueAndDescribed) {
  std::set<std::string> paths;
  for (const Field& field : fields()) {
    EXPECT_TRUE(paths.insert(field.path).second) << field.path;
    EXPECT_FALSE(field.meaning.empty()) << field.path;
    EXPECT_EQ(field.kind == Kind::choice, !field.choices.empty()) << field.path;
    EXPECT_EQ(field.kind == Kind::text, field.decides == Decides::nothing) << field.path;
  }
}

/// Converts to anything but `Aggregate`, so that Aggregate{Any, Any} fills members; never
/// evaluated.
template <class Aggregate>
struct Any {
  template <class Member>
  requires(!std::is_same_v<Member, Aggregate>) operator Member&() const {
    throw std::logic_error("only its type is used");
  }
  template <class Member>
  requires(!std::is_same_v<Member, Aggregate>) operator Member&&() const {
    throw std::logic_error("only its type is used");
  }
};

/// How many members an aggregate has: the most initialisers it takes.
template <class Aggregate, class... Members>
constexpr int member_count() {
  if constexpr (requires { Aggregate{Members{}..., Any<Aggregate>{}}; }) {
    return member_count<Aggregate, Members..., Any<Aggregate>>();
  } else {
    return sizeof...(Members);
  }
}

TEST(Fields, EveryMemberHasARow) {
  const auto rows_of = [](std::string_view section) {
    return std::ranges::count_if(fields(),
                                 [&](const Field& f) { return f.path.starts_with(section); });
  };
  EXPECT_EQ(member_count<Mask>(), rows_of("mask."));
  EXPECT_EQ(member_count<Predict>(), rows_of("predict."));
  for (const char* operand : {"q.", "k.", "v."}) {
    EXPECT_EQ(member_count<Operand>(), rows_of(operand));
  }
  EXPECT_EQ(member_count<Qk>(), rows_of("qk."));
  EXPECT_EQ(member_count<Softmax>(), rows_of("softmax."));
  EXPECT_EQ(member_count<P>(), rows_of("p."));
  EXPECT_EQ(member_count<Pv>(), rows_of("pv."));
  EXPECT_EQ(member_count<Block>(), rows_of("block."));
  EXPECT_EQ(member_count<Skip>(), rows_of("skip."));
  EXPECT_EQ(member_count<Finish>(), rows_of("finish."));
  EXPECT_EQ(member_count<Branch>(), rows_of("branch."));
  // Three members are casts, each with ten of an operand's fields.
  EXPECT_EQ(member_count<Backward>() - 3 + 3 * 10, rows_of("backward."));
  const auto top_level = std::ranges::count_if(
      fields(), [](const Field& f) { return f.path.find('.') == std::string::npos; });
  EXPECT_EQ(member_count<Recipe>(), top_level + 14) << "fourteen sections and the top-level fields";
}

TEST(Fields, EveryChoiceHasOneSpellingAndOneValue) {
  for (const Field& field : fields()) {
    std::set<std::string_view> names;
    std::set<int> values;
    for (const Choice& choice : field.choices) {
      EXPECT_TRUE(names.insert(choice.name).second) << field.path << " " << choice.name;
      EXPECT_TRUE(values.insert(choice.value).second) << field.path << " " << choice.name;
      Recipe recipe;
      set(recipe, field.path, std::string(choice.name));
      EXPECT_EQ(get(recipe, field.path), Value(std::string(choice.name))) << field.path;
    }
  }
}

TEST(Fields, WritingOneChangesThatOneAlone) {
  for (const Field& field : fields()) {
    Recipe recipe;
    const Value value = another(field, get(recipe, field.path));
    set(recipe, field.path, value);
    EXPECT_EQ(get(recipe, field.path), value) << field.path;
    for (const Field& other : fields()) {
      if (other.path == field.path) continue;
      EXPECT_EQ(get(recipe, other.path), get(Recipe{}, other.path))
          << "writing " << field.path << " changed " << other.path;
    }
  }
}

TEST(Fields, DiffNamesExactlyTheEditedFields) {
  for (const Field& field : fields()) {
    Recipe recipe;
    const Value value = another(field, get(recipe, field.path));
    set(recipe, field.path, value);
    const auto differences = diff(Recipe{}, recipe);
    if (field.decides == Decides::nothing || value == get(Recipe{}, field.path)) {
      EXPECT_TRUE(differences.empty()) << field.path;
      continue;
    }
    ASSERT_EQ(differences.size(), 1u) << field.path;
    EXPECT_EQ(differences[0].field->path, field.path);
    EXPECT_EQ(differences[0].left, get(Recipe{}, field.path));
    EXPECT_EQ(differences[0].right, value);
  }
}

TEST(Fields, RefusesValuesOfTheWrongKindOrRange) {
  Recipe recipe;
  const auto refused = [&](const char* path, const Value& value, const char* message) {
    expect_error(ErrorKind::usage, HasSubstr(message), [&] { set(recipe, path, value); });
  };
  refused("softmax.exp2", std::string("roundd"),
          "did you mean \"rounded\"? give one of: rounded, mufu, mufu_floor, exact");
  refused("softmax.exp2", 3.0, "softmax.exp2: 3 is not a value of this field");
  refused("block.k", 0.0, "block.k: 0 is not a value of this field; give a whole number from 1");
  refused("block.k", 1.5, "block.k: 1.5 is not");
  refused("block.k", -64.0, "block.k: -64 is not");
  refused("mask.window", video::Extent3{3, 0, 3}, "mask.window: [3, 0, 3] is not");
  refused("mask.tile", video::Extent3{6, -8, 8}, "mask.tile: [6, -8, 8] is not");
  refused("p.multiplier", 0.0, "p.multiplier: 0 is not");
  refused("p.multiplier", -448.0, "p.multiplier: -448 is not");
  refused("p.multiplier", std::numeric_limits<double>::quiet_NaN(), "p.multiplier: nan is not");
  refused("p.multiplier", std::numeric_limits<double>::infinity(), "p.multiplier: inf is not");
  refused("softmax.rescale_threshold", -1.0, "softmax.rescale_threshold: -1 is not");
  refused("softmax.masked_score", std::numeric_limits<double>::infinity(), "is not a value");
  refused("qk.instruction", std::string("hopper.wgmma.e4m4.f32"),
          "did you mean \"hopper.wgmma.e4m3.f32\"?");
  refused("qk.instruction", 3.0, "qk.instruction: 3 is not a value");
  refused("softmax.exp3", 1.0, "softmax.exp3: unknown recipe field; did you mean softmax.exp2?");
  EXPECT_TRUE(diff(recipe, Recipe{}).empty()) << "a refused value must not stay";
}

TEST(Fields, MinusInfinityIsAScoreOfItsOwn) {
  Recipe recipe;
  set(recipe, "softmax.masked_score", -5e6);
  EXPECT_EQ(recipe.softmax.masked_score, -5e6f);
  EXPECT_EQ(to_text(get(recipe, "softmax.masked_score")), "-5000000");
  set(recipe, "softmax.masked_score", -std::numeric_limits<double>::infinity());
  EXPECT_FALSE(recipe.softmax.masked_score.has_value());
  EXPECT_EQ(to_text(get(recipe, "softmax.masked_score")), "\"-inf\"");
}

TEST(Fields, AnOperandInF32ImpliesTheFp32Instruction) {
  const Recipe recipe = edited(preset("fpsattention"), "p.format", std::string("f32"));
  EXPECT_EQ(recipe.pv.instruction, "f32.fma");
  EXPECT_EQ(recipe.qk.instruction, "hopper.wgmma.e4m3.f32");
  const auto differences = diff(preset("fpsattention"), recipe);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].field->path, "p.format");
  EXPECT_EQ(differences[1].field->path, "pv.instruction");
}

TEST(Fields, ImpliedInstructionIsTheNarrowestThatHoldsBoth) {
  using numerics::FormatId;
  EXPECT_EQ(implied_instruction(FormatId::e4m3, FormatId::e4m3), "hopper.wgmma.e4m3.f32");
  EXPECT_EQ(implied_instruction(FormatId::bf16, FormatId::bf16), "hopper.wgmma.bf16.f32");
  EXPECT_EQ(implied_instruction(FormatId::e4m3, FormatId::bf16), "hopper.wgmma.bf16.f32");
  EXPECT_EQ(implied_instruction(FormatId::bf16, FormatId::e4m3), "hopper.wgmma.bf16.f32");
  EXPECT_EQ(implied_instruction(FormatId::f16, FormatId::f16), "hopper.wgmma.f16.f32");
  EXPECT_EQ(implied_instruction(FormatId::int8, FormatId::int8), "hopper.wgmma.s8.s32");
  EXPECT_EQ(implied_instruction(FormatId::int8, FormatId::int4), "hopper.wgmma.bf16.f32");
  EXPECT_EQ(implied_instruction(FormatId::f32, FormatId::e4m3), "f32.fma");
  EXPECT_EQ(implied_instruction(FormatId::f32, FormatId::f32), "f32.fma");
}

}  // namespace
}  // namespace karat::recipe
