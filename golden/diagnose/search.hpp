// The search for a hypothesis that explains a sample: single ones, then pairs.
#pragma once

#include "sample.hpp"

namespace karat::golden {

enum class Pairs { no, yes };

/// Fills in what was tried and found; hypotheses come best first.
void search(const Base& base, const Sample& sample, const DiagnoseOptions& options, Pairs tried,
            Diagnosis& diagnosis);

}  // namespace karat::golden
