// Alternatives of every field, and the edits that go together.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "hypothesis.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/recipe/effect.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::golden {
namespace {

using recipe::Field;
using recipe::Recipe;
using recipe::Value;

/// Numbers worth trying, beside the golden one's half and double.
struct Numbers {
  std::string_view field;
  std::vector<double> values;
};
const std::vector<Numbers>& numbers() {
  constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
  static const std::vector<Numbers> rows = {
      {"softmax.rescale_threshold", {0, 1, 2, 4, 8, 16, 1e9}},
      {"softmax.masked_score", {kMinusInfinity, 0, -1e4, -5e4, -5e6, -1e9, -1e30}},
      {"softmax.initial_max", {kMinusInfinity, 0, -1e4, -5e4, -5e6, -1e9, -1e30}},
      {"p.multiplier", {1, 127, 224, 240, 256, 448}},
      {"p_multiplier", {1, 127, 224, 240, 256, 448}},
      {"ds_multiplier", {1, 127, 224, 240, 256, 448}},
      {"do_multiplier", {1, 127, 224, 240, 256, 448}},
      {"backward.block_q", {0, 16, 32, 64, 128}},
      {"backward.block_k", {0, 16, 32, 64, 128}},
      {"p.offset", {0, 4, 8, 8.807}},
      {"skip.threshold", {5, 10, 20, 50}},
      {"skip.factor", {100, 500, 1000, 2000}},
      {"skip.rows", {0, 16, 32, 64}},
      {"mask.band", {0.125, 0.25, 0.5, 1, 2, 4}},
      {"limit", {0, 2.25, 4.5, 127, 224, 240, 256, 448}},
      {"mask.band_first", {0, 1, 2}},
      {"pv.promote_every", {0, 16, 32, 64, 96, 128, 256}},
      {"block.q", {16, 32, 64, 128, 192}},
      {"block.k", {16, 32, 64, 80, 96, 112, 128, 160, 176, 192, 224, 256}},
      {"block.listed", {0, 64, 128}},
      {"rows", {8, 16, 32, 64, 128}},
      {"predict.mass", {0.5, 0.9, 0.95, 0.98, 1}},
      {"predict.least", {0, 0.1}},
      {"predict.similarity", {-1, -0.1, 0, 0.5, 0.6}},
      {"predict.tail", {0.05, 0.1, 0.2}},
      {"predict.parts", {1, 2, 4}},
      {"branch.weight", {0, 1}},
      {"branch.epsilon", {0, 1e-6, 1e-5}},
      {"predict.query_clusters", {100, 200, 300}},
      {"predict.key_clusters", {500, 1000}},
      {"predict.iterations", {0, 1, 2, 5, 10}},
      {"predict.seed", {0, 1}},
      {"rotate_seed", {0, 1}},
  };
  return rows;
}

constexpr video::Extent3 kTiles[] = {{1, 1, 1}, {3, 4, 4},    {4, 4, 4},
                                     {6, 8, 8}, {12, 16, 16}, {24, 32, 32}};

std::string_view leaf(std::string_view path) { return path.substr(path.rfind('.') + 1); }

void add_numbers(const Field& field, double golden, std::vector<Value>& values) {
  for (const Numbers& row : numbers())
    if (row.field == field.path || row.field == leaf(field.path))
      for (const double value : row.values) values.emplace_back(value);
  if (field.kind == recipe::Kind::integer || !std::isfinite(golden) || golden == 0) return;
  values.emplace_back(golden / 2);
  values.emplace_back(golden * 2);
}

/// Axes exchanged, each axis one or two more or less, and tiles in use.
void add_extents(const Field& field, video::Extent3 golden, std::vector<Value>& values) {
  const auto [t, h, w] = golden;
  for (const video::Extent3 swapped :
       {video::Extent3{t, w, h}, {h, t, w}, {h, w, t}, {w, t, h}, {w, h, t}})
    values.emplace_back(swapped);
  for (const int step : {-2, -1, 1, 2}) {
    for (const video::Extent3 moved : {video::Extent3{t + step, h + step, w + step},
                                       {t + step, h, w},
                                       {t, h + step, w},
                                       {t, h, w + step}})
      if (moved.t > 0 && moved.h > 0 && moved.w > 0) values.emplace_back(moved);
    if (field.path != "mask.window") break;  // of tiles one smaller is enough
  }
  if (field.path == "mask.window") return;
  for (const video::Extent3 doubled : {video::Extent3{2 * t, h, w}, {t, 2 * h, w}, {t, h, 2 * w}})
    values.emplace_back(doubled);
  for (const video::Extent3 tile : kTiles) values.emplace_back(tile);
}

/// Instructions of the same input format, FP32 accumulation, and detours through 16-bit operands.
/// Of FP16 accumulators, which are slow to emulate, those of the golden machine.
void add_instructions(std::string_view golden, std::vector<Value>& values) {
  const auto& own = numerics::instruction(golden);
  const auto machine = [](std::string_view name) { return name.substr(0, name.find('.')); };
  constexpr std::string_view kDetours[] = {"f32.fma", "exact", "hopper.wgmma.bf16.f32",
                                           "hopper.wgmma.f16.f32", "hopper.mma.f16.f32"};
  values.emplace_back(
      std::string("f32.fma"));  // the plainest; where bits do not tell, the first one stands
  for (const auto& row : numerics::instructions()) {
    const std::string_view name = numerics::name(row);
    const bool same_input = numerics::input_format(row) == numerics::input_format(own) &&
                            numerics::column_format(row) == numerics::column_format(own);
    const bool half = numerics::accumulator_format(row) == numerics::FormatId::f16;
    const bool detour =
        std::find(std::begin(kDetours), std::end(kDetours), name) != std::end(kDetours);
    if (detour || (same_input && (!half || machine(name) == machine(golden))))
      values.emplace_back(std::string(name));
  }
}

std::vector<Value> alternatives(const Field& field, const Value& golden) {
  std::vector<Value> values;
  switch (field.kind) {
    case recipe::Kind::choice:
      for (const recipe::Choice& choice : field.choices)
        values.emplace_back(std::string(choice.name));
      break;
    case recipe::Kind::instruction:
      add_instructions(std::get<std::string>(golden), values);
      break;
    case recipe::Kind::integer:
    case recipe::Kind::number:
      add_numbers(field, std::get<double>(golden), values);
      break;
    case recipe::Kind::extent:
      add_extents(field, std::get<video::Extent3>(golden), values);
      break;
    case recipe::Kind::text:
      break;
  }
  std::vector<Value> different;
  for (const Value& value : values)
    if (value != golden && std::find(different.begin(), different.end(), value) == different.end())
      different.push_back(value);
  return different;
}

/// Fields a kernel's author sets in one place: an edit of the first is also tried on all.
const std::vector<std::vector<std::string>>& together() {
  static const std::vector<std::vector<std::string>> rows = [] {
    std::vector<std::vector<std::string>> made = {{"qk.instruction", "pv.instruction"},
                                                  {"mask.tile", "q.tile", "k.tile"}};
    for (const Field& field : recipe::fields())
      if (field.path.starts_with("q.")) {
        const std::string name(leaf(field.path));
        made.push_back({"q." + name, "k." + name});
        made.push_back({"q." + name, "k." + name, "v." + name});
      }
    return made;
  }();
  return rows;
}

/// Likewise of a backward: the operands it reads, the casts of what it makes, its products.
const std::vector<std::vector<std::string>>& together_in_backward() {
  static const std::vector<std::vector<std::string>> rows = {
      {"backward.q", "backward.k"},
      {"backward.q", "backward.k", "backward.v"},
      {"backward.p_format", "backward.ds_format"},
      {"backward.p_multiplier", "backward.ds_multiplier"},
      {"backward.query_order", "backward.key_order"},
      {"backward.dq", "backward.dk"},
      {"backward.dq", "backward.dk", "backward.dv"},
      {"backward.dq_multiplier", "backward.dk_multiplier"},
      {"backward.dq_multiplier", "backward.dk_multiplier", "backward.dv_multiplier"}};
  return rows;
}

class Edits {
 public:
  explicit Edits(const Recipe& golden) : golden_(golden) {}

