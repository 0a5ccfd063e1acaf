// What a study's amplifications say, in words: of a recipe, and the largest of all.
#pragma once

#include <string>

#include "karat/study/summary.hpp"

namespace karat::study {

/// "window_fp8: FP8 and mask together make 12 % error, 1.02 (0.98 to 1.05) times the
/// root-sum-square of each alone: ...; FP8 costs 1.3 times as much under the mask as without it."
std::string effect_of(const StudyResult& result, const RecipeSummary& recipe);

/// The amplification farthest from 1 as a ratio, over root-sum-square, through guidance or
/// conditional: of those whose interval excludes 1, where there is one. "Largest effect: ...".
/// Empty where no recipe has one.
std::string largest_effect(const Summary& summary);

}  // namespace karat::study
