// Strict reading of a recipe's JSON: every key must be known, every value fit its field.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "check.hpp"
#include "implied.hpp"
#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using files::Json;

constexpr const char* kSeePage = "see docs/recipe.md";

[[noreturn]] void fail(const std::string& subject, const std::string& problem,
                       const std::string& action) {
  throw Error(ErrorKind::usage, subject, problem, action);
}

std::string section_of(const std::string& path) { return path.substr(0, path.find('.')); }

bool is_section(const std::string& name) {
  return std::ranges::any_of(fields(),
                             [&](const Field& f) { return f.path.starts_with(name + "."); });
}

/// A JSON value as the field's kind wants it.
Value to_value(const Json& node, const Field& field, const std::string& subject) {
  const auto wanted = [&](bool fits, const char* what) {
    if (!fits) fail(subject, shortened(node.dump()) + " is not " + what, kSeePage);
  };
  switch (field.kind) {
    case Kind::integer:
      wanted(node.is_number_integer(), "a whole number");
      return node.get<double>();
    case Kind::number:
      if (node == "-inf") return -kInf;
      wanted(node.is_number(), "a number");
      return node.get<double>();
    case Kind::extent: {
      const auto whole = [](const Json& n) { return n.is_number_integer(); };
      wanted(node.is_array() && node.size() == 3 && std::ranges::all_of(node, whole),
             "an array of three whole numbers [t, h, w]");
      const auto axis = [&](int i) {
        return static_cast<int>(std::clamp(node[i].get<double>(), -1e9, 1e9));
      };
      return video::Extent3{axis(0), axis(1), axis(2)};
    }
    case Kind::choice:
    case Kind::instruction:
    case Kind::text:
      wanted(node.is_string(), "a text in quotes");
      return node.get<std::string>();
  }
  throw Error(ErrorKind::internal, subject, "a field kind without a JSON form");
}

class Reader {
 public:
  Reader(Recipe start, std::string_view subject)
      : start_(std::move(start)),
        recipe_(start_),
        prefix_(subject.empty() ? "" : std::string(subject) + ": ") {}

  void read(const Json& document) {
    for (const auto& [key, node] : document.items()) {
      if (key == "base") continue;
      if (!is_section(key)) {
        read_field(key, node, top_level_names());
        continue;
      }
      if (!node.is_object()) fail(prefix_ + key, "is not an object of fields", kSeePage);
      for (const auto& [inner, value] : node.items()) {
        read_field(key + "." + inner, value, paths_of(key));
      }
    }
    imply(recipe_, given_, start_);
  }

  Recipe take() { return std::move(recipe_); }

 private:
  static std::vector<std::string> top_level_names() {
    std::vector<std::string> names{"base"};
    for (const Field& field : fields()) names.push_back(section_of(field.path));
    return names;
  }

  static std::vector<std::string> paths_of(const std::string& section) {
    std::vector<std::string> paths;
    for (const Field& field : fields()) {
      if (section_of(field.path) == section) paths.push_back(field.path);
    }
    return paths;
  }

  void read_field(const std::string& path, const Json& node,
                  const std::vector<std::string>& neighbours) {
    const auto found = std::ranges::find(fields(), path, &Field::path);
    if (found == fields().end()) {
      const std::string shown = shortened(Json(path).dump());
      const auto nearest =
          numerics::nearest_name(shown, neighbours, [](const std::string& name) { return name; });
      fail(prefix_ + shown.substr(1, shown.size() - 2), "unknown recipe field",
           "did you mean " + nearest + "?");
    }
    set(recipe_, path, to_value(node, *found, prefix_ + path), prefix_);
    given_.insert(path);
  }

  const Recipe start_;
  Recipe recipe_;
  std::string prefix_;
  std::set<std::string> given_;  // paths that the text names
};

Recipe start_of(const Json& document, const std::string& subject) {
  const auto base = document.find("base");
  if (base == document.end()) return {};
  if (!base->is_string()) fail(subject, "\"base\" is not the name of a preset", kSeePage);
  Recipe recipe = preset(base->get<std::string>());
  recipe.name += "_edited";
  recipe.about.clear();
  return recipe;
}

Recipe from_document(const Json& document, const std::string& subject) {
  if (!document.is_object()) fail(subject, "is not a JSON object", kSeePage);
  Reader reader(start_of(document, subject), subject);
  reader.read(document);
  Recipe recipe = reader.take();
  validate(recipe, subject);
  return recipe;
}

}  // namespace

Recipe parse_recipe(std::string_view json_text, std::string_view subject) {
  const std::string name(subject);
  return from_document(files::parse_json(json_text, name, ErrorKind::usage), name);
}

Recipe load_recipe(std::string_view name_or_path) {
  if (!name_or_path.ends_with(".json")) return preset(name_or_path);
  const std::string path(name_or_path);
  return from_document(files::read_json(path, ErrorKind::usage), path);
}

}  // namespace karat::recipe
