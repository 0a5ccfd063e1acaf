// The stage table, the first difference in full, and the same as JSON.
#include "judge/check_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>
#include <nlohmann/json.hpp>

#include "evidence.hpp"
#include "karat/golden/make.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "terminal.hpp"

namespace karat::cli {

std::string_view verdict_name(golden::Verdict verdict) {
  using golden::Verdict;
  switch (verdict) {
    case Verdict::equal: return "equal";
    case Verdict::within: return "within";
    case Verdict::differs: break;
  }
  return "differs";
}

std::string forced_text(const golden::StageReport& stage) {
  if (!stage.forced) return "";
  if (stage.forced->outside == 0) return "right";
  return std::to_string(stage.forced->outside) + " of " + std::to_string(stage.forced->compared) +
         " wrong";
}

namespace {

using golden::Difference;
using golden::Location;
using golden::StageReport;
using golden::Verdict;

Paint verdict_paint(Verdict verdict) {
  return verdict == Verdict::differs ? Paint::bad : Paint::good;
}

std::string number(double value, const char* format = "%.9g") {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string ulps(std::int64_t ulp) {
  return ulp == std::numeric_limits<std::int64_t>::max() ? "NaN" : std::to_string(ulp);
}

/// "0x58 = 16" for short formats, the number alone for f32.
std::string value_text(float value, numerics::FormatId format) {
  const int bits = numerics::format(format).bits;
  if (bits > 16) return number(value);
  char code[16];
  std::snprintf(code, sizeof code, bits <= 8 ? "0x%02X = " : "0x%04X = ",
                numerics::encode(value, format));
  return code + number(value);
}

std::string place_text(const Location& at) {
  std::string text = "batch " + std::to_string(at.batch) + ", head " + std::to_string(at.head);
  const auto add = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) text += std::string(", ") + name + " " + std::to_string(*value);
  };
  add("token", at.token);
  add("channel", at.channel);
  add("scale group", at.group);
  add("tile", at.query_tile);
  add("query block", at.query_block);
  add("key", at.key_token);
  add("key tile", at.key_tile);
  add("key block", at.key_block);
  return text;
}

std::string difference_text(const StageReport& stage, const Difference& difference) {
  std::string text = stage.stage + ", " + place_text(difference.at) + ": golden " +
                     value_text(difference.golden, stage.format) + ", candidate " +
                     value_text(difference.candidate, stage.format);
  if (!stage.fixed)
    text += ", legal " + number(difference.low) + " to " + number(difference.high);
  return text;
}

/// What the legal ranges leave open, as --allow names it, and in words.
std::vector<std::pair<std::string, std::string>> liberties(const bounds::Freedom& freedom) {
  std::vector<std::pair<std::string, std::string>> list;
  if (freedom.low != freedom.high) list.emplace_back("exp2", "exp2 within 2 ulp");
  if (freedom.summation != bounds::Summation::fixed)
    list.emplace_back("order", "any order of the row sum and of f32.fma's P V");
  if (freedom.contraction != bounds::Contraction::none)
    list.emplace_back("contraction", "fused multiply-adds");
  if (freedom.reciprocal_ulp > 0)
    list.emplace_back("reciprocal",
                      "1/l within " + std::to_string(freedom.reciprocal_ulp) + " ulp");
  return list;
}

bool only_exp2(const bounds::Freedom& freedom) {
  const auto list = liberties(freedom);
  return list.empty() || (list.size() == 1 && list[0].first == "exp2");
}

/// "free: exp2 within 2 ulp, fused multiply-adds", where more than exp2 is.
std::string freedom_text(const bounds::Freedom& freedom) {
  if (only_exp2(freedom)) return "";
  std::string text;
  for (const auto& [name, words] : liberties(freedom))
    text += (text.empty() ? "free: " : ", ") + words;
  return text + "\n";
}

files::Json freedom_json(const bounds::Freedom& freedom) {
  files::Json names = files::Json::array();
  for (const auto& [name, words] : liberties(freedom)) names.push_back(name);
  return names;
}

/// What else is worth a word in the table's last column.
std::string remark(const StageReport& stage, const bounds::Freedom& freedom) {
  std::string text = stage.fixed           ? "must be bit-equal"
                     : only_exp2(freedom) ? "exp2 is free within 2 ulp"
                                          : "in the range that is allowed";
  if (stage.unlikely.value_or(0) > 0)
    text += "; " + std::to_string(*stage.unlikely) + " legal but unlikely (beyond 1 - 1e-6)";
  if (const std::string forced = forced_text(stage); !forced.empty())
    text += "; given its own inputs: " + forced;
  if (stage.stage == "p_codes" && stage.differing > stage.outside)
    text += "; " + std::to_string(stage.differing - stage.outside) + " flips at rounding boundaries";
  const auto add = [&](const char* what, std::int64_t golden, std::int64_t candidate) {
    if (golden != candidate)
      text += "; " + std::string(what) + " " + std::to_string(golden) + " -> " +
              std::to_string(candidate);
  };
  add("NaN", stage.golden.nan, stage.candidate.nan);
  add("Inf", stage.golden.infinite, stage.candidate.infinite);
  add("saturated", stage.golden.saturated, stage.candidate.saturated);
  add("zero", stage.golden.zero, stage.candidate.zero);
  return text;
}

std::string histogram_text(const StageReport& stage) {
  std::string text;
  for (std::size_t i = 1; i < stage.ulp_histogram.size(); ++i)
    if (stage.ulp_histogram[i] > 0)
      text += (text.empty() ? "" : "  ") +
              (i == 1 ? std::string("1") : i + 1 == stage.ulp_histogram.size()
                                               ? std::string("more")
                                               : "<" + short_number(std::ldexp(1.0, static_cast<int>(i)))) +
              ": " + std::to_string(stage.ulp_histogram[i]);
  return text;
}

files::Json json_number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : value > 0 ? "Inf" : "-Inf";
}

