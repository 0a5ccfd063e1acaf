// What a study says: averages with intervals over prompts and cells, and the three amplifications.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/statistics/bootstrap.hpp"
#include "karat/study/run.hpp"

namespace karat::study {

/// Which cells an average is over.
struct Where {
  std::optional<std::int32_t> step, layer, head;
  std::optional<video::Branch> branch;
  std::string head_kind;  ///< empty: all
};

/// Values of one quantity of one recipe, cluster = prompt.
std::vector<statistics::Observation> observations(const StudyResult& result, std::int32_t recipe,
                                                  std::string_view quantity,
                                                  const Where& where = {});
/// Their mean; nothing when there are none.
std::optional<statistics::Average> average(const StudyResult& result, std::int32_t recipe,
                                           std::string_view quantity, const Where& where = {});

/// How much worse FP8 and a mask are together than apart, per cell, of the quantities in
/// measure.hpp:
///   sum         both / (mask + fp8)
///   rss         both / sqrt(mask^2 + fp8^2): 1 when the errors are independent
///   conditional fp8_given_mask / fp8: what FP8 does to a sparse kernel beside what it does to a
///   dense one guided_sum, guided_rss  of guided, guided_mask, guided_fp8
enum class Amplification { sum, rss, conditional, guided_sum, guided_rss };
std::string_view to_string(Amplification form);
inline constexpr Amplification kAmplifications[] = {
    Amplification::sum, Amplification::rss, Amplification::conditional, Amplification::guided_sum,
    Amplification::guided_rss};

/// Geometric mean over cells; nothing where a form has no meaning (no guidance, an error of 0).
std::optional<statistics::Average> amplification(const StudyResult& result, std::int32_t recipe,
                                                 Amplification form, const Where& where = {});

struct NamedAverage {
  std::string name;
  statistics::Average interval;
};
struct StepPoint {
  int step = 0;
  double sigma = 0;
  statistics::Average error;
};
struct RecipeSummary {
  std::string name;
  std::vector<NamedAverage> quantities;      ///< in the order they were measured
  std::vector<NamedAverage> amplifications;  ///< those that have a meaning
  std::vector<StepPoint> steps;              ///< quantity both over steps
};
struct Summary {
  std::vector<RecipeSummary> recipes;
  int prompts = 0;
};
Summary summarise(const StudyResult& result);

/// The interval called `name`, or nullptr.
const statistics::Average* find(const std::vector<NamedAverage>& list, std::string_view name);

}  // namespace karat::study
