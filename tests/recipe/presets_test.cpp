// The presets that ship with the library, and recipes from files.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "expect_error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using numerics::FormatId;
using testing::HasSubstr;

TEST(Presets, AreSortedNamedAsTheirFileAndValid) {
  const auto names = preset_names();
  EXPECT_TRUE(std::ranges::is_sorted(names));
  EXPECT_THAT(names, testing::IsSupersetOf({"dense_f32", "fpsattention", "sta_bf16"}));
  for (const std::string_view name : names) {
    const Recipe recipe = preset(name);
    EXPECT_EQ(recipe.name, name);
    EXPECT_FALSE(recipe.about.empty()) << name;
    EXPECT_LE(recipe.about.size(), 100u) << name;
    EXPECT_TRUE(problems(recipe).empty()) << name;
    const Recipe back = parse_recipe(to_json(recipe), name);
    EXPECT_TRUE(diff(back, recipe).empty()) << name;
  }
}

TEST(Presets, EveryFileOfTheFolderIsEmbedded) {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(KARAT_SOURCE_DIR "/src/recipe/presets")) {
    files.push_back(entry.path().stem().string());
  }
  EXPECT_THAT(preset_names(), testing::UnorderedElementsAreArray(files));
}

TEST(Presets, FpsattentionIsTheFinePhaseWithSageAttentionsMultiplier) {
  const Recipe r = preset("fpsattention");
  EXPECT_EQ(r.mask.kind, MaskKind::window);
  EXPECT_EQ(r.mask.tile, (video::Extent3{6, 8, 8}));
  EXPECT_EQ(r.mask.window, (video::Extent3{3, 3, 3}));
  EXPECT_EQ(r.mask.border, mask::Border::clamp);
  for (const Operand& operand : {r.q, r.k}) {
    EXPECT_EQ(operand.format, FormatId::e4m3);
    EXPECT_EQ(operand.group, Group::tile);
    EXPECT_EQ(operand.tile, (video::Extent3{6, 8, 8}));
  }
  EXPECT_EQ(r.v.format, FormatId::e4m3);
  EXPECT_EQ(r.v.group, Group::channel);
  EXPECT_EQ(r.qk.instruction, "hopper.wgmma.e4m3.f32");
  EXPECT_EQ(r.pv.instruction, "hopper.wgmma.e4m3.f32");
  EXPECT_EQ(r.pv.promote_every, 128);
  EXPECT_EQ(r.p.multiplier, 448);
  EXPECT_EQ(r.block.q, 64);
  EXPECT_EQ(r.block.k, 128);
  EXPECT_FALSE(r.softmax.masked_score.has_value());
  EXPECT_EQ(r.output, FormatId::bf16);
}

TEST(Presets, UnknownNamesSuggestTheNearest) {
  expect_error(ErrorKind::usage, HasSubstr("fpsatention: is no preset; did you mean fpsattention?"),
               [] { load_recipe("fpsatention"); });
}

TEST(LoadRecipe, ReadsFilesAndNamesThemInErrors) {
  const auto path = std::filesystem::path(testing::TempDir()) / "karat_load_recipe.json";
  std::ofstream(path) << R"({"base": "sta_bf16", "name": "mine", "output": "f32"})";
  const Recipe recipe = load_recipe(path.string());
  EXPECT_EQ(recipe.name, "mine");
  EXPECT_EQ(recipe.output, FormatId::f32);
  std::ofstream(path) << R"({"outptu": "f32"})";
  expect_error(ErrorKind::usage, HasSubstr("karat_load_recipe.json: outptu: unknown recipe field"),
               [&] { load_recipe(path.string()); });
  std::filesystem::remove(path);
  expect_error(ErrorKind::input_output, HasSubstr("karat_load_recipe.json"),
               [&] { load_recipe(path.string()); });
  std::filesystem::create_directory(path);
  expect_error(ErrorKind::input_output, HasSubstr("karat_load_recipe.json"),
               [&] { load_recipe(path.string()); });
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace karat::recipe
