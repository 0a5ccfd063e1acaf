// The stage table, the first difference in full, and where it is.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "karat/bounds/liberties.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::equal:
      return "equal";
    case Verdict::within:
      return "within";
    case Verdict::undecided:
      return "undecided";
    case Verdict::differs:
      break;
  }
  return "differs";
}

report::Tone tone_of(Verdict verdict) {
  return verdict == Verdict::differs     ? report::Tone::bad
         : verdict == Verdict::undecided ? report::Tone::unsure
                                         : report::Tone::good;
}

std::string_view outcome_name(const CheckReport& report) {
  return report.verdict <= Verdict::within ? "matches" : verdict_name(report.verdict);
}

std::string forced_text(const StageReport& stage) {
  if (!stage.forced) return "";
  if (stage.forced->outside == 0) return "right";
  return std::to_string(stage.forced->outside) + " of " + std::to_string(stage.forced->compared) +
         " wrong";
}

namespace {

using report::print;

std::string number(float value) { return print("%.9g", value); }

std::string ulps(std::int64_t ulp) {
  return ulp == std::numeric_limits<std::int64_t>::max() ? "NaN" : std::to_string(ulp);
}

/// "0x58 = 16" for short formats, the number alone for f32 and where the format has no such code.
std::string value_text(float value, numerics::FormatId format) {
  const int bits = numerics::format(format).bits;
  const std::uint32_t code = numerics::encode(value, format, numerics::kAsComputed);
  const float held = numerics::decode(code, format);
  if (bits > 16 || (held != value && !std::isnan(value))) return number(value);
  return print("0x%0*X = %.9g", bits <= 8 ? 2 : 4, code, value);
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
  const bool ranged = std::isfinite(difference.low) || std::isfinite(difference.high);
  if (!stage.fixed && ranged)
    text += ", legal " + number(difference.low) + " to " + number(difference.high);
  return text;
}

bool only_exp2(const bounds::Freedom& freedom) {
  const auto list = liberties(freedom);
  return list.empty() || (list.size() == 1 && list[0].name == "exp2");
}

/// "free: exp2 within 2 ulp, fused multiply-adds", where more than exp2 is.
std::string freedom_text(const bounds::Freedom& freedom, const recipe::Backward& backward) {
  if (only_exp2(freedom)) return "";
  std::string text;
  for (const bounds::Liberty& liberty : liberties(freedom)) {
    text += (text.empty() ? "free: " : ", ") + liberty.words;
    if (liberty.name == "order" && backward.loop == recipe::BackwardLoop::key_blocks)
      text += " and of the key blocks that dQ adds";
  }
  return text + "\n";
}

/// What else is worth a word in the table's last column.
std::string remark(const StageReport& stage, const bounds::Freedom& freedom) {
  std::string text = stage.fixed          ? "must be bit-equal"
                     : only_exp2(freedom) ? "exp2 is free within 2 ulp"
                                          : "in the range that is allowed";
  if (stage.bounded && *stage.bounded < stage.compared)
    text += "; range of " + std::to_string(*stage.bounded) + " values";
  if (stage.unlikely.value_or(0) > 0)
    text += "; " + std::to_string(*stage.unlikely) + " legal but unlikely (beyond 1 - 1e-6)";
  if (const std::string forced = forced_text(stage); !forced.empty())
    text += "; given its own inputs: " + forced;
  if (stage.stage == "p_codes" && stage.differing > stage.outside)
    text +=
        "; " + std::to_string(stage.differing - stage.outside) + " flips at rounding boundaries";
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

std::string_view scope_name(const Doubt& doubt) {
  switch (doubt.scope) {
    case Doubt::Scope::head:
      return "the head";
    case Doubt::Scope::block:
      return doubt.at.key_block ? "the key block" : "the query block";
    case Doubt::Scope::row:
      return "the row";
    case Doubt::Scope::value:
      break;
  }
  return "the value";
}

/// The reasons of a stage, those of a few heads in words.
std::string doubts_text(const StageReport& stage) {
  constexpr std::size_t kInWords = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(kInWords, stage.doubts.size()); ++i)
    text += "undecided: " + stage.stage + ", " + doubt_text(stage.doubts[i]) + "\n";
  if (stage.doubts.size() > kInWords)
    text +=
        print("undecided: %zu more of %s\n", stage.doubts.size() - kInWords, stage.stage.c_str());
  return text;
}

std::string histogram_text(const StageReport& stage) {
  std::string text;
  for (std::size_t i = 1; i < stage.ulp_histogram.size(); ++i)
    if (stage.ulp_histogram[i] > 0)
      text += (text.empty() ? "" : "  ") +
              (i == 1 ? std::string("1")
               : i + 1 == stage.ulp_histogram.size()
                   ? std::string("more")
                   : "<" + report::short_number(std::ldexp(1.0, static_cast<int>(i)))) +
              ": " + std::to_string(stage.ulp_histogram[i]);
  return text;
}

/// "error against FP64: golden 4.1e-02, candidate 4.3e-02 (512 rows)"
std::string truth_text(const OutputErrors& outputs) {
  if (outputs.truth_rows == 0 || !(outputs.truth_squared > 0)) return "";
  const auto relative = [&](double squared) {
    return print("%.3e", std::sqrt(squared / outputs.truth_squared));
  };
  return "error against FP64: golden " + relative(outputs.golden_squared) + ", candidate " +
         relative(outputs.candidate_squared) + " (relative L2, " +
         std::to_string(outputs.truth_rows) + " rows)\n";
}

/// "dq against FP64: golden 4.1e-02, cosine 0.99921; candidate 4.3e-02, 0.99912 (256 rows)"
std::string gradients_text(const std::vector<GradientError>& gradients) {
  std::string text;
  for (const GradientError& each : gradients) {
    if (!(each.truth > 0)) continue;
    const auto side = [&](const GradientError::Side& of) {
      return print("%.3e, cosine %.6f", std::sqrt(of.error / each.truth), of.cosine(each.truth));
    };
    text += each.stage + " against FP64: golden " + side(each.golden) + "; candidate " +
            side(each.candidate) + " (relative L2, " + std::to_string(each.rows) + " rows)\n";
  }
  return text;
}

/// The tiles of o with most values outside.
std::string tiles_text(const OutputErrors& outputs) {
  std::vector<TileError> tiles = outputs.tiles;
  const auto wrong =
      std::count_if(tiles.begin(), tiles.end(), [](const auto& tile) { return tile.outside > 0; });
  if (wrong == 0) return "";
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const auto& a, const auto& b) { return a.outside > b.outside; });
  std::string text = "o by query tile: " + std::to_string(wrong) + " of " +
                     std::to_string(tiles.size()) + " tiles hold wrong values; most in";
  for (std::size_t i = 0; i < std::min<std::size_t>(3, tiles.size()); ++i)
    if (tiles[i].outside > 0)
      text += std::string(i == 0 ? " " : ", ") + "head " + std::to_string(tiles[i].head) +
              " tile " + std::to_string(tiles[i].tile) + " (" + std::to_string(tiles[i].outside) +
              " of " + std::to_string(tiles[i].compared) + ")";
  return text + "\n";
}

}  // namespace

