// Pictures of a tuning: strips, fronts, sensitivities, weights.
#include "report/pictures.hpp"

#include <algorithm>
#include <cmath>

#include "karat/report/chart.hpp"
#include "karat/statistics/bootstrap.hpp"

namespace karat::tune {
namespace {

using report::Point;
using report::Svg;

constexpr std::string_view kQuiet = "#57606a";
constexpr double kWidth = 1040, kLeft = 250, kRow = 22, kTall = 44, kGap = 6, kGroupGap = 12;

std::string recipe_colour(std::size_t recipe) {
  const std::string base(report::series_colour(recipe));
  return recipe < 8 ? base : report::paler(base, 0.5);
}

/// Recipes of one step as shares of its groups, ascending by place.
std::vector<double> shares(const Result& result, const Assignment& assignment, std::size_t step) {
  const auto groups = static_cast<std::size_t>(result.errors.groups);
  std::vector<double> out(result.recipes.size(), 0);
  for (std::size_t g = 0; g < groups; ++g)
    out[assignment[step * groups + g]] += 1.0 / static_cast<double>(groups);
  return out;
}

void draw_strip(Svg& svg, const Result& result, const Assignment& assignment, double top,
                double height) {
  const auto steps = static_cast<std::size_t>(result.errors.steps);
  const double cell = (kWidth - kLeft - 16) / static_cast<double>(steps);
  for (std::size_t step = 0; step < steps; ++step) {
    double y = top + height;
    const std::vector<double> parts = shares(result, assignment, step);
    for (std::size_t c = 0; c < parts.size(); ++c) {
      if (parts[c] <= 0) continue;
      y -= parts[c] * height;
      svg.rect({kLeft + cell * static_cast<double>(step), y}, cell - (cell > 6 ? 1 : 0),
               parts[c] * height, {.fill = recipe_colour(c)});
    }
  }
}

void draw_step_numbers(Svg& svg, int steps, double y) {
  const double cell = (kWidth - kLeft - 16) / steps;
  for (int step = 1; step <= steps; ++step)
    if (step == 1 || step == steps || step % std::max(1, (steps + 9) / 10) == 0)
      svg.text({kLeft + cell * (step - 0.5), y}, std::to_string(step),
               {.size = 11, .anchor = report::Anchor::middle, .fill = kQuiet});
}

bool shown(const Result& result, ScheduleKind kind) {
  return kind != ScheduleKind::general || result.errors.groups > 1;
}

constexpr ScheduleKind kStrips[] = {ScheduleKind::three_phase, ScheduleKind::general_by_step,
                                    ScheduleKind::general};

std::vector<bool> used_recipes(const Result& result, std::size_t gpu) {
  std::vector<bool> used(result.recipes.size(), false);
  for (std::size_t w = 0; w < result.weights.size(); ++w)
    for (const ScheduleKind kind : kStrips)
      if (const TunedPoint* point =
              result.of(gpu, w).front(kind).within(result.of(gpu, w).budget_s))
        for (const std::uint16_t c : point->assignment) used[c] = true;
  return used;
}

/// A chart that leaves room for another beside it.
report::Chart half_page(std::string title, report::Axis x, report::Axis y) {
  return {
      .title = std::move(title), .x = std::move(x), .y = std::move(y), .width = 520, .height = 380};
}

}  // namespace

std::string schedule_strips(const Result& result, std::size_t gpu) {
  const std::vector<bool> used = used_recipes(result, gpu);
  const auto rows = static_cast<double>(result.weights.size());
  const double group =
      2 * (kRow + kGap) + (result.errors.groups > 1 ? kTall + kGap : 0) + kGroupGap;
  Svg svg(kWidth, 40 + rows * group + 76);
  svg.text({8, 20}, result.times[gpu].gpu + ": recipe of each step", {.size = 14, .bold = true});
  double y = 36;
  for (std::size_t w = 0; w < result.weights.size(); ++w) {
    const Tuned& tuned = result.of(gpu, w);
    svg.text({8, y + 15}, result.weights[w].name(), {.size = 12, .bold = w == result.main_weights});
    for (const ScheduleKind kind : kStrips) {
      if (!shown(result, kind)) continue;
      const double height = kind == ScheduleKind::general ? kTall : kRow;
      svg.text({kLeft - 8, y + height / 2 + 4}, title_of(kind),
               {.size = 12, .anchor = report::Anchor::end, .fill = kQuiet});
      if (const TunedPoint* point = tuned.front(kind).within(tuned.budget_s))
        draw_strip(svg, result, point->assignment, y, height);
      y += height + kGap;
    }
    y += kGroupGap;
  }
  draw_step_numbers(svg, result.errors.steps, y + 2);
  svg.text({kLeft + (kWidth - kLeft - 16) / 2, y + 20}, "denoising step, noisiest first",
           {.size = 12, .anchor = report::Anchor::middle});
  y += 20;
  double x = 8;
  for (std::size_t c = 0; c < used.size(); ++c) {
    if (!used[c]) continue;
    svg.rect({x, y + 20}, 14, 14, {.fill = recipe_colour(c)});
    svg.text({x + 20, y + 31}, result.recipes[c].name, {.size = 12});
    x += 44 + report::text_width(result.recipes[c].name, 12);
  }
  return svg.str();
}

std::string front_chart(const Result& result, const Tuned& tuned) {
  constexpr std::string_view kColours[] = {"#0072b2", "#009e73", "#e69f00",
                                           "#6e7781", "#cc79a7", "#7f5539"};
  report::Chart chart = half_page(
      result.times[tuned.gpu].gpu + ", weights " + result.weights[tuned.weights].name(),
      {.title = "time of a whole run", .unit = "s"},
      {.title = "relative L2 error", .unit = "ratio", .scale = report::Scale::logarithmic});
  chart.markers = {{tuned.budget_s, "budget"}};
  for (const ScheduleKind kind :
       {ScheduleKind::uniform, ScheduleKind::dense_warmup, ScheduleKind::sta_search,
        ScheduleKind::three_phase, ScheduleKind::general_by_step, ScheduleKind::general}) {
    const TunedFront& front = tuned.front(kind);
    if (front.points.empty() || !shown(result, kind)) continue;
    const bool ours = kind == ScheduleKind::three_phase || kind == ScheduleKind::general ||
                      kind == ScheduleKind::general_by_step;
    report::Series series{.name = std::string(title_of(kind)),
                          .colour = std::string(kColours[static_cast<std::size_t>(kind)]),
                          .mark = ours ? report::Mark::staircase : report::Mark::dots};
    for (const TunedPoint& point : front.points) {
      series.points.push_back({point.time_s, point.error});
      if (point.interval && (!ours || kind == ScheduleKind::three_phase))
        series.intervals.push_back({point.time_s, point.interval->low, point.interval->high});
    }
    chart.series.push_back(std::move(series));
  }
  return draw(chart);
}

std::string sensitivity_chart(const Result& result) {
  const StepErrors& e = result.errors;
  report::Chart chart =
      half_page("Error of each recipe over the steps", {.title = "denoising step", .whole = true},
                {.title = "relative L2 error, all groups",
                 .unit = "ratio",
                 .scale = report::Scale::logarithmic});
  const statistics::Resamples bootstrap(e.seeds, 400, 0);
  const auto groups = static_cast<std::size_t>(e.groups);
  const auto candidates = static_cast<std::size_t>(e.candidates);
  const auto steps = static_cast<std::size_t>(e.steps);
  for (std::size_t c = 0; c < candidates; ++c) {
    report::Series series{.name = result.recipes[c].name, .colour = recipe_colour(c)};
    for (std::size_t step = 0; step < steps; ++step) {
      std::vector<double> squares;
      double mean = 0;
      for (std::size_t seed = 0; seed < static_cast<std::size_t>(e.seeds); ++seed) {
        double sum = 0;
        for (std::size_t g = 0; g < groups; ++g)
          sum += e.squared[((seed * steps + step) * groups + g) * candidates + c];
        squares.push_back(sum / static_cast<double>(groups));
        mean += squares.back() / e.seeds;
      }
      const double x = static_cast<double>(step + 1);
      series.points.push_back({x, std::sqrt(mean)});
      if (const auto interval = bootstrap.interval(squares))
        series.intervals.push_back(
            {x, std::sqrt(std::max(0.0, interval->low)), std::sqrt(interval->high)});
    }
    chart.series.push_back(std::move(series));
  }
  return draw(chart);
}

std::string weight_chart(const Result& result) {
  report::Chart chart =
      half_page("What each step counts", {.title = "denoising step", .whole = true},
                {.title = "share of the whole", .unit = "%", .factor = 100});
  for (std::size_t w = 0; w < result.weights.size(); ++w) {
    report::Series series = report::make_series(result.weights[w].name(), w);
    for (std::size_t step = 0; step < result.weights[w].weight.size(); ++step)
      series.points.push_back({static_cast<double>(step + 1), result.weights[w].weight[step]});
    chart.series.push_back(std::move(series));
  }
  return draw(chart);
}

}  // namespace karat::tune