files::Json difference_json(const Difference& difference) {
  files::Json json{{"batch", difference.at.batch}, {"head", difference.at.head}};
  const auto add = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) json[name] = *value;
  };
  add("token", difference.at.token);
  add("channel", difference.at.channel);
  add("group", difference.at.group);
  add("query_tile", difference.at.query_tile);
  add("query_block", difference.at.query_block);
  add("key_token", difference.at.key_token);
  add("key_tile", difference.at.key_tile);
  add("key_block", difference.at.key_block);
  json["golden"] = json_number(difference.golden);
  json["candidate"] = json_number(difference.candidate);
  json["low"] = json_number(difference.low);
  json["high"] = json_number(difference.high);
  json["ulp"] = difference.ulp;
  return json;
}

files::Json specials_json(const golden::Specials& specials) {
  return {{"nan", specials.nan}, {"inf", specials.infinite}, {"saturated", specials.saturated},
          {"zero", specials.zero}};
}

}  // namespace

namespace {

/// "error against FP64: golden 4.1e-02, candidate 4.3e-02 (512 rows)"
std::string truth_text(const golden::OutputErrors& outputs) {
  if (outputs.truth_rows == 0 || !(outputs.truth_squared > 0)) return "";
  const auto relative = [&](double squared) {
    return number(std::sqrt(squared / outputs.truth_squared), "%.3e");
  };
  return "error against FP64: golden " + relative(outputs.golden_squared) + ", candidate " +
         relative(outputs.candidate_squared) + " (relative L2, " +
         std::to_string(outputs.truth_rows) + " rows)\n";
}

/// The tiles of o with most values outside.
std::string tiles_text(const golden::OutputErrors& outputs) {
  std::vector<golden::TileError> tiles = outputs.tiles;
  const auto wrong = std::count_if(tiles.begin(), tiles.end(),
                                   [](const auto& tile) { return tile.outside > 0; });
  if (wrong == 0) return "";
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const auto& a, const auto& b) { return a.outside > b.outside; });
  std::string text = "o by query tile: " + std::to_string(wrong) + " of " +
                     std::to_string(tiles.size()) + " tiles hold wrong values; most in";
  for (std::size_t i = 0; i < std::min<std::size_t>(3, tiles.size()); ++i)
    if (tiles[i].outside > 0)
      text += std::string(i == 0 ? " " : ", ") + "head " + std::to_string(tiles[i].head) + " tile " +
              std::to_string(tiles[i].tile) + " (" + std::to_string(tiles[i].outside) + " of " +
              std::to_string(tiles[i].compared) + ")";
  return text + "\n";
}

}  // namespace

