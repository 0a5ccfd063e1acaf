// Reading, checked writing and comparing of single fields.
// Everything here walks the rows of field_table.cpp.
#include "karat/recipe/fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "check.hpp"
#include "implied.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::recipe {
namespace {

std::string listed(std::span<const Choice> choices) {
  std::string text;
  for (const Choice& choice : choices) {
    if (!text.empty()) text += ", ";
    text += choice.name;
  }
  return text;
}

std::string expectation(const Field& field) {
  switch (field.kind) {
    case Kind::choice:
      return "one of: " + listed(field.choices);
    case Kind::integer:
      return "a whole number from " + to_text(field.low) + " to " + to_text(field.high);
    case Kind::number:
      if (field.low == -kInf) return "a number or \"-inf\"";
      return "a number from " + to_text(field.low) + " to " + to_text(field.high);
    case Kind::extent:
      return "three whole numbers [t, h, w] from 1 to " + to_text(field.high);
    case Kind::instruction:
      return "the name of an instruction";
    case Kind::text:
      return "a text in double quotes";
  }
  return {};
}

bool in_range(const Field& field, double number) {
  return number >= field.low && number <= field.high &&
         (field.kind != Kind::integer || number == std::trunc(number));
}

bool fits(const Field& field, const Value& value) {
  switch (field.kind) {
    case Kind::choice: {
      const auto* name = std::get_if<std::string>(&value);
      return name && std::ranges::find(field.choices, *name, &Choice::name) != field.choices.end();
    }
    case Kind::integer:
    case Kind::number: {
      const auto* number = std::get_if<double>(&value);
      return number && in_range(field, *number);
    }
    case Kind::extent: {
      const auto* extent = std::get_if<video::Extent3>(&value);
      return extent && in_range(field, extent->t) && in_range(field, extent->h) &&
             in_range(field, extent->w);
    }
    case Kind::instruction: {
      const auto* name = std::get_if<std::string>(&value);
      return name && std::ranges::any_of(numerics::instructions(), [&](const auto& row) {
               return numerics::name(row) == *name;
             });
    }
    case Kind::text:
      return std::holds_alternative<std::string>(value);
  }
  return false;
}

std::string nearest(const Field& field, std::string_view wanted) {
  if (field.kind == Kind::choice) {
    return numerics::nearest_name(wanted, field.choices, [](const Choice& c) { return c.name; });
  }
  return numerics::nearest_name(wanted, numerics::instructions(),
                                [](const auto& row) { return numerics::name(row); });
}

std::string suggestion(const Field& field, const Value& value) {
  const auto* name = std::get_if<std::string>(&value);
  if (!name || (field.kind != Kind::choice && field.kind != Kind::instruction)) return {};
  return "did you mean \"" + nearest(field, name->substr(0, 64)) + "\"? ";
}

}  // namespace

std::string value_problem(const Field& field, const Value& value) {
  return fits(field, value) ? std::string{}
                            : shortened(to_text(value)) + " is not a value of this field";
}

std::string value_action(const Field& field, const Value& value) {
  return suggestion(field, value) + "give " + expectation(field);
}

std::string shortened(const std::string& text) {
  constexpr std::size_t kLongest = 60;
  if (text.size() <= kLongest) return text;
  std::size_t end = kLongest - 4;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // not inside a UTF-8 character
  return text.substr(0, end) + "..." + (text.front() == '"' ? "\"" : "");
}

const Field& field(std::string_view path) {
  const auto found = std::ranges::find(fields(), path, &Field::path);
  if (found != fields().end()) return *found;
  const auto nearest =
      numerics::nearest_name(path.substr(0, 64), fields(), [](const Field& f) { return f.path; });
  throw Error(ErrorKind::usage, shortened(std::string(path)), "unknown recipe field",
              "did you mean " + nearest + "?");
}

Value get(const Recipe& recipe, std::string_view path) { return field(path).read(recipe); }

void set(Recipe& recipe, std::string_view path, const Value& value,
         std::string_view subject_prefix) {
  const Field& target = field(path);
  if (const std::string problem = value_problem(target, value); !problem.empty()) {
    throw Error(ErrorKind::usage, std::string(subject_prefix) + target.path, problem,
                value_action(target, value));
  }
  target.write(recipe, value);
}

Recipe edited(Recipe recipe, std::string_view path, const Value& value) {
  const Recipe before = recipe;
  set(recipe, path, value);
  imply(recipe, {std::string(path)}, before);
  return recipe;
}

std::string to_text(const Value& value) {
  if (const auto* number = std::get_if<double>(&value)) {
    if (*number == -kInf) return "\"-inf\"";
    char text[32];
    const auto end = *number == std::trunc(*number) && std::abs(*number) < 1e7
                         ? std::to_chars(text, text + sizeof text, static_cast<long>(*number)).ptr
                         : std::to_chars(text, text + sizeof text, static_cast<float>(*number)).ptr;
    return {text, end};
  }
  if (const auto* extent = std::get_if<video::Extent3>(&value)) {
    return "[" + std::to_string(extent->t) + ", " + std::to_string(extent->h) + ", " +
           std::to_string(extent->w) + "]";
  }
  using nlohmann::json;
  return json(std::get<std::string>(value)).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view to_text(Decides stage) {
  constexpr std::string_view kNames[] = {"nothing", "order",   "operands", "visits",   "scores",
                                         "softmax", "product", "finish",   "gradients"};
  return kNames[static_cast<int>(stage)];
}

std::vector<Difference> diff(const Recipe& left, const Recipe& right) {
  std::vector<Difference> differences;
  for (const Field& field : fields()) {
    if (field.decides == Decides::nothing) continue;
    Value a = field.read(left), b = field.read(right);
    if (a != b) differences.push_back({&field, std::move(a), std::move(b)});
  }
  return differences;
}

}  // namespace karat::recipe
