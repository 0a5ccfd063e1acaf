// docs/recipes/README.md: one row a preset. Family and training are written there by hand; what
// follows from the recipe and its page is compared.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "karat/recipe/evidence.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

constexpr const char* kFolder = KARAT_SOURCE_DIR "/docs/recipes/";
constexpr const char* kBegin = "<!-- systems: begin -->\n";
constexpr const char* kEnd = "<!-- systems: end -->\n";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream row(line.substr(1));
  for (std::string cell; std::getline(row, cell, '|');) {
    const auto first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
    cells.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
  }
  return cells;
}

/// What a person wrote about a preset.
struct Told {
  std::string family = "?", trained = "?";
};
std::map<std::string, Told> told_by(const std::string& table) {
  std::map<std::string, Told> told;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| [")) continue;
    const auto cells = cells_of(line);
    const std::string name = cells[0].substr(1, cells[0].find(']') - 1);
    if (cells.size() > 2) told[name] = {cells[1], cells[2]};
  }
  return told;
}

std::string value(const Recipe& recipe, const std::string& path) {
  const std::string text = to_text(get(recipe, path));
  return text.starts_with('"') ? text.substr(1, text.size() - 2) : text;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

std::string operand(const Recipe& recipe, const std::string& name) {
  const std::string format = upper(value(recipe, name + ".format"));
  const quant::Rule& rule = name == "q" ? recipe.q : name == "k" ? recipe.k : recipe.v;
  if (!quant::has_scale(rule.format)) return format;
  std::string group = value(recipe, name + ".group");
  if (rule.group == Group::tile || rule.group == Group::tile_channel)
    group += " " + video::to_string(rule.tile);
  if (group.starts_with("row")) group += " " + std::to_string(rule.rows);
  std::string text = format + " per " + group;
  if (rule.smooth == Smooth::mean) text += ", smoothed";
  if (rule.rotate == Rotate::hadamard) text += ", rotated";
  return text;
}

std::string operands(const Recipe& recipe) {
  const std::string q = operand(recipe, "q"), k = operand(recipe, "k"), v = operand(recipe, "v");
  if (q == k && k == v) return "q, k, v " + q;
  return (q == k ? "q, k " + q : "q " + q + "; k " + k) + "; v " + v;
}

std::string probability(const Recipe& recipe) {
  std::string text = upper(value(recipe, "p.format"));
  if (is_grouped(recipe.p)) return text + " per " + value(recipe, "p.group");
  if (recipe.p.apply == PApply::exponent_offset) return text + ", 2^" + value(recipe, "p.offset");
  return recipe.p.multiplier == 1 ? text : text + " x " + value(recipe, "p.multiplier");
}

std::string mask_of(const Recipe& recipe) {
  const Mask& m = recipe.mask;
  std::string text = value(recipe, "mask.kind");
  if (m.kind == MaskKind::none) text = "all";
  if (m.kind == MaskKind::window)
    text = "window " + video::to_string(m.window) + " of " + video::to_string(m.tile);
  if (m.kind == MaskKind::band) text = "band " + value(recipe, "mask.band");
  if (recipe.predict.rule != PredictRule::never) {
    std::string predicted = "predicted by " + value(recipe, "predict.rule");
    if (recipe.predict.rule != PredictRule::profile) {
      const std::string select = value(recipe, "predict.select");
      predicted += ", " + select + " " + value(recipe, "predict." + select);
    }
    text = m.kind == MaskKind::none ? predicted : text + "; " + predicted;
  }
  if (recipe.skip.rule != SkipRule::never) text += "; skips by " + value(recipe, "skip.rule");
  if (recipe.branch.kind != BranchKind::none)
    text += "; " + value(recipe, "branch.kind") + " branch";
  return text;
}

/// Parts joined, each once.
std::string joined(std::vector<std::string> parts, const std::string& by) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (std::find(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(i), parts[i]) ==
        parts.begin() + static_cast<std::ptrdiff_t>(i))
      text += (text.empty() ? "" : by) + parts[i];
  return text;
}

/// What a page's table of sources says: open knobs, all knobs, and the pages it takes the rest
/// from.
struct Sources {
  bool found = false;
  std::vector<std::string> open, knobs, rest;
};

/// Names of the presets that a cell links.
std::vector<std::string> linked(const std::string& cell) {
  std::vector<std::string> names;
  const auto presets = preset_names();
  for (std::size_t at = 0; (at = cell.find("](", at)) != std::string::npos; ++at) {
    const std::string target = cell.substr(at + 2, cell.find(".md", at) - at - 2);
    if (std::ranges::find(presets, target) != presets.end()) names.push_back(target);
  }
  return names;
}

