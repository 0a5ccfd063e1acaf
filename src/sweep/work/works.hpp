// The kinds of work, one maker each.
#pragma once

#include "karat/sweep/work.hpp"

namespace karat::sweep {

std::unique_ptr<Work> golden_work(const Spec& spec, const Places& places);
std::unique_ptr<Work> study_work(const Spec& spec, const Places& places);
std::unique_ptr<Work> judge_work(const Spec& spec, const Places& places);
std::unique_ptr<Work> trial_work(const Spec& spec);

/// A text result with its hash.
Made made_of(std::string text);
/// The text with everything that no shard's name may hold as "_".
std::string as_name(std::string text);

}  // namespace karat::sweep
