// Private: tensor-core steps on the operands of a capture, shared by comparison and emulation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "karat/evidence/inputs.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence {

/// A captured instruction as the emulator knows it.
struct StepModel {
  const numerics::Instruction* instruction = nullptr;
  numerics::Format word;  ///< what an operand is given in: f32 for TF32, else the input format
  int k = 0;

  /// The emulator's input code of an operand word: TF32 drops the low 13 bits.
  std::uint32_t code(std::uint32_t operand_word) const;
};

/// Nothing for an instruction that the emulator does not have.
std::optional<StepModel> step_model(const std::string& instruction);

/// D of every case of every tile, after each of `lengths` instructions: d[length][case].
std::vector<std::vector<std::uint32_t>> run_tiles(const StepModel& model, const SeededTiles& source,
                                                  std::uint32_t tiles,
                                                  const std::vector<std::uint32_t>& lengths,
                                                  int threads);

/// Sums of fingerprints, one per tile.
std::vector<std::uint64_t> tile_hashes(const std::vector<std::uint32_t>& d);

}  // namespace karat::evidence