Sources sources_of(const std::string& name) {
  Sources sources;
  std::istringstream lines(text_of(std::string(kFolder) + name + ".md"));
  bool in_table = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| knob |") || line.starts_with("| field | value | source"))
      in_table = sources.found = true;
    if (!line.starts_with("|")) in_table = false;
    if (!in_table) continue;
    const auto cells = cells_of(line);
    if (cells.size() < 2) continue;
    sources.knobs.push_back(cells[0]);
    const auto pages = linked(cells[1]);
    if (cells[0] == "everything else" || cells[0] == "forward")
      sources.rest.insert(sources.rest.end(), pages.begin(), pages.end());
    else if (cells.size() > 2 && cells[2].find("open") != std::string::npos)
      sources.open.push_back(cells[0]);
    else if (!pages.empty() && cells[1].starts_with('['))  // a part of another page
      for (const std::string& page : pages)
        if (!sources_of(page).open.empty()) sources.open.push_back(cells[0] + " (" + page + ")");
  }
  const std::string text =
      text_of(std::string(KARAT_SOURCE_DIR "/src/recipe/presets/") + name + ".json");
  constexpr std::string_view kBase = R"("base": ")";
  if (const auto at = text.find(kBase); at != std::string::npos) {
    const auto begin = at + kBase.size();
    sources.rest.push_back(text.substr(begin, text.find('"', begin) - begin));
  }
  return sources;
}

/// Open knobs of `name` and of what it takes from other pages, but for the knobs `said` before.
void collect_open(const std::string& name, std::vector<std::string>& said,
                  std::vector<std::string>& seen, std::vector<std::string>& parts) {
  if (std::ranges::find(seen, name) != seen.end()) return;
  const Sources sources = sources_of(name);
  std::vector<std::string> knobs = sources.open;
  std::erase_if(
      knobs, [&](const std::string& knob) { return std::ranges::find(said, knob) != said.end(); });
  const std::string all = joined(knobs, "; ");
  if (!all.empty()) parts.push_back(seen.empty() ? all : "of " + name + ": " + all);
  seen.push_back(name);
  said.insert(said.end(), sources.knobs.begin(), sources.knobs.end());
  for (const std::string& page : sources.rest) collect_open(page, said, seen, parts);
}

/// The knobs of a page whose source says open, and those of the pages it builds on; pages without a
/// table of sources are pointed at.
std::string open_in(const std::string& name) {
  if (!sources_of(name).found) return "see the page";
  std::vector<std::string> said, seen, parts;
  collect_open(name, said, seen, parts);
  return parts.empty() ? "-" : joined(parts, "; ");
}

std::string table(const std::map<std::string, Told>& told) {
  std::ostringstream page;
  page << "| preset | family | trained | operands | P | mask | instructions | evidence | open |\n"
       << "|---|---|---|---|---|---|---|---|---|\n";
  for (const std::string_view name : preset_names()) {
    const Recipe recipe = preset(name);
    const auto found = told.find(std::string(name));
    const Told by_hand = found == told.end() ? Told{} : found->second;
    std::vector<std::string> evidence;
    for (const InstructionEvidence& row : evidence_of(recipe)) evidence.emplace_back(row.evidence);
    page << "| [" << name << "](" << name << ".md) | " << by_hand.family << " | " << by_hand.trained
         << " | " << operands(recipe) << " | " << probability(recipe) << " | " << mask_of(recipe)
         << " | "
         << joined({'`' + recipe.qk.instruction + '`', '`' + recipe.pv.instruction + '`'}, ", ")
         << " | " << joined(evidence, ", ") << " | " << open_in(std::string(name)) << " |\n";
  }
  return page.str();
}

TEST(SystemsPage, OpenKnobsFollowTheBase) {
  EXPECT_EQ(open_in("fa3_fp8_lazy_rescale"), "of fa3_fp8: " + open_in("fa3_fp8"));
  EXPECT_THAT(open_in("xdit_flash3_fp8"), testing::AllOf(testing::HasSubstr("a zero tensor"),
                                                         testing::EndsWith("of fa3_fp8: scale")))
      << "q, k, v are its own";
  EXPECT_THAT(open_in("fps_qat_fp8"), testing::HasSubstr("of fpsattention: "));
  EXPECT_THAT(open_in("skip_softmax_bf16"),
              testing::HasSubstr("test, lambda, rows, block (skip_softmax_fp8)"));
}

TEST(SystemsPage, SaysWhatTheRecipesAndTheirPagesSay) {
  const std::string page = text_of(std::string(kFolder) + "README.md");
  const auto begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const auto start = begin + std::string(kBegin).size();
  const auto told = told_by(page.substr(start, end - start));
  for (const auto& [name, by_hand] : told) {
    EXPECT_THAT(by_hand.trained, testing::AnyOf("yes", "no", "both")) << name;
    EXPECT_THAT(by_hand.family, testing::Not(testing::AnyOf("", "?"))) << name;
  }
  const std::string wanted = table(told);
  if (page.substr(start, end - start) == wanted) return;
  const auto file = std::filesystem::path(testing::TempDir()) / "karat_systems.md";
  std::ofstream(file) << page.substr(0, start) << wanted << page.substr(end);
  FAIL() << "docs/recipes/README.md differs from recipes and pages; the right page is " << file
         << " (family and trained of a new preset are yours to write)";
}

}  // namespace
}  // namespace karat::recipe
