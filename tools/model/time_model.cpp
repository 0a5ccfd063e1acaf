// What the time model's constants are fitted on and how well they do:
//
//   time_model table FOLDER              errors of every group of rows
//   time_model fit FOLDER                fits the "(fit)" constants
//   time_model left-out FOLDER           the same beside errors of sources left out of the fit:
//                                        the table of docs/time-model.md
//   time_model residuals FOLDER OUT.svg  errors of the H100's varlen rows by shape, and a drawing
//   time_model constants                 the table of constants of docs/time-model.md
//
// FOLDER holds h100_fa3_bf16_noncausal.csv and hopper_published.csv; nothing else is fitted on.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "accuracy.hpp"
#include "fit.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/report/chart.hpp"
#include "left_out.hpp"

namespace {

using namespace karat;
using namespace karat::hopper;

constexpr int kClimbs = 300;

void fit(const std::vector<MeasuredRow>& all) {
  Fit fit(all, "", Fit::Start::priors);
  fit.newton(kNewtonSteps);
  fit.climb(kClimbs);
  const Fit::Held held = fit.held();
  std::printf("| constant | value | spread | prior | its spread |\n|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < fit.values().size(); ++i) {
    const Fit::Free& f = fit.values()[i];
    std::printf("| `%s` | %.4g | %.2f | %.4g | %.2f |\n", std::string(f.prior->name).c_str(),
                *f.value, held.spread[i], f.prior->value, f.prior->spread);
  }
  std::printf("%zu rows\n", fit.rows());
  print_groups(groups(all, fit.model));
}

void print_left_out(const std::vector<MeasuredRow>& rows) {
  std::printf("%s%s\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", kColumns,
              kLeftOutColumns);
  std::string lost;
  for (const LeftOutSource& source : leave_sources_out(rows)) {
    for (const LeftOutGroup& g : source.groups) std::printf("%s\n", line_of(g).c_str());
    if (source.lost.empty()) continue;
    lost += "without " + source.name + " the spread grows by half or more of:";
    for (const std::string_view constant : source.lost) lost += " " + std::string(constant);
    lost += "\n";
  }
  std::printf("%s", lost.c_str());
}

void draw(const std::vector<MeasuredRow>& rows, const std::vector<double>& errors,
          const std::string& path) {
  report::Chart chart{
      .title = "ln(predicted / measured) over measured time, H100 SXM, FlashAttention-3 BF16",
      .x = {.title = "measured", .unit = "us", .scale = report::Scale::logarithmic},
      .y = {.title = "logarithm of the ratio, cut at 0.3", .unit = "nepers"},
      .width = 920};
  for (const int dim : {64, 72, 80, 0}) {
    report::Series series =
        report::make_series(dim == 0 ? "split keys" : "d = " + std::to_string(dim),
                            chart.series.size(), report::Mark::dots);
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (dim == (rows[i].splits_keys() ? 0 : rows[i].shape.head_dim))
        series.points.push_back({rows[i].us, std::clamp(errors[i], -0.3, 0.3)});
    chart.series.push_back(std::move(series));
  }
  files::write_file(path, report::draw(chart));
}

void residuals(const std::vector<MeasuredRow>& rows, const std::string& svg) {
  const Machine board = machine("H100");
  std::vector<double> errors;
  for (const MeasuredRow& row : rows)
    errors.push_back(std::log(predicted_us(row, board, {}) / row.us));
  struct Group {
    std::string name;
    std::function<bool(const MeasuredRow&)> holds;
  };
  std::vector<Group> groups;
  const auto whole = [](const MeasuredRow& r) { return !r.splits_keys() && r.us > 20; };
  groups.push_back({"all above 20 us", whole});
  for (const int dim : {64, 72, 80}) {
    groups.push_back({"d = " + std::to_string(dim),
                      [=](const MeasuredRow& r) { return whole(r) && r.shape.head_dim == dim; }});
  }
  constexpr std::array<std::int64_t, 6> kEdges = {0, 600, 1600, 4000, 12000, 1 << 20};
  for (std::size_t i = 0; i + 1 < kEdges.size(); ++i) {
    const auto low = kEdges[i], high = kEdges[i + 1];
    groups.push_back(
        {std::to_string(low) + " <= tokens < " + std::to_string(high), [=](const MeasuredRow& r) {
           return whole(r) && r.shape.queries >= low && r.shape.queries < high;
         }});
  }
  groups.push_back(
      {"up to 20 us", [](const MeasuredRow& r) { return !r.splits_keys() && r.us <= 20; }});
  groups.push_back({"split keys", [](const MeasuredRow& r) { return r.splits_keys(); }});
  std::printf(
      "| rows | number | mean absolute error | mean error | beyond 20 %% "
      "|\n|---|---|---|---|---|\n");
  for (const Group& group : groups) {
    PredictionErrors e;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (group.holds(rows[i])) e.add(std::exp(errors[i]), 1);
    }
    if (e.rows == 0) continue;
    std::printf("| %s | %d | %.1f %% | %+.1f %% | %d |\n", group.name.c_str(), e.rows,
                100 * e.mean(), 100 * e.bias(), e.beyond_20);
  }
  draw(rows, errors, svg);
}

void constants() {
  std::printf("| constant | value | unit | source |\n|---|---|---|---|\n");
  const Timing timing;
  for (const TimingConstant& c : timing_constants()) {
    std::printf("| `%s` | %.4g | %s | %s |\n", std::string(c.name).c_str(), timing.*c.member,
                std::string(c.unit).c_str(), std::string(c.source).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string verb = argc > 1 ? argv[1] : "";
    if (verb == "table" && argc == 3) {
      const std::vector<MeasuredRow> rows = all_rows(argv[2]);
      print_groups(groups(rows, model_of(rows)));
    } else if (verb == "fit" && argc == 3) {
      fit(all_rows(argv[2]));
    } else if (verb == "left-out" && argc == 3) {
      print_left_out(all_rows(argv[2]));
    } else if (verb == "residuals" && argc == 4) {
      residuals(varlen_rows(std::filesystem::path(argv[2]) / "h100_fa3_bf16_noncausal.csv"),
                argv[3]);
    } else if (verb == "constants") {
      constants();
    } else {
      std::fputs(
          "time_model constants | time_model table FOLDER | time_model fit FOLDER | "
          "time_model left-out FOLDER | time_model residuals FOLDER OUT.svg\n",
          stderr);
      return 2;
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "time_model: %s\n", error.what());
    return error.kind() == ErrorKind::usage ? 2 : 3;
  }
}
