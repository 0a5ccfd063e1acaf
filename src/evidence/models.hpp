// Private: what comparison and emulation share: tensor-core steps on the operands of a capture, and
// functions of one f32, swept over all bit patterns in blocks of 2^20.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/evidence/inputs.hpp"
#include "karat/evidence/interpolator.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence {

/// A captured instruction as the emulator knows it.
struct StepModel {
  const numerics::Instruction* instruction = nullptr;
  numerics::Format word;  ///< what an operand is given in: f32 for TF32, else the input format
  int k = 0;

  /// The emulator's input code of an operand word: TF32 drops the low 13 bits.
  std::uint32_t code(std::uint32_t operand_word) const;
  std::vector<std::uint32_t> codes(std::span<const std::uint32_t> operand_words) const;
};

/// Nothing for an instruction that the emulator does not have.
std::optional<StepModel> step_model(const std::string& instruction);

/// D of every case of every tile, after each of `lengths` instructions: d[length][case].
/// @param stepped called after every instruction of a tile, from any worker
std::vector<std::vector<std::uint32_t>> run_tiles(const StepModel& model, const SeededTiles& source,
                                                  std::uint32_t tiles,
                                                  const std::vector<std::uint32_t>& lengths,
                                                  int threads,
                                                  const std::function<void()>& stepped = {});

/// Operands of a case, as words.
struct CaseOperands {
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0;
};
CaseOperands case_operands(const StepModel& model, const SeededTiles& source, std::uint32_t number);

/// Sums of fingerprints, one per tile.
std::vector<std::uint64_t> tile_hashes(const std::vector<std::uint32_t>& d);

inline constexpr std::string_view kConversion = "cvt.rn.satfinite.e4m3x2.f32";
inline constexpr std::string_view kConversionF16 = "cvt.rn.satfinite.e4m3x2.f16x2";
inline constexpr std::string_view kEx2 = "ex2.approx.ftz.f32";
inline constexpr std::string_view kRcp = "rcp.approx.ftz.f32";

/// A function of a coefficient table; empty without one.
using Function = std::function<float(float)>;
Function ex2_function(const std::optional<QuadraticTable>& table);
Function rcp_function(const std::optional<QuadraticTable>& table);

/// Results for the inputs first, first + 1, ... (bit patterns).
using Sweep = std::function<void(std::uint32_t first, std::span<std::uint32_t> results)>;

/// Nothing when the emulator cannot say: the instruction is unknown or its table absent.
std::optional<Sweep> sweep_model(const std::string& instruction,
                                 const std::optional<QuadraticTable>& ex2,
                                 const std::optional<QuadraticTable>& rcp);

struct SweptBlock {
  std::uint64_t hash = 0;
  std::uint32_t samples[kSamples] = {};
};
SweptBlock sweep_block(const Sweep& sweep, std::uint32_t block);

/// Codes of all f16, as the conversion instruction writes them.
std::vector<std::uint8_t> f16_conversions();

}  // namespace karat::evidence