std::string check_text(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate, TextFor reader) {
  char line[256];
  std::snprintf(line, sizeof line, "%-11s %-8s %23s %12s %9s %9s  %s\n", "stage", "result",
                "differing", "outside", "max ulp", "rel L2", "");
  std::string text = line;
  for (const StageReport& stage : report.stages) {
    const std::string differing =
        std::to_string(stage.differing) + " / " + std::to_string(stage.compared);
    std::snprintf(line, sizeof line, "%-11s %s%*s %23s %12lld %9s %9s  ", stage.stage.c_str(),
                  painted(verdict_name(stage.verdict),
                          reader == TextFor::page ? Paint::plain : verdict_paint(stage.verdict))
                      .c_str(),
                  static_cast<int>(8 - verdict_name(stage.verdict).size()), "", differing.c_str(),
                  static_cast<long long>(stage.outside), ulps(stage.max_ulp).c_str(),
                  number(stage.relative_l2, "%.1e").c_str());
    text += line + remark(stage, report.freedom) + "\n";
  }
  for (const StageReport& stage : report.stages)
    if (stage.differing > 0)
      text += "ulp of " + stage.stage + ": " + histogram_text(stage) + "\n";
  if (const StageReport* first = report.first_difference()) {
    text += "first difference: " + difference_text(*first, *first->first) + "\n";
    if (first->worst->ulp > first->first->ulp)
      text += "worst:            " + difference_text(*first, *first->worst) + "\n";
  }
  text += freedom_text(report.freedom) + tiles_text(report.outputs) + truth_text(report.outputs);
  for (const auto& row : evidence_json(golden.recipe()))
    text += row["instruction"].get<std::string>() + ": " + row["evidence"].get<std::string>() + "\n";
  return text + candidate.subject() + (report.passed ? " matches " : " does not match ") +
         golden.subject() + "\n" +
         (report.passed ? std::string()
                        : "next: karat diagnose " + golden.subject() + " " + candidate.subject() + "\n");
}

files::Json check_json(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate) {
  files::Json stages = files::Json::array();
  for (const StageReport& stage : report.stages) {
    files::Json json{{"stage", stage.stage},
                     {"format", numerics::format(stage.format).name},
                     {"result", verdict_name(stage.verdict)},
                     {"fixed", stage.fixed},
                     {"compared", stage.compared},
                     {"differing", stage.differing},
                     {"outside", stage.outside},
                     {"max_ulp", stage.max_ulp},
                     {"relative_l2", json_number(stage.relative_l2)},
                     {"ulp_histogram", stage.ulp_histogram},
                     {"golden", specials_json(stage.golden)},
                     {"candidate", specials_json(stage.candidate)}};
    if (stage.forced)
      json["forced"] = {{"compared", stage.forced->compared}, {"outside", stage.forced->outside}};
    if (stage.unlikely) json["unlikely"] = *stage.unlikely;
    if (stage.first) json["first"] = difference_json(*stage.first);
    if (stage.worst) json["worst"] = difference_json(*stage.worst);
    stages.push_back(std::move(json));
  }
  files::Json tiles = files::Json::array();
  for (const golden::TileError& tile : report.outputs.tiles)
    if (tile.differing > 0)
      tiles.push_back({{"batch", tile.batch}, {"head", tile.head}, {"tile", tile.tile},
                       {"compared", tile.compared}, {"differing", tile.differing},
                       {"outside", tile.outside}});
  files::Json truth;
  if (const golden::OutputErrors& o = report.outputs; o.truth_rows > 0)
    truth = {{"rows", o.truth_rows},
             {"golden", json_number(std::sqrt(o.golden_squared / o.truth_squared))},
             {"candidate", json_number(std::sqrt(o.candidate_squared / o.truth_squared))}};
  const StageReport* first = report.first_difference();
  return {{"golden", golden.subject()},
          {"candidate", candidate.subject()},
          {"passed", report.passed},
          {"free", freedom_json(report.freedom)},
          {"first_difference", first ? files::Json(first->stage) : files::Json()},
          {"stages", std::move(stages)},
          {"tiles", std::move(tiles)},
          {"truth", std::move(truth)},
          {"evidence", evidence_json(golden.recipe())}};
}

}  // namespace karat::cli
