// A chosen schedule as the file that karat make and karat cost take.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "karat/files/json_file.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

/// The schedule of whole steps as a file that recipe::parse_schedule() reads: runs of equal
/// recipes, presets by name and other recipes in full. @param assignment one candidate per step
files::Json schedule_json(const Result& result, std::span<const std::uint16_t> assignment,
                          const std::string& name);

/// The whole-step schedule that meets the budget on the first GPU under the main weighting.
files::Json chosen_schedule(const Result& result, ScheduleKind kind);

}  // namespace karat::tune
