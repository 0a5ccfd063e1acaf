// The values of each axis.
#include "karat/study/sweep.hpp"

#include <algorithm>

#include "gradients/edits.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::study {
namespace {

using recipe::Recipe;

std::string to_text(video::Extent3 e) {
  return std::to_string(e.t) + "x" + std::to_string(e.h) + "x" + std::to_string(e.w);
}

struct AxisName {
  std::string_view name;
  SweepAxis axis;
};
constexpr AxisName kAxes[] = {{"tile", SweepAxis::tile},   {"window", SweepAxis::window},
                              {"p", SweepAxis::p},         {"promotion", SweepAxis::promotion},
                              {"scale", SweepAxis::scale}, {"p_in_dv", SweepAxis::p_in_dv},
                              {"do", SweepAxis::d_o},      {"ds", SweepAxis::ds},
                              {"delta", SweepAxis::delta}};

std::optional<SweepAxis> find_axis(std::string_view name) {
  const auto row = std::ranges::find(kAxes, name, &AxisName::name);
  if (row == std::end(kAxes)) return std::nullopt;
  return row->axis;
}

}  // namespace

std::string_view to_string(SweepAxis axis) {
  return std::ranges::find(kAxes, axis, &AxisName::axis)->name;
}

SweepAxis parse_sweep_axis(std::string_view name) {
  if (const auto axis = find_axis(name)) return *axis;
  throw Error(ErrorKind::usage, "--sweep", "\"" + std::string(name) + "\" is no axis",
              "use tile, window, p, promotion, scale, p_in_dv, do, ds or delta");
}

std::optional<SweptValue> swept_value(std::string_view recipe_name) {
  const auto colon = recipe_name.rfind(':'), equals = recipe_name.rfind('=');
  if (colon == std::string_view::npos || equals == std::string_view::npos || equals < colon)
    return std::nullopt;
  const auto axis = find_axis(recipe_name.substr(colon + 1, equals - colon - 1));
  if (!axis) return std::nullopt;
  return SweptValue{*axis, std::string(recipe_name.substr(equals + 1))};
}

std::vector<Recipe> sweep(const Recipe& base, SweepAxis axis) {
  std::vector<Recipe> recipes;
  const auto add = [&](Recipe edit, const std::string& value) {
    edit.name = base.name + ":" + std::string(to_string(axis)) + "=" + value;
    if (recipe::problems(edit).empty()) recipes.push_back(std::move(edit));
  };
  Recipe edit = base;
  switch (axis) {
    case SweepAxis::tile:
      edit.q.group = edit.k.group = quant::Group::token;
      add(edit, "token");
      edit.q.group = edit.k.group = quant::Group::tile;
      for (const video::Extent3 tile :
           {video::Extent3{3, 4, 4}, {6, 8, 8}, {12, 16, 16}, {24, 32, 32}}) {
        edit.q.tile = edit.k.tile = tile;
        add(edit, to_text(tile));
      }
      edit.q.group = edit.k.group = quant::Group::tensor;
      add(edit, "tensor");
      break;
    case SweepAxis::window:
      for (const video::Extent3 window :
           {video::Extent3{1, 1, 1}, {3, 3, 1}, {3, 3, 3}, {3, 5, 5}, {5, 6, 10}}) {
        edit.mask.window = window;
        add(edit, to_text(window));
      }
      break;
    case SweepAxis::p:
      edit.p.apply = recipe::PApply::multiply;
      edit.p.offset = 0;
      for (const int multiplier : {1, 16, 256, 448}) {
        edit.p.multiplier = static_cast<float>(multiplier);
        add(edit, std::to_string(multiplier));
      }
      break;
    case SweepAxis::promotion:
      for (const int keys : {32, 64, 128, 0}) {
        edit.pv.promote_every = keys;
        add(edit, keys == 0 ? "never" : std::to_string(keys));
      }
      break;
    case SweepAxis::scale:
      for (const auto& [format, name] : {std::pair{quant::ScaleFormat::f32, "f32"},
                                         {quant::ScaleFormat::bf16, "bf16"},
                                         {quant::ScaleFormat::ue8m0_up, "ue8m0_up"},
                                         {quant::ScaleFormat::ue8m0_nearest, "ue8m0_nearest"},
                                         {quant::ScaleFormat::ue8m0_floor, "ue8m0_floor"}}) {
        edit.q.scale = edit.k.scale = edit.v.scale = format;
        add(edit, name);
      }
      edit.q.scale = edit.k.scale = edit.v.scale = quant::ScaleFormat::f32;
      edit.q.scale_rule = edit.k.scale_rule = edit.v.scale_rule = quant::ScaleRule::exponent;
      add(edit, "exponent");
      break;
    case SweepAxis::p_in_dv:
    case SweepAxis::d_o:
    case SweepAxis::ds:
    case SweepAxis::delta:
      for (NamedEdit& of_backward : backward_edits(base, axis))
        add(std::move(of_backward.recipe), of_backward.value);
      break;
  }
  return recipes;
}

}  // namespace karat::study