std::string doubt_text(const Doubt& doubt) {
  const std::string text = place_text(doubt.at) + ": ";
  if (doubt.reason == Doubt::Reason::error)
    return text + "the error of " + std::string(scope_name(doubt)) +
           print(" against FP64 is %.3g times the golden one, %.3g allowed", doubt.found,
                 doubt.allowed);
  return text + std::string(scope_name(doubt)) +
         print(" lies %.2e of its size from the golden one, legal kernels %.2e at most",
               doubt.found, doubt.allowed);
}

std::string verdict_text(const CheckReport& report, const GoldenFile& golden,
                         const cases::TensorSource& candidate) {
  const std::string_view words = report.passed                          ? " matches "
                                 : report.verdict == Verdict::undecided ? " is undecided against "
                                                                        : " does not match ";
  return candidate.subject() + std::string(words) + golden.subject();
}

std::string next_text(const CheckReport& report, const GoldenFile& golden,
                      const cases::TensorSource& candidate) {
  if (report.passed) return "";
  return "next: karat diagnose " + golden.subject() + " " + candidate.subject() + "\n";
}

std::string to_text(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate, report::Painter painted) {
  std::string text = print("%-11s %-9s %23s %12s %9s %9s  %s\n", "stage", "result", "differing",
                           "outside", "max ulp", "rel L2", "");
  for (const StageReport& stage : report.stages) {
    const std::string_view verdict = verdict_name(stage.verdict);
    text += print("%-11s ", stage.stage.c_str()) + painted(verdict, tone_of(stage.verdict)) +
            print("%*s %23s %12lld %9s %9.1e  ", static_cast<int>(9 - verdict.size()), "",
                  print("%lld / %lld", static_cast<long long>(stage.differing),
                        static_cast<long long>(stage.compared))
                      .c_str(),
                  static_cast<long long>(stage.outside), ulps(stage.max_ulp).c_str(),
                  stage.relative_l2) +
            remark(stage, report.freedom) + "\n";
  }
  for (const StageReport& stage : report.stages)
    if (stage.differing > 0) text += "ulp of " + stage.stage + ": " + histogram_text(stage) + "\n";
  if (const StageReport* first = report.first_difference()) {
    text += "first difference: " + difference_text(*first, *first->first) + "\n";
    if (first->worst->ulp > first->first->ulp)
      text += "worst:            " + difference_text(*first, *first->worst) + "\n";
  }
  for (const StageReport& stage : report.stages) text += doubts_text(stage);
  text += freedom_text(report.freedom, golden.recipe().backward) + tiles_text(report.outputs) +
          truth_text(report.outputs) + gradients_text(report.gradients);
  return text + verdict_text(report, golden, candidate) + "\n";
}

}  // namespace karat::golden