  void add(const std::vector<std::string>& fields, const Value& value) {
    Recipe edited = golden_;
    try {
      for (const std::string& field : fields) edited = recipe::edited(edited, field, value);
    } catch (const Error&) {
      return;  // no value of this field
    }
    if (!recipe::problems(edited).empty()) return;
    const recipe::PredictRule rule = edited.predict.rule;  // no kernel predicts by mistake
    if (rule != golden_.predict.rule && rule != recipe::PredictRule::never) return;
    Hypothesis hypothesis{.edits = {}, .mistakes = {}, .recipe = edited};
    for (const recipe::Difference& d : recipe::diff(golden_, edited))
      if (recipe::has_effect(edited, d.field->path))
        hypothesis.edits.push_back({d.field->path, d.left, d.right});
    if (hypothesis.edits.empty() || !seen_.insert(to_text(hypothesis.edits)).second) return;
    made_.push_back(std::move(hypothesis));
  }
  std::vector<Hypothesis> take() { return std::move(made_); }

 private:
  const Recipe& golden_;
  std::set<std::string> seen_;
  std::vector<Hypothesis> made_;
};

/// The first field's alternatives on all of them, where they are alike.
void add_alike(const Recipe& golden, const std::vector<std::string>& fields, Pass pass,
               Edits& edits) {
  const Field& first = recipe::field(fields.front());
  const Value value = first.read(golden);
  const bool alike = std::all_of(fields.begin(), fields.end(), [&](const std::string& field) {
    return recipe::get(golden, field) == value;
  });
  if (!alike || !matters(golden, first.path, pass)) return;
  for (const Value& other : alternatives(first, value)) edits.add(fields, other);
}

}  // namespace

