// The study that a sweep of kind study is a part of.
#pragma once

#include "karat/study/request.hpp"
#include "karat/study/run.hpp"
#include "karat/sweep/spec.hpp"

namespace karat::sweep {

/// @pre spec.kind is study
/// @throws as study::choose_study()
study::ChosenStudy study_of(const Spec& spec, const Places& places);

}  // namespace karat::sweep
