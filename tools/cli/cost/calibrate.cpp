// Implementation of cost/calibrate.hpp.
#include "cost/calibrate.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/hopper/calibration.hpp"
#include "karat/hopper/request.hpp"
#include "karat/report/text.hpp"
#include "options.hpp"

namespace karat::cli {

void declare_calibration(CommandLine& line) {
  line.add({{"calibrate", "ROWS.csv of your own measurements of --gpu: writes a board"},
            {"o,out", "the calibrated board, FILE.json for --gpu"}},
           "calibration");
}

int calibrate_board(const cxxopts::ParseResult& given) {
  refuse_beside(given, "calibrate", hopper::model_fields());
  refuse_beside(given, "calibrate", hopper::shape_fields());
  for (const auto& field : hopper::kernel_fields())
    if (field.name != "gpu") refuse_beside(given, "calibrate", {option_name(field)});
  refuse_beside(given, "calibrate",
                {"recipe", "recipes", "schedule", "tile", "window", "compare", "baseline", "errors",
                 "sweep", "windows", "tiles", "csv", "markdown", "trace", "svg"});
  const std::string gpu = text_of(given, "gpu").value_or("H100");
  const auto out = text_of(given, "out");
  if (!out || !out->ends_with(".json"))
    throw Error(ErrorKind::usage, "--out", "is missing or no FILE.json",
                "name the board that --calibrate writes");
  const hopper::CalibrationReport report =
      calibrate(hopper::read_measurements(*text_of(given, "calibrate")), hopper::load_machine(gpu),
                hopper::Timing{});
  const hopper::Calibration& c = report.calibration;
  files::write_file(*out, hopper::calibrated_board(gpu, c));
  if (given.count("json") > 0) {
    print_json("cost", 1,
               {{"rows", c.rows},
                {"before", report.before},
                {"after", report.after},
                {"left_out", report.left_out}});
    return match;
  }
  std::cout << report::print(
      "%d rows: mean error %.1f %% before, %.1f %% after, %.1f %% of rows left out of the fit\n"
      "clock x %.3f, launch x %.3f\n",
      c.rows, 100 * report.before, 100 * report.after, 100 * report.left_out, c.clock, c.launch);
  for (const hopper::GroupFactor& g : c.factors)
    std::cout << report::print("%s, %d-byte Q, head dimension %d%s: time x %.3f (%d rows)\n",
                               g.kernel.c_str(), g.bytes, g.head_dim, g.causal ? ", causal" : "",
                               g.factor, g.rows);
  return match;
}

}  // namespace karat::cli
