// The forms of schedules that other systems use, recognised and read.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "karat/files/json_file.hpp"
#include "karat/recipe/schedule.hpp"

namespace karat::recipe {

/// The recipe that a schedule's JSON names: a preset, or an object as in a recipe file.
/// @throws Error(usage)
Recipe recipe_from(const files::Json& node, const std::string& subject);

/// sglang's "high:low:start:end", spaces around it left out; nothing where the text is none.
std::optional<std::string> sglang_line(std::string_view text);
/// @throws Error(usage) "subject: ..." for names that are no backend and no preset
Schedule from_sglang(const std::string& line, const std::string& subject);

/// Whether the object is one of the JSON forms of schedule_forms.hpp.
bool is_form(const files::Json& document);
/// @throws Error(usage) "subject: ..." for what the form does not allow, or karat cannot hold
Schedule from_form(const files::Json& document, const std::string& subject);

}  // namespace karat::recipe
