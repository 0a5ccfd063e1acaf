// Tables of a study of gradients: errors per recipe, amplification, the ladder.
#include "report/gradients.hpp"
#include "report/text.hpp"

namespace karat::study {
namespace {

std::string cosine_text(const statistics::Average* interval) {
  return interval == nullptr ? "-" : print("%.6f", interval->value);
}

std::string ladder_text(const RecipeSummary& r) {
  std::string text;
  for (const GradientPartRow& part : gradient_parts()) {
    const auto of = [&](Output output, Measure measure) {
      return find(r.quantities, error_of(output, measure, part.part));
    };
    if (of(Output::dq, Measure::rung) == nullptr) continue;
    if (text.empty()) {
      text = print("\n%s, part by part under the mask: all so far, and this part alone\n",
                   r.name.c_str());
      text += print("  %-20s", "");
      for (const Output output : kGradients) {
        const std::string name(to_string(output));
        text += print(" %11s %11s", name.c_str(), (name + " alone").c_str());
      }
      text += "\n";
    }
    text += print("  + %-18s", std::string(part.name).c_str());
    for (const Output output : kGradients)
      text += print(" %11s %11s", percent_text(of(output, Measure::given)).c_str(),
                    percent_text(of(output, Measure::alone)).c_str());
    text += "\n";
  }
  return text;
}

}  // namespace

std::string gradients_text(const StudyResult& result, const Summary& summary) {
  std::string text =
      print("relative L2 error of dq, dk and dv against dense FP64, mean over %zu cells; dO %s\n",
            result.jobs.size(), std::string(to_string(result.output_gradient)).c_str());
  text += print("%-28s %-3s %9s %9s %9s %12s %10s\n", "recipe", "", "both", "mask", "fp8",
                "fp8 | mask", "cosine");
  for (const auto& r : summary.recipes)
    for (const Output output : kGradients) {
      const auto of = [&](Measure measure) {
        return percent_text(find(r.quantities, error_of(output, measure)));
      };
      text += print(
          "%-28s %-3s %9s %9s %9s %12s %10s\n", output == Output::dq ? r.name.c_str() : "",
          std::string(to_string(output)).c_str(), of(Measure::both).c_str(),
          of(Measure::mask).c_str(), of(Measure::fp8).c_str(), of(Measure::fp8_given_mask).c_str(),
          cosine_text(find(r.quantities, cosine_of(output, Measure::both))).c_str());
    }
  text +=
      print("\namplification, geometric mean (95 %% interval over %d prompts and their cells)\n",
            summary.prompts);
  text += print("%-28s %-3s %-22s %-22s %-22s\n", "recipe", "", "over the sum",
                "over root-sum-square", "conditional");
  for (const auto& r : summary.recipes)
    for (const Output output : kGradients) {
      const auto of = [&](Amplification form) {
        return factor_text(find(r.amplifications, {form, output}));
      };
      text += print("%-28s %-3s %-22s %-22s %-22s\n", output == Output::dq ? r.name.c_str() : "",
                    std::string(to_string(output)).c_str(), of(Amplification::sum).c_str(),
                    of(Amplification::rss).c_str(), of(Amplification::conditional).c_str());
    }
  for (const auto& r : summary.recipes) text += ladder_text(r);
  return text;
}

}  // namespace karat::study
