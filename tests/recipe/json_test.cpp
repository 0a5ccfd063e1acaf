// The JSON form: strict in, complete out, and back again.
#include "karat/recipe/json.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "expect_error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using testing::HasSubstr;

void refused(std::string_view text, const std::string& message) {
  expect_error(ErrorKind::usage, HasSubstr(message), [&] { parse_recipe(text, "r.json"); });
}

TEST(RecipeJson, EmptyObjectIsTheDefault) {
  EXPECT_TRUE(diff(parse_recipe("{}", "r.json"), Recipe{}).empty());
}

TEST(RecipeJson, PrintsEveryFieldInTableOrder) {
  Recipe recipe;
  recipe.backward.loop = BackwardLoop::key_blocks;
  const auto printed = nlohmann::ordered_json::parse(to_json(recipe));
  std::vector<std::string> paths;
  for (const auto& [key, node] : printed.items()) {
    if (!node.is_object()) {
      paths.push_back(key);
      continue;
    }
    for (const auto& [inner, value] : node.items()) paths.push_back(key + "." + inner);
  }
  std::vector<std::string> expected;
  for (const Field& field : fields()) expected.push_back(field.path);
  EXPECT_EQ(paths, expected);
}

TEST(RecipeJson, ARecipeWithoutABackwardPrintsNone) {
  EXPECT_FALSE(nlohmann::json::parse(to_json(Recipe{})).contains("backward"));
}

TEST(RecipeJson, PagesStayWithinAHundredColumns) {
  std::istringstream page(to_json(preset("fpsattention"), JsonStyle::page));
  for (std::string line; std::getline(page, line);) {
    if (line.find("\"about\"") != std::string::npos) continue;  // one text, however long
    EXPECT_LE(line.size(), 100u) << line;
  }
  EXPECT_EQ(to_json(preset("fpsattention"), JsonStyle::line).find('\n'), std::string::npos);
}

Value random_value(const Field& field, std::mt19937& random) {
  const auto extent = [&] { return 1 + static_cast<int>(random() % 9); };
  switch (field.kind) {
    case Kind::choice:
      return std::string(field.choices[random() % field.choices.size()].name);
    case Kind::integer:
      return std::floor(field.low) + static_cast<double>(random() % 300);
    case Kind::number:
      return std::bit_cast<float>(static_cast<std::uint32_t>(0x30000000 + random() % 0x20000000));
    case Kind::extent:
      return video::Extent3{extent(), extent(), extent()};
    case Kind::instruction:
      return std::string("f32.fma");
    case Kind::text:
      return std::string("a \"quoted\"\n\x01 \u00e9 text");
  }
  return 0.0;
}

/// A valid recipe with up to a third of its fields drawn at random: those that leave it valid.
Recipe random_recipe(std::mt19937& random) {
  Recipe recipe;
  for (const Field& field : fields()) {
    if (random() % 3 != 0) continue;
    Recipe drawn = recipe;
    set(drawn, field.path, random_value(field, random));
    if (problems(drawn).empty()) recipe = drawn;
  }
  return recipe;
}

TEST(RecipeJson, RoundTripsThroughBothStyles) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const Recipe recipe = random_recipe(random);
    for (const JsonStyle style : {JsonStyle::line, JsonStyle::page}) {
      const Recipe back = parse_recipe(to_json(recipe, style), "r.json");
      EXPECT_TRUE(diff(back, recipe).empty()) << to_json(recipe, style);
      EXPECT_EQ(back.name, recipe.name);
      EXPECT_EQ(back.about, recipe.about);
      EXPECT_EQ(to_json(back, style), to_json(recipe, style));
    }
  }
}

TEST(RecipeJson, BaseTakesAPresetAndEditsIt) {
  const Recipe recipe = parse_recipe(
      R"({"base": "fpsattention", "softmax": {"exp2": "exact"}, "p": {"format": "f32"}})", "r");
  std::vector<std::string> changed;
  for (const Difference& difference : diff(preset("fpsattention"), recipe)) {
    changed.push_back(difference.field->path);
  }
  EXPECT_THAT(changed, testing::ElementsAre("softmax.exp2", "p.format", "pv.instruction"));
  EXPECT_EQ(recipe.name, "fpsattention_edited");
}

TEST(RecipeJson, InstructionsAreImpliedOnlyWhereNoneIsGiven) {
  const Recipe implied = parse_recipe(R"({"q": {"format": "bf16"}, "k": {"format": "bf16"}})", "");
  EXPECT_EQ(implied.qk.instruction, "hopper.wgmma.bf16.f32");
  EXPECT_EQ(implied.pv.instruction, "f32.fma");
  const Recipe given = parse_recipe(
      R"({"qk": {"instruction": "f32.fma"}, "q": {"format": "bf16"}, "k": {"format": "bf16"}})",
      "");
  EXPECT_EQ(given.qk.instruction, "f32.fma");
}