std::string to_text(const std::vector<FieldEdit>& edits) {
  std::string text;
  for (const FieldEdit& edit : edits)
    text += (text.empty() ? "" : ", ") + edit.field + " " + recipe::to_text(edit.golden) + " -> " +
            recipe::to_text(edit.candidate);
  return text;
}

std::string to_text(const Hypothesis& hypothesis) {
  std::string text = to_text(hypothesis.edits);
  for (const Mistake* mistake : hypothesis.mistakes)
    text += (text.empty() ? "" : ", ") + std::string(mistake->name);
  return text;
}

std::vector<Hypothesis> recipe_edits(const Recipe& golden, Pass pass) {
  Edits edits(golden);
  for (const Field& field : recipe::fields()) {
    if (field.decides == recipe::Decides::nothing || !matters(golden, field.path, pass)) continue;
    for (const Value& value : alternatives(field, field.read(golden)))
      edits.add({field.path}, value);
  }
  if (pass == Pass::backward) {
    for (const auto& fields : together_in_backward()) add_alike(golden, fields, pass, edits);
    return edits.take();
  }
  for (const auto& fields : together()) add_alike(golden, fields, pass, edits);
  // FP32 accumulation fits every format; the two products may come from different instructions.
  for (const char* instruction : {"f32.fma", "exact"})
    edits.add({"qk.instruction", "pv.instruction"}, std::string(instruction));
  return edits.take();
}

std::optional<Hypothesis> both(const Recipe& golden, const Hypothesis& a, const Hypothesis& b) {
  Hypothesis pair = a;
  for (const FieldEdit& edit : b.edits) {
    for (const FieldEdit& other : a.edits)
      if (other.field == edit.field) return std::nullopt;
    recipe::set(pair.recipe, edit.field, edit.candidate);
  }
  recipe::reset_without_effect(pair.recipe);
  if (!recipe::problems(pair.recipe).empty()) return std::nullopt;
  pair.edits.clear();
  for (const recipe::Difference& d : recipe::diff(golden, pair.recipe))
    if (recipe::has_effect(pair.recipe, d.field->path))
      pair.edits.push_back({d.field->path, d.left, d.right});
  for (const Mistake* mistake : b.mistakes) {
    for (const Mistake* other : a.mistakes)
      if (other == mistake || other->apply == mistake->apply) return std::nullopt;
    pair.mistakes.push_back(mistake);
  }
  return pair;
}

}  // namespace karat::golden
