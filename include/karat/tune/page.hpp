// The report of a tuning: one HTML file that needs nothing else.
#pragma once

#include <string>

#include "karat/report/html.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

/// The answer, schedules as strips, fronts per GPU and weighting, what was measured, tables,
/// command. The same arguments give the same bytes.
std::string html_page(const Result& result, const Request& request,
                      const report::Provenance& made_by);

/// "three phases", "dense warm-up": a kind of schedule in words.
std::string_view title_of(ScheduleKind kind);
/// "fpsattention | sta_bf16 | fa3_fp8".
std::string phases_text(const Result& result, const ThreePhases& phases);

}  // namespace karat::tune
