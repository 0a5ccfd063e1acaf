// Tables of a study: errors per recipe, amplification, the ladder.
#include "karat/report/text.hpp"

#include <algorithm>
#include <cmath>

#include "karat/study/report.hpp"

namespace karat::study {
namespace {

using report::print;

std::string percent(const statistics::Average* interval) {
  if (interval == nullptr) return "-";
  if (interval->value < 1e-9) return "0 %";
  return print("%.3g %%", 100 * interval->value);
}

std::string factor(const statistics::Average* interval) {
  if (interval == nullptr) return "-";
  if (!std::isfinite(interval->high)) return print("%.3f", interval->value);
  return print("%.3f (%.3f..%.3f)", interval->value, interval->low, interval->high);
}

}  // namespace

std::string to_text(const StudyResult& result, const Summary& summary) {
  std::string text = print("relative L2 error against dense FP64 attention, mean over %zu cells\n",
                           result.jobs.size());
  text += print("%-28s %9s %9s %9s %12s %9s\n", "recipe", "both", "mask", "fp8", "fp8 | mask",
                "guided");
  for (const auto& r : summary.recipes) {
    const auto of = [&](Measure measure) { return percent(find(r.quantities, measure)); };
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
                  factor(find(r.amplifications, Amplification::sum)).c_str(),
                  factor(find(r.amplifications, Amplification::rss)).c_str(),
                  factor(find(r.amplifications, Amplification::conditional)).c_str());
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
                    percent(&row.average).c_str(),
                    percent(find(r.quantities, {Measure::given, part})).c_str(),
                    percent(find(r.quantities, {Measure::alone, part})).c_str());
    }
  }
  return text;
}

}  // namespace karat::study
