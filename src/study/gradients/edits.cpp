// Each edit is a piece of a recipe's JSON.
#include "gradients/edits.hpp"

#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/recipe/json.hpp"

namespace karat::study {
namespace {

struct Edit {
  SweepAxis axis;
  std::string_view value;
  std::string_view fields;  ///< of `backward`, as JSON
};
constexpr Edit kEdits[] = {
    {SweepAxis::p_in_dv, "bf16", R"({"p_format": "bf16"})"},
    {SweepAxis::p_in_dv, "e4m3_1",
     R"({"p_format": "e4m3", "p_scale_rule": "given", "p_multiplier": 1})"},
    {SweepAxis::p_in_dv, "e4m3_448",
     R"({"p_format": "e4m3", "p_scale_rule": "given", "p_multiplier": 448})"},
    {SweepAxis::p_in_dv, "e4m3_block",
     R"({"p_format": "e4m3", "p_group": "block", "promote": "block"})"},
    {SweepAxis::p_in_dv, "int8_block",
     R"({"p_format": "int8", "p_group": "block", "p_enters": "bf16"})"},
    {SweepAxis::d_o, "bf16", R"({"do_format": "bf16"})"},
    {SweepAxis::d_o, "e4m3_block",
     R"({"do_format": "e4m3", "do_group": "block", "promote": "block"})"},
    {SweepAxis::d_o, "e5m2_block",
     R"({"do_format": "e5m2", "do_group": "block", "promote": "block"})"},
    {SweepAxis::d_o, "int8_block",
     R"({"do_format": "int8", "do_group": "block", "do_enters": "bf16"})"},
    {SweepAxis::ds, "bf16", R"({"ds_format": "bf16"})"},
    {SweepAxis::ds, "e4m3_block",
     R"({"ds_format": "e4m3", "ds_group": "block", "promote": "block"})"},
    {SweepAxis::ds, "e5m2_block",
     R"({"ds_format": "e5m2", "ds_group": "block", "promote": "block"})"},
    {SweepAxis::ds, "int8_block",
     R"({"ds_format": "int8", "ds_group": "block", "ds_enters": "bf16"})"},
    {SweepAxis::delta, "output", R"({"delta": "output"})"},
    {SweepAxis::delta, "unquantised_p", R"({"delta": "unquantised_p"})"},
};

/// How the fields begin that an edit says anew; those it leaves out are the defaults.
std::string_view operand_of(SweepAxis axis) {
  if (axis == SweepAxis::p_in_dv) return "p_";
  if (axis == SweepAxis::d_o) return "do_";
  return axis == SweepAxis::ds ? "ds_" : "";
}

}  // namespace

std::vector<NamedEdit> backward_edits(const recipe::Recipe& base, SweepAxis axis) {
  std::vector<NamedEdit> edits;
  if (!base.backward.exists()) return edits;
  const files::Json whole = files::Json::parse(to_json(base, recipe::JsonStyle::line));
  const std::string_view operand = operand_of(axis);
  for (const Edit& edit : kEdits) {
    if (edit.axis != axis) continue;
    files::Json json = whole;
    files::Json& backward = json["backward"];
    if (!operand.empty()) {
      files::Json kept = files::Json::object();
      for (const auto& [name, value] : backward.items()) {
        const bool instruction = name == "dp" || name == "dv" || name == "dq" || name == "dk";
        const bool of_operand = name.starts_with(operand) && name != "do_in_dp";
        if (!instruction && !of_operand) kept[name] = value;
      }
      backward = std::move(kept);
    }
    backward.update(files::Json::parse(edit.fields));
    edits.push_back({std::string(edit.value), recipe::parse_recipe(json.dump(), base.name)});
  }
  return edits;
}

}  // namespace karat::study
