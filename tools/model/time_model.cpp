// time_model fit ROWS.csv [even|odd]      fits the "(fit)" constants on all rows or on one half
// time_model residuals ROWS.csv OUT.svg   prints errors by shape and draws predicted / measured
// time_model constants                    prints the table of constants of docs/time-model.md
// ROWS.csv is h100_fa3_bf16_noncausal.csv. Nothing else is fitted on.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "karat/files/atomic_file.hpp"
#include "karat/report/chart.hpp"
#include "measured.hpp"

namespace {

using namespace karat;
using namespace karat::hopper;

/// Mean absolute error of the rows above 20 us, plus a twentieth of that of the split ones.
double objective(const std::vector<MeasuredRow>& rows, const Machine& machine,
                 const Timing& timing) {
  PredictionErrors whole, split;
  for (const MeasuredRow& row : rows) {
    if (!row.splits_keys() && row.us <= 20) continue;
    (row.splits_keys() ? split : whole).add(predicted_us(row, machine, timing) / row.us - 1);
  }
  return whole.mean() + 0.05 * split.absolute / std::max(1, split.rows);
}

/// Coordinate descent over the sustained clock and every constant marked "(fit)".
void fit(std::vector<MeasuredRow> rows, const std::string& half) {
  if (half == "even" || half == "odd") {
    std::vector<MeasuredRow> kept;
    for (std::size_t i = half == "odd"; i < rows.size(); i += 2) kept.push_back(rows[i]);
    rows = kept;
  }
  Machine board = machine("H100");
  Timing timing;
  struct Free {
    std::string_view name;
    double* value;
    double step = 0.06;
  };
  std::vector<Free> free{{"clock_mhz", &board.clock_mhz}};
  for (const TimingConstant& c : timing_constants()) {
    if (c.source.starts_with("(fit)")) free.push_back({c.name, &(timing.*c.member)});
  }
  double best = objective(rows, board, timing);
  for (int round = 0; round < 18; ++round) {
    for (Free& f : free) {
      const double before = *f.value;
      bool better = false;
      for (const double sign : {1.0, -1.0}) {
        *f.value = before * (1 + sign * f.step);
        const double error = objective(rows, board, timing);
        if (error < best) {
          best = error, better = true;
          break;
        }
      }
      if (!better) *f.value = before, f.step *= 0.6;
    }
  }
  for (const Free& f : free) std::printf("%-22s %.4g\n", std::string(f.name).c_str(), *f.value);
  std::printf("objective %.5f over %zu rows\n", best, rows.size());
}

void draw(const std::vector<MeasuredRow>& rows, const std::vector<double>& errors,
          const std::string& path) {
  report::Chart chart{
      .title = "Predicted / measured - 1 over measured time, H100 SXM, FlashAttention-3 BF16",
      .x = {.title = "measured us", .scale = report::Scale::logarithmic},
      .y = {.title = "error, cut at 0.3"},
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
  for (const MeasuredRow& row : rows) errors.push_back(predicted_us(row, board, {}) / row.us - 1);
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
      if (group.holds(rows[i])) e.add(errors[i]);
    }
    if (e.rows == 0) continue;
    std::printf("| %s | %d | %.1f %% | %+.1f %% | %d |\n", group.name.c_str(), e.rows,
                100 * e.mean(), 100 * e.signed_sum / e.rows, e.beyond_20);
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
    if (verb == "fit" && argc >= 3) {
      fit(measured_rows(argv[2]), argc > 3 ? argv[3] : "all");
    } else if (verb == "residuals" && argc == 4) {
      residuals(measured_rows(argv[2]), argv[3]);
    } else if (verb == "constants") {
      constants();
    } else {
      std::fputs(
          "time_model constants | time_model fit ROWS.csv [even|odd] | time_model residuals "
          "ROWS.csv OUT.svg\n",
          stderr);
      return 2;
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "time_model: %s\n", error.what());
    return error.kind() == ErrorKind::usage ? 2 : 3;
  }
}
