// Implementation of report/effects.hpp.
#include "report/effects.hpp"

#include <cmath>

#include "report/advice.hpp"
#include "report/sections.hpp"

namespace karat::study {
namespace {

using statistics::Average;

/// Whether its interval excludes 1.
bool is_sure(const Average& ratio) { return ratio.low > 1 || ratio.high < 1; }

std::string what_rounds(Output output) {
  return output == Output::o ? "FP8" : "rounding of " + std::string(to_string(output));
}

std::string conditional_text(const Average& ratio, Output output) {
  return what_rounds(output) + " costs " + factor(&ratio) +
         " times as much under the mask as without it";
}

/// One amplification as a sentence without its recipe.
std::string sentence(const AmplificationOf& of, const Average& ratio) {
  if (of.form == Amplification::conditional) return conditional_text(ratio, of.output);
  const bool guided = of.form == Amplification::guided_rss;
  return what_rounds(of.output) + " and mask together make " + factor(&ratio) +
         " times the root-sum-square of each alone" + (guided ? ", through guidance" : "");
}

bool counts(const AmplificationOf& of) {
  return !of.part && (of.form == Amplification::rss || of.form == Amplification::guided_rss ||
                      of.form == Amplification::conditional);
}

}  // namespace

std::string effect_of(const StudyResult& result, const RecipeSummary& recipe) {
  const Average* rss = find(recipe.amplifications, Amplification::rss);
  if (rss == nullptr) {
    const auto advice = tile_advice(result, recipe.recipe);
    return recipe.name + ": the mask drops nothing here, so there is no interaction" +
           (advice ? ": " + *advice : "") + ".";
  }
  std::string text = recipe.name + ": FP8 and mask together make " +
                     percent(recipe, Measure::both) + " error, " + factor(rss) +
                     " times the root-sum-square of each alone: ";
  text += rss->low > 1    ? "they amplify each other"
          : rss->high < 1 ? "less than independent errors would"
                          : "no different from independent errors";
  if (const Average* given = find(recipe.amplifications, Amplification::conditional))
    text += "; " + conditional_text(*given, Output::o);
  return text + ".";
}

std::string largest_effect(const Summary& summary) {
  std::string text;
  double largest = 0;
  bool sure = false;
  for (const RecipeSummary& recipe : summary.recipes) {
    // A mask that drops nothing amplifies nothing.
    if (find(recipe.amplifications, Amplification::rss) == nullptr &&
        find(recipe.amplifications, {Amplification::rss, Output::dq}) == nullptr)
      continue;
    for (const auto& [of, ratio] : recipe.amplifications) {
      if (!counts(of) || !(ratio.value > 0)) continue;
      const double size = std::abs(std::log(ratio.value));
      if (!text.empty() && (is_sure(ratio) != sure ? sure : size <= largest)) continue;
      largest = size;
      sure = is_sure(ratio);
      text = "Largest effect: " + recipe.name + ": " + sentence(of, ratio) +
             (sure ? "." : ", which may be chance.");
    }
  }
  return text;
}

}  // namespace karat::study
