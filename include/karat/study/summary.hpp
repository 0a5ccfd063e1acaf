// What a study says: averages with intervals over prompts and cells, and the three amplifications.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "karat/statistics/bootstrap.hpp"
#include "karat/study/quantity.hpp"
#include "karat/study/run.hpp"
#include "karat/study/sweep.hpp"

namespace karat::study {

/// Which cells an average is over.
struct Where {
  std::optional<std::int32_t> step;
  std::string head_kind;  ///< empty: all
};

/// The mean of one quantity of one recipe, cluster = prompt; nothing when there is none.
std::optional<statistics::Average> average(const StudyResult& result, std::int32_t recipe,
                                           Quantity quantity, const Where& where = {});

/// How much worse FP8 and a mask are together than apart, per cell.
enum class Amplification {
  sum,          ///< both / (mask + fp8)
  rss,          ///< both / sqrt(mask^2 + fp8^2): 1 when the errors are independent
  conditional,  ///< fp8_given_mask / fp8: FP8 in a sparse kernel beside FP8 in a dense one
  guided_sum,   ///< sum, of guided, guided_mask and guided_fp8
  guided_rss,   ///< rss, of the same
};
std::string_view to_string(Amplification form);
inline constexpr Amplification kAmplifications[] = {
    Amplification::sum, Amplification::rss, Amplification::conditional, Amplification::guided_sum,
    Amplification::guided_rss};

/// An amplification, and of what: o or a gradient, of the recipe or (conditional alone: the part
/// alone under the mask beside the part alone without it) of one part of it.
struct AmplificationOf {
  Amplification form;
  Output output = Output::o;
  std::optional<GradientPart> part;

  AmplificationOf(Amplification amplification, Output of = Output::o,
                  std::optional<GradientPart> one = {})
      : form(amplification), output(of), part(one) {}
  friend bool operator==(const AmplificationOf&, const AmplificationOf&) = default;
};
/// "rss", "dq.rss", "dk.conditional.ds".
std::string to_string(const AmplificationOf& of);

/// Geometric mean over cells; nothing where a form has no meaning (no guidance, an error of 0).
std::optional<statistics::Average> amplification(const StudyResult& result, std::int32_t recipe,
                                                 const AmplificationOf& of);

/// The averages of several quantities or forms.
template <class Key>
struct Averaged {
  Key key;
  statistics::Average average;
};
template <class Key>
using Averages = std::vector<Averaged<Key>>;
struct StepPoint {
  int step = 0;
  double sigma = 0;
  /// Quantity both: of o, or of dq, dk and dv.
  std::vector<std::pair<Output, statistics::Average>> errors;
};
struct RecipeSummary {
  std::int32_t recipe = 0;  ///< index into StudyResult::recipes
  std::string name;
  std::optional<SweptValue> swept;           ///< of recipes that a sweep made
  Averages<Quantity> quantities;             ///< in the order they were measured
  Averages<AmplificationOf> amplifications;  ///< those that have a meaning
  std::vector<StepPoint> steps;
};
struct Summary {
  std::vector<RecipeSummary> recipes;
  int prompts = 0;
};
Summary summarise(const StudyResult& result);

/// The average of one of them, or nullptr.
template <class Key>
const statistics::Average* find(const Averages<Key>& list, std::type_identity_t<Key> key) {
  const auto found = std::ranges::find(list, key, &Averaged<Key>::key);
  return found == list.end() ? nullptr : &found->average;
}

}  // namespace karat::study
