// The report of a tuning: one HTML file that needs nothing else.
#pragma once

#include <string>

#include "karat/study/tune_run.hpp"

namespace karat::study {

struct PageOrigin {
  std::string command;  ///< as it was typed
  std::string version;  ///< of karat
};

/// The answer, schedules as strips, fronts per GPU and weighting, what was measured, tables,
/// command. The same arguments give the same bytes.
std::string tune_page(const TuneResult& result, const TuneRequest& request,
                      const PageOrigin& origin);

/// "three phases", "dense warm-up": a kind of schedule in words.
std::string_view title_of(TuneKind kind);
/// "fpsattention | sta_bf16 | fa3_fp8".
std::string phases_text(const TuneResult& result, const ThreePhases& phases);

}  // namespace karat::study
