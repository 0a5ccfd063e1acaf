// A loop study as one page: what happens to the latents, where errors arise, what each step counts.
#include <algorithm>

#include "karat/report/chart.hpp"
#include "karat/video/grid.hpp"
#include "loop/summary.hpp"

namespace karat::study {
namespace {

using report::Chart;
using report::HtmlPage;
using report::Series;
using report::short_decimal;
using Row = std::vector<std::string>;

constexpr std::size_t kMostColumns = 16;  // of a table by layer

std::string in_words(const LoopMean& mean) {
  const std::string value = short_decimal(mean.value);
  if (!mean.interval) return value;
  return value + " (" + short_decimal(mean.interval->low) + " to " +
         short_decimal(mean.interval->high) + ")";
}

void add_point(Series& series, double x, const LoopMean& mean) {
  if (!(mean.value > 0)) return;  // nothing on a logarithmic axis
  series.points.push_back({x, mean.value});
  if (mean.interval && mean.interval->low > 0)
    series.intervals.push_back({x, mean.interval->low, mean.interval->high});
}

const report::Axis kRelative{.title = "relative L2 error", .unit = "ratio"};

report::Axis step_axis(const std::string& what) {
  return {.title = what + ", noisiest first", .whole = true};
}

Chart chart_of(const std::string& title, report::Axis x, report::Axis y) {
  y.scale = report::Scale::logarithmic;
  return {.title = title, .x = std::move(x), .y = std::move(y), .width = 640, .height = 380};
}

void add_answer(HtmlPage& page, const LoopStudy& study) {
  Row lines;
  for (const WholeRuns& run : whole_runs(study))
    lines.push_back(run.name + ": the last latent drifts by " + in_words(run.drift.back()) +
                    " of its norm.");
  if (study.weights) {
    const auto& step = study.weights->step;
    const auto largest = std::max_element(step.begin(), step.end());
    lines.push_back("An error counts most in step " + std::to_string(largest - step.begin()) +
                    ": squared drift is " + short_decimal(*largest) +
                    " times attention's squared local error there.");
  }
  if (study.spearman)
    lines.push_back("Predicted and measured drift of " + std::to_string(study.schedules.size()) +
                    " schedules: rank correlation " + short_decimal(*study.spearman) + ".");
  if (!lines.empty()) page.answer(lines);
}

void add_drift(HtmlPage& page, const LoopStudy& study) {
  const auto runs = whole_runs(study);
  if (runs.empty()) return;
  page.heading("Drift over denoising steps");
  Chart chart = chart_of("Drift of the latents against the unmodified run", step_axis("step"),
                         {.title = "|x - unmodified| / |unmodified|", .unit = "ratio"});
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series = report::make_series(runs[r].name, r);
    for (std::size_t step = 0; step < runs[r].drift.size(); ++step)
      add_point(series, static_cast<double>(step), runs[r].drift[step]);
    chart.series.push_back(std::move(series));
  }
  page.figure(draw(chart), "Root mean square over seeds; bands are 95 % intervals over seeds.");
}

void add_local(HtmlPage& page, const LoopStudy& study) {
  if (study.rows.empty()) return;
  page.heading("Local error of attention's output");
  page.paragraph(
      "|o - exact| / |exact| of each head, exact being FP32 attention on the same inputs; root "
      "mean "
      "square over heads, branches and seeds.");
  Chart steps = chart_of("By step", step_axis("step"), kRelative);
  Chart layers = chart_of("By layer", {.title = "layer", .whole = true}, kRelative);
  for (std::size_t r = 0; r < study.recipes.size(); ++r) {
    const auto add = [&](Chart& chart, const std::vector<std::optional<LoopMean>>& means) {
      Series series = report::make_series(study.recipes[r].name, r);
      for (std::size_t i = 0; i < means.size(); ++i)
        if (means[i]) add_point(series, static_cast<double>(i), *means[i]);
      chart.series.push_back(std::move(series));
    };
    add(steps, local_errors(study, static_cast<int>(r)));
    add(layers, layer_errors(study, static_cast<int>(r)));
  }
  const Row charts{draw(steps), draw(layers)};
  page.figures(charts, "Bands: 95 % intervals over seeds.");
}

void add_weights(HtmlPage& page, const LoopStudy& study) {
  if (!study.weights) return;
  page.heading("What an error counts in each step");
  page.paragraph(
      "Squared drift of the last latent over the squared local error, with one step perturbed at a "
      "time. karat tune --weights takes these numbers.");
  Chart chart = chart_of("Measured propagation weights", step_axis("step perturbed"),
                         {.title = "squared drift / squared error", .unit = "ratio"});
  Series series = report::make_series("all layers of the step", 0);
  std::vector<Row> rows;
  for (int step = 0; step < study.steps; ++step) {
    const LoopMean weight = step_weight(*study.weights, step);
    add_point(series, step, weight);
    rows.push_back({std::to_string(step), in_words(weight)});
  }
  chart.series.push_back(std::move(series));
  page.figure(draw(chart), "Band: 95 % interval over seeds.");
  Row header{"step", "weight"};
  const auto layers = static_cast<std::size_t>(study.layers);
  if (!study.weights->cell.empty() && layers <= kMostColumns)
    for (std::size_t layer = 0; layer < layers; ++layer) {
      header.push_back("layer " + std::to_string(layer));
      for (std::size_t step = 0; step < rows.size(); ++step)
        rows[step].push_back(short_decimal(study.weights->cell[step * layers + layer]));
    }
  page.begin_fold("Numbers");
  page.table(header, rows);
  page.end_fold();
}

std::string how_predicted(const std::optional<LoopPrediction>& prediction) {
  if (!prediction) return "";
  const std::string parts =
      prediction->per == LoopRunKind::cell ? "every layer of a step" : "every step";
  const std::string errors =
      prediction->errors == LoopErrors::aligned
          ? "over steps drifts add up, as if all errors pointed the same way."
          : "over steps squares add up, as if errors of different steps were independent.";
  return "Predicted: weight times squared local error of " + parts + "; " + errors;
}

void add_schedules(HtmlPage& page, const LoopStudy& study) {
  if (study.schedules.empty()) return;
  page.heading("Schedules");
  Chart chart = chart_of("Predicted and measured", {.title = "drift predicted", .unit = "ratio"},
                         {.title = "drift measured", .unit = "ratio"});
  chart.x.scale = report::Scale::logarithmic;
  Series dots = report::make_series("a schedule each", 0, report::Mark::dots);
  std::vector<Row> rows;
  for (const LoopSchedule& one : study.schedules) {
    rows.push_back({one.name, one.predicted ? short_decimal(*one.predicted) : "",
                    one.measured ? short_decimal(*one.measured) : ""});
    if (one.predicted && one.measured) dots.points.push_back({*one.predicted, *one.measured});
  }
  if (!dots.points.empty()) {
    chart.series.push_back(std::move(dots));
    page.figure(draw(chart), how_predicted(study.prediction));
  }
  page.table(Row{"schedule", "drift predicted", "drift measured"}, rows);
}

}  // namespace

std::string html_page(const LoopStudy& study, const report::Provenance& made_by) {
  HtmlPage page("A model in the loop", study.origin + "; " + video::to_string(study.grid) +
                                           " tokens, " + std::to_string(study.steps) + " steps, " +
                                           std::to_string(study.layers) + " layers, " +
                                           std::to_string(seed_count(study)) + " seeds");
  add_answer(page, study);
  add_drift(page, study);
  add_local(page, study);
  add_weights(page, study);
  add_schedules(page, study);
  page.heading("Limits");
  page.bullets(
      Row{"Drift says how far the latents moved, not how a video looks.",
          "Weights are of small perturbations of one model; training with a recipe moves them.",
          "Intervals cover the choice of seeds alone."});
  page.heading("Made by");
  page.code(made_by.command + "\nkarat " + made_by.version);
  return page.str();
}

}  // namespace karat::study
