// What a tuning says: text, JSON, CSV, a page, and the chosen schedule as a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "karat/files/json_file.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/report/html.hpp"
#include "karat/report/table.hpp"
#include "karat/tune/decision.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

/// Lines for a terminal, or for a page of Markdown: the decisions first, one a line.
std::string to_text(const Result& result, const Request& request,
                    std::span<const Decision> decisions,
                    report::TableStyle style = report::TableStyle::aligned);
/// The fields of docs/json.md, "karat.tune".
files::Json to_json(const Result& result, const Request& request, const files::Json& schedule);
/// One line per point of every front.
std::string to_csv(const Result& result);
/// One HTML file that needs nothing else: the answer, schedules as strips, fronts per GPU and
/// weighting, what was measured, tables, command. The same arguments give the same bytes.
std::string html_page(const Result& result, const Request& request,
                      const report::Provenance& made_by);

/// The schedule of whole steps as a file that recipe::parse_schedule() reads: runs of equal
/// recipes, presets by name and other recipes in full. @param assignment one candidate per step
files::Json schedule_json(const Result& result, std::span<const std::uint16_t> assignment,
                          const std::string& name);
/// The point of that kind within the budget.
const TunedPoint& chosen_point(const Tuned& tuned, ScheduleKind kind);
/// The recipe of every step of a point whose groups decide alike.
Assignment whole_steps(const Result& result, const TunedPoint& point);
/// The whole-step schedule that meets the budget on the first GPU under the main weighting.
files::Json chosen_schedule(const Result& result, ScheduleKind kind);
/// The schedule of least error among those that xDiT's, sglang's or TensorRT-LLM's form can hold
/// and that meet that budget. @throws Error(usage) where there is none
recipe::Schedule form_schedule(const Result& result, recipe::ScheduleForm form);

}  // namespace karat::tune
