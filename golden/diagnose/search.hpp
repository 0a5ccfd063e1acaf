// The search for a hypothesis that explains the samples: single ones, then pairs.
#pragma once

#include "sample.hpp"

namespace karat::golden {

enum class Pairs { no, yes };

/// Fills in what was tried and found; hypotheses come best first.
void search(const Base& base, const Samples& samples, const DiagnoseOptions& options, Pairs tried,
            Diagnosis& diagnosis);

}  // namespace karat::golden
