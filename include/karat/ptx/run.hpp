// Running a kernel's PTX on the CPU, with the tensor cores' and special functions' own arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/files/tensor.hpp"
#include "karat/ptx/launch.hpp"
#include "karat/ptx/timeline.hpp"

namespace karat::ptx {

/// What the bits of an instruction rest on.
enum class Ground : std::uint8_t {
  definition,     ///< PTX defines every bit
  hardware_rows,  ///< equal to results captured on GPUs
  supported,      ///< a model with strong support, see docs/evidence.md
  stand_in,       ///< a model that no capture confirms
};
std::string_view ground_name(Ground ground);

struct InstructionCount {
  std::string opcode;
  std::uint64_t places = 0;  ///< in the kernel's text
  std::uint64_t warps = 0;   ///< times a warp ran it
  Ground ground = Ground::definition;
};

/// Accesses of global memory that a search for hazards did not look at. Where there are any, that
/// it found nothing says less.
struct NotLookedAt {
  std::uint64_t in_clusters = 0;  ///< not, or only in part, compared with others of the cluster
  std::uint64_t between_clusters = 0;  ///< nor with those of other clusters; once a page of 4 KiB
  /// Loads, stores or atomics of the kernel may order warps or clusters through global memory,
  /// which is not followed: none was looked at.
  bool orders_by_memory = false;

  bool any() const { return in_clusters > 0 || between_clusters > 0; }
};

struct Outcome {
  /// One line on what the kernel did wrong (a wild address, a deadlock ...); the outputs are then
  /// what was written until then.
  std::optional<std::string> fault;
  /// With Launch::hazards, one line for each pair of instructions of the first CTA that has any:
  /// the access, its warp and address, and the other access.
  std::vector<std::string> hazards;
  HazardSearch searched = HazardSearch::off;  ///< Launch::hazards
  NotLookedAt not_looked_at;                  ///< of a search
  files::Tensors outputs;
  std::vector<InstructionCount> instructions;  ///< those that ran, most frequent first
  std::uint64_t warp_instructions = 0;
  std::optional<Timeline> timeline;
  std::uint64_t fused = 0;  ///< pairs of mul and add that were joined

  /// The weakest ground of all instructions that ran.
  Ground ground() const;
};

/// Runs a launch. The same bits for every number of threads: CTAs of a kernel with atomics on
/// global memory run one after the other.
/// @throws Error(input_output) with the line of the PTX where it cannot be read or uses what is not
///         supported, before anything has run; Error(usage) for a launch the kernel cannot take
Outcome run(Launch launch);

/// Fields as docs/json.md says.
files::Json to_json(const Outcome& outcome);
/// What a search did not look at, in a sentence; empty where that is nothing.
std::string to_text(const NotLookedAt& not_looked_at);
/// The fidelity report for people, and what a search came to.
std::string to_text(const Outcome& outcome);

}  // namespace karat::ptx