TEST(RecipeJson, OverflowIsImpliedByTheFormatWhereNoneIsGiven) {
  using numerics::Overflow;
  const Recipe implied = parse_recipe(
      R"({"q": {"format": "bf16"}, "v": {"format": "e5m2"}, "p": {"format": "f16"}})", "");
  EXPECT_EQ(implied.q.overflow, Overflow::infinity);
  EXPECT_EQ(implied.k.overflow, Overflow::saturate);
  EXPECT_EQ(implied.v.overflow, Overflow::saturate);
  EXPECT_EQ(implied.p.overflow, Overflow::infinity);
  const Recipe given = parse_recipe(R"({"q": {"format": "bf16", "overflow": "saturate"}})", "");
  EXPECT_EQ(given.q.overflow, Overflow::saturate);
  EXPECT_EQ(parse_recipe(to_json(given, JsonStyle::line), "").q.overflow, Overflow::saturate);
  const Recipe edit = edited(implied, "q.format", std::string("e4m3"));
  EXPECT_EQ(edit.q.overflow, Overflow::saturate);
  EXPECT_TRUE(problems(edited(edit, "k.format", std::string("e4m3"))).empty());
}

TEST(RecipeJson, ExactlyThePresetsInF16AndBf16HaveAnOverflowToInfinity) {
  int presets = 0;
  for (const std::string_view name : preset_names()) {
    const Recipe recipe = preset(name);
    bool any = false;
    const auto check = [&](numerics::FormatId format, numerics::Overflow overflow) {
      const bool plain = format == numerics::FormatId::f16 || format == numerics::FormatId::bf16;
      EXPECT_EQ(overflow == numerics::Overflow::infinity, plain) << name;
      any |= plain;
    };
    for (const Operand* x : {&recipe.q, &recipe.k, &recipe.v}) check(x->format, x->overflow);
    check(recipe.p.format, recipe.p.overflow);
    presets += any;
  }
  EXPECT_GE(presets, 9);  // some of either kind
}

TEST(RecipeJson, RefusesUnknownFieldsNamingTheNearest) {
  refused(R"({"softmax": {"exp3": "rounded"}})",
          "r.json: softmax.exp3: unknown recipe field; did you mean softmax.exp2?");
  refused(R"({"sofmax": {"exp2": "rounded"}})",
          "r.json: sofmax: unknown recipe field; did you mean softmax?");
  refused(R"({"outptu": "bf16"})", "r.json: outptu: unknown recipe field; did you mean output?");
}

TEST(RecipeJson, RefusesWrongTypes) {
  refused("[]", "r.json: is not a JSON object");
  refused("3", "r.json: is not a JSON object");
  refused(R"({"softmax": 3})", "r.json: softmax: is not an object of fields");
  refused(R"({"output": {}})", "r.json: output: {} is not a text");
  refused(R"({"output": null})", "r.json: output: null is not a text");
  refused(R"({"block": {"k": 128.0}})", "r.json: block.k: 128.0 is not a whole number");
  refused(R"({"block": {"k": "128"}})", "r.json: block.k: \"128\" is not a whole number");
  refused(R"({"block": {"k": true}})", "r.json: block.k: true is not a whole number");
  refused(R"({"p": {"multiplier": "-inf"}})", "r.json: p.multiplier: \"-inf\" is not a value");
  refused(R"({"mask": {"tile": [6, 8]}})", "r.json: mask.tile: [6,8] is not an array of three");
  refused(R"({"mask": {"tile": [6, 8, 8.5]}})", "is not an array of three whole numbers");
  refused(R"({"mask": {"window": [0, 3, 3]}})", "r.json: mask.window: [0, 3, 3] is not a value");
  refused(R"({"mask": {"window": [99999999999999, 3, 3]}})", "r.json: mask.window: [1000000000");
  refused(R"({"base": 3})", "r.json: \"base\" is not the name of a preset");
  refused(R"({"base": "fpsatention"})", "fpsatention: is no preset; did you mean fpsattention?");
}

TEST(RecipeJson, RefusesWhatIsNotCleanJson) {
  const auto refused_as_file = [](std::string_view text, const std::string& message) {
    expect_error(ErrorKind::usage, HasSubstr(message), [&] { parse_recipe(text, "r.json"); });
  };
  refused_as_file("", "r.json: line 1");
  refused_as_file("{\n  \"output\": bf16\n}", "r.json: line 2, column 13");
  refused_as_file(R"({"output": "bf16"} x)", "r.json: line 1, column 20");
  refused_as_file(R"({"output": "bf16", "output": "f32"})", "\"output\" is given twice");
  refused_as_file(R"({"block": {"k": 64, "k": 128}})", "\"k\" is given twice");
  refused_as_file(R"({"p": {"multiplier": 1e999}})", "r.json: line 1");
  refused_as_file(std::string(100000, '['), "r.json: line 1, column 65");
  refused_as_file("{\"output\": \"\xff\"}", "r.json: line 1");
  refused_as_file("{// no comments\n}", "r.json: line 1");
  refused(R"({"p": {"multiplier": 1e40}})", "r.json: p.multiplier: ");
}

TEST(RecipeJson, AMessageStaysOneShortLineWhateverTheInput) {
  const std::string longer(5000, 'x');
  for (const std::string& text :
       {"{\"" + longer + "\": 1}", "{\"output\": \"" + longer + "\\n\"}",
        "{\"softmax\": {\"" + longer + "\\n\": 1}}", "{\"block\": {\"k\": \"" + longer + "\"}}",
        "{\"base\": \"" + longer + "\"}", std::string("{\"a\\nb\": 1}")}) {
    expect_error(ErrorKind::usage, testing::SizeIs(testing::Lt(300u)),
                 [&] { parse_recipe(text, "r.json"); });
  }
}

}  // namespace
}  // namespace karat::recipe
