// Strict reading of a recipe's JSON: every key must be known, every value fit its field.
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <vector>

#include "implied.hpp"
#include "karat/numerics/error.hpp"
#include "karat/numerics/suggest.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 4;  // a recipe is an object of objects with arrays inside

[[noreturn]] void fail(std::string_view subject, const std::string& problem,
                       const std::string& action) {
  throw Error(ErrorKind::usage, std::string(subject), problem, action);
}

std::string line_and_column(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte > 0 ? byte - 1 : 0);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column =
      newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// JSON proper, without the repeated keys and the nesting that the format would allow.
json read_document(std::string_view text, std::string_view subject) {
  std::vector<std::set<std::string>> keys;
  const auto guard = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) fail(subject, "is nested too deeply for a recipe", "see docs/recipe.md");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(subject, parsed.dump() + " is given twice", "keep one of them");
    }
    return true;
  };
  try {
    return json::parse(text, guard);
  } catch (const json::parse_error& error) {
    fail(subject, "is not JSON at " + line_and_column(text, error.byte),
         "look for a missing comma, quote or bracket there");
  } catch (const json::exception&) {
    fail(subject, "holds a number that does not fit", "see docs/recipe.md for the ranges");
  }
}

/// The value as the field's kind wants it; what is no value at all keeps its JSON text, so that the
/// error can show it.
Value to_value(const json& node, const Field& field, const std::string& subject) {
  const auto wrong_type = [&](const std::string& wanted) -> Value {
    fail(subject, node.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 60) +
                      " is not " + wanted, "see docs/recipe.md");
  };
  switch (field.kind) {
    case Kind::integer:
      return node.is_number_integer() ? Value(node.get<double>()) : wrong_type("a whole number");
    case Kind::number:
      if (node == "-inf") return -std::numeric_limits<double>::infinity();
      return node.is_number() ? Value(node.get<double>()) : wrong_type("a number");
    case Kind::extent: {
      const bool three = node.is_array() && node.size() == 3 &&
                         std::ranges::all_of(node, [](const json& n) { return n.is_number_integer(); });
      if (!three) return wrong_type("an array of three whole numbers [t, h, w]");
      const auto clamped = [](const json& n) {
        return static_cast<int>(std::clamp(n.get<double>(), -1e9, 1e9));
      };
      return video::Extent3{clamped(node[0]), clamped(node[1]), clamped(node[2])};
    }
    case Kind::choice:
    case Kind::instruction:
    case Kind::text:
      return node.is_string() ? Value(node.get<std::string>()) : wrong_type("a text in quotes");
  }
  throw Error(ErrorKind::internal, subject, "a field kind without a JSON form");
}

struct Reader {
  Recipe recipe;
  std::string subject;
  std::set<std::string> given;  ///< paths that the text names

  std::string at(const std::string& path) const {
    return subject.empty() ? path : subject + ": " + path;
  }

  void read_field(const std::string& path, const json& node) {
    const auto found = std::ranges::find(fields(), path, &Field::path);
    if (found == fields().end()) {
      const auto nearest = numerics::nearest_name(path.substr(0, 64), fields(),
                                                  [](const Field& f) { return f.path; });
      fail(at(path), "unknown recipe field", "did you mean " + nearest + "?");
    }
    set(recipe, path, to_value(node, *found, at(path)), at(""));
    given.insert(path);
  }

  void read_section(const std::string& name, const json& section) {
    for (const auto& [key, node] : section.items()) read_field(name + "." + key, node);
  }
};

bool is_section(const std::string& name) {
  return std::ranges::any_of(fields(),
                             [&](const Field& f) { return f.path.starts_with(name + "."); });
}

}  // namespace

Recipe parse_recipe(std::string_view json_text, std::string_view subject) {
  const json document = read_document(json_text, subject);
  if (!document.is_object()) fail(subject, "is not a JSON object", "see docs/recipe.md");
  Reader reader{.recipe = {}, .subject = std::string(subject), .given = {}};
  if (const auto base = document.find("base"); base != document.end()) {
    if (!base->is_string()) fail(reader.at("base"), "is not the name of a preset", "see `karat recipes`");
    reader.recipe = preset(base->get<std::string>());
    reader.recipe.name += "_edited";
    reader.recipe.about.clear();
  }
  for (const auto& [key, node] : document.items()) {
    if (key == "base") continue;
    if (!is_section(key)) {
      reader.read_field(key, node);
    } else if (node.is_object()) {
      reader.read_section(key, node);
    } else {
      fail(reader.at(key), "is not an object of fields", "see docs/recipe.md");
    }
  }
  imply_instructions(reader.recipe, reader.given);
  validate(reader.recipe, subject);
  return reader.recipe;
}

}  // namespace karat::recipe
