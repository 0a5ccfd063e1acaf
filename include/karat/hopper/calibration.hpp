// A user's own measurements against the model: what is left of its error on one board.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {

/// One measured launch of a dense or causal kernel.
struct Measurement {
  PlanRequest request;
  Shape shape;
  double ms = 0;
};

/// Reads rows of CSV under a heading that names kernel, dtype (bf16, fp16 or fp8), batch, heads,
/// seqlen, head_dim and ms, and may name kv_heads, causal (0 or 1) and varlen (0 or 1), in any
/// order; other columns are ignored, but for one that is nearly called so (kv_head).
/// @throws Error(input_output) when the file cannot be read, Error(usage) with file, line and
/// column
///   for a value that is none
std::vector<Measurement> read_measurements(const std::filesystem::path& path);

/// The result of calibrate() with its errors, |ln(predicted / measured)|.
struct CalibrationReport {
  Calibration calibration;
  double before = 0;    ///< mean error of the model as it is
  double after = 0;     ///< mean error of the rows that were fitted
  double left_out = 0;  ///< mean error of every row when it is left out of the fit
};

/// Finds a clock and a launch constant for the board and a factor per kernel, format, head
/// dimension and causality: measured = factor x (launch + body / clock). The most likely values
/// where a row's noise has a spread of 5 %, the clock's logarithm one of 15 %, the launch's of 35
/// %, and a factor's lies around the model's own as Cauchy's distribution of scale 5 %: what few
/// rows say little about stays near 1, and what is far off is followed.
/// @throws Error(usage) without rows, for a kernel without a plan, for a row a hundred times off,
/// and
///   where half of the rows lie a factor of 1.6 and more from what was fitted to them
CalibrationReport calibrate(std::span<const Measurement> rows, const Machine& machine,
                            const Timing& timing);

/// Time of a launch on a board with a calibration; the launch's own without one. Factors are the
/// forward's: a backward has none.
double calibrated_us(const Machine& machine, const Plan& plan, const Shape& shape,
                     const LaunchTime& launch);

/// The board as a file for --gpu, the calibration in it.
/// @throws Error as load_machine()
std::string calibrated_board(const std::string& name_or_path, const Calibration& calibration);

}  // namespace karat::hopper
