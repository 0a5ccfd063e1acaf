// What a GPU wrote against what the emulator computes: rows tried, rows equal, and why the first
// difference differs. A capture is a folder that tools/hopper/capture.sh made (docs/evidence.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "karat/evidence/interpolator.hpp"

namespace karat::evidence {

/// Where the words of a capture come from.
enum class Origin {
  hardware,     ///< tools/hopper/capture.sh on a GPU
  public_rows,  ///< text files of rows captured and published by others
  emulator,     ///< written by emulate_capture(): proves the path, says nothing about silicon
};

/// One file's contribution to a finding.
struct Part {
  std::string file;
  std::string what;  ///< "2^20 random cases", "chains of 16", "deciders"
  std::uint64_t rows = 0;
  std::uint64_t equal = 0;  ///< rows known to be equal; a block with a wrong hash counts as unequal
  std::string difference;   ///< the first one, explained; empty when all rows are equal
};

/// Everything a capture says about one instruction (or one stage of the attention kernel).
struct Finding {
  std::string instruction;
  std::uint64_t rows = 0;
  std::uint64_t equal = 0;
  std::vector<Part> parts;
  std::string note;  ///< why nothing was compared, or what a comparison rests on

  /// The first part's difference that is not empty.
  std::string first_difference() const;
};

/// A rate or a time measured on the GPU, shown but not judged.
struct Timing {
  std::string name;
  double value = 0;
  std::string unit;
};

struct Report {
  Origin origin = Origin::hardware;
  std::vector<std::pair<std::string, std::string>> machine;  ///< GPU, driver, toolkit, clocks, seed
  std::vector<Finding> findings;                             ///< in the order of first appearance
  std::vector<Timing> timings;
  std::optional<QuadraticTable> ex2;  ///< fitted to the capture's octave, reproducing all of it
  std::optional<QuadraticTable> rcp;

  std::uint64_t rows() const;
  std::uint64_t equal() const;
  bool all_equal() const { return rows() == equal(); }
};

struct Options {
  int threads = 0;                                   ///< 0: all the machine offers
  std::function<void(const std::string&)> progress;  ///< called with each file's name
};

/// Reads a capture's manifest, checks every file's SHA-256, runs the emulator over it.
/// A folder without manifest.json but with rows as text files is read as public rows.
/// @throws Error(input_output) for a missing, damaged or misshapen file, naming it
Report examine(const std::filesystem::path& folder, const Options& options = {});

/// [{"instruction", "rows", "equal", "parts", "first_difference"?, "note"?}, ...]
nlohmann::ordered_json to_json(const Report& report);
/// One self-contained page.
std::string to_html(const Report& report);

/// The CPU twins of the GPU programs in tools/hopper write the same files.
/// Sizes of a synthetic capture; the defaults are those of the GPU programs.
struct EmulateOptions {
  std::uint64_t seed = 1;
  std::uint32_t tiles = 2048;  ///< of 512 cases, per instruction
  std::uint32_t chain_tiles = 8;
  std::uint32_t sweep_step = 1;  ///< every n-th block of 2^20 inputs
  int threads = 0;
  std::vector<std::string> only;  ///< files to write, named without ending; empty: all
  /// In steps of a tile and in swept blocks; called from any worker.
  std::function<void(std::size_t done, std::size_t total)> progress = {};
};

/// Made-up coefficients of the published structure: quadratics through three points of each
/// segment, rounded. They stand in for the measured ones, which do not exist yet; a GPU's values
/// differ.
QuadraticTable synthetic_ex2_table();
QuadraticTable synthetic_rcp_table();

/// Writes a whole capture with manifest "origin": "emulator". @throws Error(input_output)
void emulate_capture(const std::filesystem::path& folder, const EmulateOptions& options = {});

}  // namespace karat::evidence
