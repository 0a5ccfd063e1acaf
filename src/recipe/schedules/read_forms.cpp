// Each form becomes phases; what it names is looked up in the tables of schedule_forms.hpp.
#include "read_forms.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "karat/mask/strategy.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using files::Json;
namespace keys = schedule_keys;

[[noreturn]] void fail(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::usage, subject, problem, "docs/schedules.md shows the form");
}

/// A member of a form's object, each known and there unless optional.
class Form {
 public:
  Form(const Json& object, std::initializer_list<std::string_view> known,
       const std::string& subject)
      : object_(object), subject_(subject) {
    if (!object.is_object()) fail(subject, "is not a JSON object");
    for (const auto& [key, value] : object.items())
      if (std::find(known.begin(), known.end(), key) == known.end())
        fail(subject, "unknown key \"" + key + "\"");
  }

  bool has(std::string_view key) const { return object_.contains(std::string(key)); }

  Recipe recipe(std::string_view key) const { return recipe_from(at(key), path(key)); }

  double number(std::string_view key, double low, double high) const {
    const Json& node = at(key);
    const double value =
        node.is_number() ? node.get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(value >= low && value <= high)) fail(path(key), "is not a number in its range");
    return value;
  }

  int count(std::string_view key) const {
    if (!at(key).is_number_integer()) fail(path(key), "is not a whole number");
    return static_cast<int>(number(key, 0, 1 << 20));
  }

  std::string path(std::string_view key) const { return subject_ + ": " + std::string(key); }

 private:
  const Json& at(std::string_view key) const {
    const auto found = object_.find(std::string(key));
    if (found == object_.end()) fail(subject_, "has no " + std::string(key));
    return *found;
  }

  const Json& object_;
  std::string subject_;
};

Phase plain(Recipe recipe) {
  Phase phase;
  phase.recipe = std::move(recipe);
  return phase;
}

/// The name of a recipe that the form edits says so, as that of a "base" does.
void call_edited(Recipe& recipe, const Recipe& before) {
  constexpr std::string_view kSuffix = "_edited";
  if (recipe.name.ends_with(kSuffix) || diff(recipe, before).empty()) return;
  recipe.name += kSuffix;
  recipe.about.clear();
}

/// High precision at the ends, low between them.
Schedule at_both_ends(const Recipe& high, const Recipe& low, int start, int end) {
  Schedule schedule;
  if (start > 0) {
    schedule.phases.push_back(plain(high));
    schedule.phases.back().first = start;
  }
  if (end > 0) {
    schedule.phases.push_back(plain(high));
    schedule.phases.back().last = end;
  }
  schedule.phases.push_back(plain(low));
  return schedule;
}

Schedule from_xdit(const Json& node, const std::string& at) {
  const Form form(node, {keys::high, keys::low, keys::steps_at_both_ends}, at);
  const int steps = form.count(keys::steps_at_both_ends);
  return at_both_ends(form.recipe(keys::high), form.recipe(keys::low), steps, steps);
}

/// The sparse recipe with the target: tiles are skipped by the factor a*exp(b*target), or top-k
/// keeps the rest of the target.
Recipe with_target(Recipe recipe, double target, const Form& form) {
  if (recipe.skip.rule == SkipRule::exponential) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    const double exponent = form.number(keys::b, -kLargest, kLargest) * target;
    const double factor = form.number(keys::a, 0, kLargest) * std::exp(exponent);
    if (!(factor <= kLargest)) fail(form.path(keys::b), "makes a factor that is no number");
    recipe.skip.factor = static_cast<float>(factor);
    return recipe;
  }
  for (const std::string_view key : {keys::a, keys::b})
    if (form.has(key))
      fail(form.path(key),
           "says nothing: recipe " + recipe.name + " has no factor a*exp(b*target)");
  if (recipe.predict.rule != PredictRule::never && recipe.predict.select == Select::share) {
    recipe.predict.share = static_cast<float>(1 - target);
    return recipe;
  }
  fail(form.path(keys::sparse),
       "has no place for a sparsity target: it selects no share of the key blocks and has no "
       "factor a*exp(b*target)");
}

Schedule from_trtllm(const Json& node, const std::string& at) {
  const Form form(
      node,
      {keys::dense, keys::sparse, keys::target_sparsity, keys::disabled_until, keys::a, keys::b},
      at);
  Schedule schedule;
  const double until = form.number(keys::disabled_until, 0, 1);
  if (until <= 0) fail(form.path(keys::disabled_until), "is not a number in its range");
  const Recipe named = form.recipe(keys::sparse);
  Recipe sparse = with_target(named, form.number(keys::target_sparsity, 0, 1), form);
  call_edited(sparse, named);
  validate(sparse, at);
  schedule.phases.push_back(plain(form.recipe(keys::dense)));
  schedule.phases.back().sigma_from = until;
  schedule.phases.push_back(plain(std::move(sparse)));
  return schedule;
}

