// Hypotheses in order, each with its evidence and where to look.
#include <algorithm>

#include "karat/golden/diagnose_report.hpp"

namespace karat::golden {
namespace {

using report::print;
using report::Tone;

std::string percent(double share) {
  // Rounded towards the middle: only all is 100 %, only nothing is 0 %.
  const double shown = share < 1 ? std::min(share * 100, 99.9) : 100.0;
  return print("%.*f %%", shown > 0 && shown < 100 ? 1 : 0, shown);
}

std::string title(const Explanation& explanation) {
  if (explanation.mistakes.empty()) return "recipe: " + to_text(explanation);
  return "mistake: " + to_text(explanation);
}

std::string evidence_text(const Explanation& explanation) {
  std::string text;
  for (const StageEvidence& stage : explanation.stages) {
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

std::string entry(std::size_t rank, const Explanation& explanation, report::Painter painted) {
  std::string text =
      print("%2zu. ", rank) +
      painted(title(explanation), explanation.accounts ? Tone::good : Tone::plain) +
      print("\n    explained %s, equal %s, distance %.2g\n", percent(explanation.explained).c_str(),
            percent(explanation.equal).c_str(), explanation.distance);
  if (rank == 1 || explanation.accounts) {
    text += "    " + evidence_text(explanation) + "\n";
    text += "    query blocks: " + std::to_string(explanation.blocks_explained) + " explained, " +
            std::to_string(explanation.blocks_refuted) + " refuted" +
            (explanation.confirmed ? "; confirmed by rows that did not choose it" : "") + "\n";
    if (!explanation.look_for.empty()) text += "    look at: " + explanation.look_for + "\n";
  }
  text += listed("same bits here", explanation.same_bits);
  text += listed("not told apart by these bits", explanation.as_good);
  return text;
}

}  // namespace

std::string to_text(const Diagnosis& diagnosis, const std::string& golden,
                    const std::string& candidate, report::Painter painted) {
  if (diagnosis.matches) return candidate + " matches " + golden + ": nothing to diagnose\n";
  if (diagnosis.query_blocks.empty())
    return candidate + " differs from " + golden +
           " only in inner stages: karat check tells which; give o, lse or codes to diagnose\n";
  std::string text = "head " + std::to_string(diagnosis.head) + " of batch " +
                     std::to_string(diagnosis.batch) + ", query blocks";
  for (const int block : diagnosis.query_blocks) text += " " + std::to_string(block);
  text += ": " + std::to_string(diagnosis.tried) + " hypotheses tried, " +
          std::to_string(diagnosis.invisible) + " change nothing here\n";
  if (!diagnosis.remark.empty()) text += diagnosis.remark + "\n";
  if (!diagnosis.explained)
    text +=
        painted("No hypothesis explains this.", Tone::bad) +
        (diagnosis.hypotheses.empty()
             ? " None is much nearer than the golden recipe itself: noise, or a mistake that is "
               "not tried."
             : " The nearest:") +
        "\n";
  std::size_t rank = 0;
  for (const Explanation& explanation : diagnosis.hypotheses)
    text += entry(++rank, explanation, painted);
  return text;
}

}  // namespace karat::golden
