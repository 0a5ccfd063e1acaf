// Hypotheses in order, each with its evidence and where to look.
#include "judge/diagnose_report.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "terminal.hpp"

namespace karat::cli {
namespace {

using golden::Explanation;

std::string percent(double share) {
  char text[16];
  // Rounded towards the middle: only all is 100 %, only nothing is 0 %.
  const double shown = share < 1 ? std::min(share * 100, 99.9) : 100.0;
  std::snprintf(text, sizeof text, shown > 0 && shown < 100 ? "%.1f %%" : "%.0f %%", shown);
  return text;
}

std::string title(const Explanation& explanation) {
  if (explanation.mistakes.empty()) return "recipe: " + to_text(explanation);
  return "mistake: " + to_text(explanation);
}

std::string evidence_text(const Explanation& explanation) {
  std::string text;
  for (const golden::StageEvidence& stage : explanation.stages) {
    text += text.empty() ? "" : "; ";
    if (stage.differing > 0)
      text += "explains " + std::to_string(stage.explained) + " of " +
              std::to_string(stage.differing) + " differing values of " + stage.stage + ", ";
    text += std::to_string(stage.equal) + " of " + std::to_string(stage.compared) + " " +
            stage.stage + " bit for bit";
  }
  return text;
}

std::string listed(std::string_view title, const std::vector<std::string>& others) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, others.size()); ++i)
    text += (i == 0 ? "    " + std::string(title) + ": " : " | ") + others[i];
  if (others.size() > kShown) text += " | " + std::to_string(others.size() - kShown) + " more";
  return text.empty() ? text : text + "\n";
}

std::string entry(std::size_t rank, const Explanation& explanation) {
  char head[16], numbers[96];
  std::snprintf(head, sizeof head, "%2zu. ", rank);
  std::snprintf(numbers, sizeof numbers, "explained %s, equal %s, distance %.2g",
                percent(explanation.explained).c_str(), percent(explanation.equal).c_str(),
                explanation.distance);
  std::string text = head + painted(title(explanation), explanation.accounts ? Paint::good : Paint::plain) +
                     "\n    " + numbers + "\n";
  if (rank == 1 || explanation.accounts) {
    text += "    " + evidence_text(explanation) + "\n";
    text += "    look at: " + explanation.look_for + "\n";
  }
  text += listed("same bits here", explanation.same_bits);
  text += listed("not told apart by these bits", explanation.as_good);
  return text;
}

}  // namespace

std::string diagnosis_text(const golden::Diagnosis& diagnosis, const std::string& golden,
                           const std::string& candidate) {
  if (diagnosis.matches) return candidate + " matches " + golden + ": nothing to diagnose\n";
  if (diagnosis.query_blocks.empty())
    return candidate + " differs from " + golden +
           " only in inner stages: karat check tells which; give o, lse or codes to diagnose\n";
  std::string text = "head " + std::to_string(diagnosis.head) + " of batch " +
                     std::to_string(diagnosis.batch) + ", query blocks";
  for (const int block : diagnosis.query_blocks) text += " " + std::to_string(block);
  text += ": " + std::to_string(diagnosis.tried) + " hypotheses tried, " +
          std::to_string(diagnosis.invisible) + " change nothing here\n";
  if (!diagnosis.explained && !diagnosis.remark.empty()) text += diagnosis.remark + "\n";
  if (!diagnosis.explained)
    text += painted("No hypothesis explains this.", Paint::bad) +
            (diagnosis.hypotheses.empty() ? "" : " The nearest:") + "\n";
  std::size_t rank = 0;
  for (const Explanation& explanation : diagnosis.hypotheses) text += entry(++rank, explanation);
  return text;
}

files::Json diagnosis_json(const golden::Diagnosis& diagnosis, const std::string& golden,
                           const std::string& candidate, double seconds) {
  const auto value_json = [](const recipe::Value& value) {
    return files::Json::parse(recipe::to_text(value));
  };
  files::Json hypotheses = files::Json::array();
  for (const Explanation& explanation : diagnosis.hypotheses) {
    files::Json json{{"explained", explanation.explained},
                     {"agreed", explanation.agreed},
                     {"equal", explanation.equal},
                     {"distance", explanation.distance},
                     {"accounts", explanation.accounts},
                     {"look_for", explanation.look_for},
                     {"same_bits", explanation.same_bits},
                     {"as_good", explanation.as_good}};
    if (!explanation.edits.empty()) {
      json["edits"] = files::Json::array();
      for (const golden::FieldEdit& edit : explanation.edits)
        json["edits"].push_back({{"field", edit.field},
                                 {"golden", value_json(edit.golden)},
                                 {"candidate", value_json(edit.candidate)}});
    }
    if (!explanation.mistakes.empty()) {
      json["mistake"] = explanation.mistakes.front();
      json["mistakes"] = explanation.mistakes;
    }
    json["stages"] = files::Json::array();
    for (const golden::StageEvidence& stage : explanation.stages)
      json["stages"].push_back({{"stage", stage.stage},
                                {"compared", stage.compared},
                                {"differing", stage.differing},
                                {"explained", stage.explained},
                                {"equal", stage.equal}});
    hypotheses.push_back(std::move(json));
  }
  return {{"golden", golden},
          {"candidate", candidate},
          {"matches", diagnosis.matches},
          {"explained", diagnosis.explained},
          {"batch", diagnosis.batch},
          {"head", diagnosis.head},
          {"query_blocks", diagnosis.query_blocks},
          {"remark", diagnosis.remark},
          {"tried", diagnosis.tried},
          {"invisible", diagnosis.invisible},
          {"seconds", seconds},
          {"hypotheses", std::move(hypotheses)}};
}

}  // namespace karat::cli