Schedule from_experts(const Json& node, const std::string& at) {
  const Form form(node, {keys::boundary, keys::high_noise, keys::low_noise}, at);
  Schedule schedule;
  schedule.phases.push_back(plain(form.recipe(keys::high_noise)));
  schedule.phases.back().sigma_from = form.number(keys::boundary, 0, 1);
  schedule.phases.push_back(plain(form.recipe(keys::low_noise)));
  return schedule;
}

/// {"STEP_LAYER_HEAD": [t, h, w], ...}: STA's windows, one for all layers and heads of a step.
Schedule from_strategy(const Json& document, const std::string& at) {
  const mask::WindowStrategy strategy = mask::parse_window_strategy(document.dump(), at);
  Schedule schedule;
  int next = 0;
  std::optional<video::Extent3> window;
  for (const auto& [index, extent] : strategy.windows) {  // ascending steps
    const int step = index[0];
    if (window && step == next - 1) {
      if (extent != *window)
        fail(at,
             "step " + std::to_string(step) + " has another window in layer " +
                 std::to_string(index[1]) + ", head " + std::to_string(index[2]) +
                 ": a schedule has one recipe a step (karat make --mask takes the heads apart)");
      continue;
    }
    if (step != next) fail(at, "says nothing about step " + std::to_string(next));
    ++next;
    if (window && extent == *window) {
      schedule.phases.back().first = next;
      continue;
    }
    window = extent;
    Recipe recipe = preset("sta_bf16");
    recipe.mask.window = extent;
    call_edited(recipe, preset("sta_bf16"));
    schedule.phases.push_back(plain(std::move(recipe)));
    schedule.phases.back().first = next;
  }
  schedule.phases.back().first.reset();
  return schedule;
}

bool is_strategy(const Json& document) {
  return !document.empty() && std::ranges::all_of(document.items(), [](const auto& item) {
    return std::count(item.key().begin(), item.key().end(), '_') == 2 &&
           item.key().find_first_not_of("0123456789_") == std::string::npos;
  });
}

struct JsonForm {
  std::string_view key;
  Schedule (*read)(const Json&, const std::string&);
};
constexpr JsonForm kForms[] = {
    {keys::xdit, from_xdit}, {keys::trtllm, from_trtllm}, {keys::wan_experts, from_experts}};

Recipe backend(const std::string& name, const std::string& subject) {
  for (const Backend& row : sglang_backends())
    if (row.name == name) return preset(row.preset);
  const auto names = preset_names();
  if (std::ranges::find(names, name) != names.end()) return preset(name);
  std::string known;
  for (const Backend& row : sglang_backends())
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  throw Error(ErrorKind::usage, subject, "\"" + name + "\" is no backend karat knows",
              "give " + known + ", or a preset's name");
}

}  // namespace

Recipe recipe_from(const Json& node, const std::string& subject) {
  if (node.is_string()) return preset(node.get<std::string>());
  return parse_recipe(node.dump(), subject);
}

std::optional<std::string> sglang_line(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos || text.size() > 512) return std::nullopt;
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  const bool plain_text = text.find_first_of("{}[]\" \n/\\") == std::string_view::npos;
  if (!plain_text || std::ranges::count(text, ':') != 3) return std::nullopt;
  return std::string(text);
}

Schedule from_sglang(const std::string& line, const std::string& subject) {
  std::array<std::string, 4> parts;
  std::size_t begin = 0;
  for (std::string& part : parts) {
    const std::size_t end = std::min(line.find(':', begin), line.size());
    part = line.substr(begin, end - begin);
    begin = end + 1;
  }
  const auto steps = [&](const std::string& text) {
    int value = -1;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || end != text.data() + text.size() || value < 0 || value > 1 << 20)
      fail(subject, "\"" + text + "\" is no number of steps");
    return value;
  };
  Schedule schedule = at_both_ends(backend(parts[0], subject), backend(parts[1], subject),
                                   steps(parts[2]), steps(parts[3]));
  schedule.name = line;
  return schedule;
}

bool is_form(const Json& document) {
  return is_strategy(document) || std::ranges::any_of(kForms, [&](const JsonForm& form) {
           return document.contains(std::string(form.key));
         });
}

Schedule from_form(const Json& document, const std::string& subject) {
  if (is_strategy(document)) return from_strategy(document, subject);
  for (const JsonForm& form : kForms) {
    const std::string key(form.key);
    if (!document.contains(key)) continue;
    for (const auto& [other, value] : document.items())
      if (other != key && other != "name") fail(subject, "unknown key \"" + other + "\"");
    return form.read(document[key], subject + ": " + key);
  }
  throw Error(ErrorKind::internal, subject, "is no form", {});
}

}  // namespace karat::recipe
