// A Hopper GPU as figures: what the time model knows about a board. Presets are JSON files compiled
// in from src/hopper/machines; a user's own file has the same form, see docs/time-model.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace karat::hopper {

/// What calibrate() found for one kernel, element width of Q, head dimension and causality.
struct GroupFactor {
  std::string kernel;
  int bytes = 2;
  int head_dim = 128;
  bool causal = false;
  double factor = 1;  ///< measured / predicted
  int rows = 0;
};
/// A board's own measurements against the model, see calibration.hpp.
struct Calibration {
  double clock = 1;   ///< the board's clock / the model's
  double launch = 1;  ///< likewise of the launch constant
  double spread = 0;  ///< root mean square of ln(predicted / measured) of rows left out of the fit
  int rows = 0;
  std::vector<GroupFactor> factors;
};

/// Rates are per SM and clock unless said otherwise. Every number of a machine file carries its
/// unit and its source; the struct keeps the values.
struct Machine {
  std::string name;
  int sms = 0;
  double clock_mhz = 0;  ///< sustained under load, after the power limit: the clock all times use
  double short_launch_clock_mhz = 0;  ///< before the power limit bites (launches far below 1 ms)
  double spec_clock_mhz = 0;          ///< behind the dense TFLOPS that the vendor quotes
  double boost_clock_mhz = 0;
  double bf16_flop_per_clk = 0;    ///< dense; a multiply-add counts two
  double fp8_flop_per_clk = 0;     ///< E4M3, E5M2 and INT8
  double mufu_per_clk = 0;         ///< ex2 results
  double fp32_per_clk = 0;         ///< FP32 additions, multiplications or fused pairs
  double alu_per_clk = 0;          ///< comparisons, minima and maxima, integer and byte moves
  double conversions_per_clk = 0;  ///< FP32 to a narrower format
  double smem_bytes_per_clk = 0;
  double smem_kib_per_cta = 0;
  int registers = 0;  ///< 32-bit registers per SM
  int max_warps = 0;
  int max_ctas = 0;
  double l2_mib = 0;
  double l2_gb_per_s = 0;  ///< whole board
  double hbm_gib = 0;
  double hbm_gb_per_s = 0;  ///< whole board
  double tdp_w = 0;
  std::optional<Calibration> calibration;

  /// Dense peak of the board as the vendor quotes it, in TFLOP/s.
  double bf16_peak_tflops() const { return sms * bf16_flop_per_clk * spec_clock_mhz * 1e-6; }
  double fp8_peak_tflops() const { return sms * fp8_flop_per_clk * spec_clock_mhz * 1e-6; }
};

/// Parses and checks a machine file. @throws Error(usage) naming `subject` and the field that is
/// missing, not a number or absurd (limits in the table of machine.cpp).
Machine parse_machine(std::string_view json, const std::string& subject);

/// Preset by name, case and punctuation ignored: "H100" means the SXM board.
/// @throws Error(usage) with the nearest name for an unknown one.
Machine machine(std::string_view name);

/// The file behind a preset's name or a path. @throws Error as load_machine()
std::string machine_text(const std::string& name_or_path);

/// Names of the presets, in the order of the files.
std::vector<std::string> machine_names();

/// `name_or_path` is a preset or, when it ends in ".json", a file of the user's.
/// @throws Error(usage | input_output)
Machine load_machine(const std::string& name_or_path);

}  // namespace karat::hopper
