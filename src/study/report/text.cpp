// Tables of a study: errors per recipe, amplification, the ladder.
#include "report/text.hpp"

#include <algorithm>

#include "karat/study/report.hpp"

namespace karat::study {

std::string to_text(const StudyResult& result, const Summary& summary) {
  if (result.pass == Pass::backward) return gradients_text(result, summary);
  std::string text = print("relative L2 error against dense FP64 attention, mean over %zu cells\n",
                           result.jobs.size());
  text += print("%-28s %9s %9s %9s %12s %9s\n", "recipe", "both", "mask", "fp8", "fp8 | mask",
                "guided");
  for (const auto& r : summary.recipes) {
    const auto of = [&](Measure measure) { return percent_text(find(r.quantities, measure)); };
    text += print("%-28s %9s %9s %9s %12s %9s\n", r.name.c_str(), of(Measure::both).c_str(),
                  of(Measure::mask).c_str(), of(Measure::fp8).c_str(),
                  of(Measure::fp8_given_mask).c_str(), of(Measure::guided).c_str());
  }
  text +=
      print("\namplification, geometric mean (95 %% interval over %d prompts and their cells)\n",
            summary.prompts);
  text += print("%-28s %-22s %-22s %-22s\n", "recipe", "over the sum", "over root-sum-square",
                "conditional");
  for (const auto& r : summary.recipes)
    text += print("%-28s %-22s %-22s %-22s\n", r.name.c_str(),
                  factor_text(find(r.amplifications, Amplification::sum)).c_str(),
                  factor_text(find(r.amplifications, Amplification::rss)).c_str(),
                  factor_text(find(r.amplifications, Amplification::conditional)).c_str());
  for (const auto& r : summary.recipes) {
    bool any = false;
    for (const auto& row : r.quantities) {
      if (row.key.measure() != Measure::rung) continue;
      if (!any)
        text += print("\n%s, part by part%*s %12s %12s %12s\n", r.name.c_str(),
                      static_cast<int>(
                          std::max<std::size_t>(1, 20 - std::min<std::size_t>(19, r.name.size()))),
                      "", "so far", "given mask", "alone");
      any = true;
      const Part part = row.key.part();
      text += print("  + %-30s %12s %12s %12s\n", std::string(to_string(part)).c_str(),
                    percent_text(&row.average).c_str(),
                    percent_text(find(r.quantities, {Measure::given, part})).c_str(),
                    percent_text(find(r.quantities, {Measure::alone, part})).c_str());
    }
  }
  return text;
}

}  // namespace karat::study
