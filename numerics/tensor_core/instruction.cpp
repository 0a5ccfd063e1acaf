// The instruction table: every name, its parameters and what they rest on.
// Sources: captures by Khattak and Mikaitis (MATLAB-tensor-core), the models of MMA-Sim.
#include "karat/numerics/tensor_core/mixed.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::numerics {
namespace {

using enum Arithmetic;
using enum Evidence;
using F = FormatId;
constexpr auto kRz = Rounding::toward_zero;
constexpr auto kRne = Rounding::nearest_even;

constexpr std::string_view kQgmma =
    "20000 captured rows with c = 0 (Khattak and Mikaitis, MATLAB-tensor-core); accumulator input "
    "by a chain of 1/16 that stalls at exactly 64";
constexpr std::string_view kQgmmaE5m2 =
    "published captures of the same data path (Khattak and Mikaitis); none of them for E5M2 is "
    "among this project's rows";
constexpr std::string_view kQgmmaMixed =
    "the data path of hopper.wgmma.e4m3.f32, each operand with its own format's smallest exponent; "
    "no capture of mixed operands known";
constexpr std::string_view kQgmmaF16 = "MMA-Sim's model; no capture of the f16 accumulator known";
constexpr std::string_view kHmma = "20000 captured rows with c (Khattak and Mikaitis)";
constexpr std::string_view kHmmaF16 = "10000 captured rows (Khattak and Mikaitis)";
constexpr std::string_view kWgmmaF16 = "taken over from mma.sync, which is captured; wgmma is not";
constexpr std::string_view kTf32 = "MMA-Sim's model; only the k4 mma.sync form is captured";
constexpr std::string_view kEmulated =
    "40000 captured rows: mma.sync FP8 on sm_90 is conversions, two HMMA and an addition";
constexpr std::string_view kQmma = "20000 captured rows with c (Khattak and Mikaitis)";
constexpr std::string_view kQmmaF16 = "10000 captured rows with c (Khattak and Mikaitis)";
constexpr std::string_view kTcgen05 = "frozen words published with MMA-Sim";
constexpr std::string_view kImma = "frozen words published with MMA-Sim; exact sum that wraps";

/// OUT and RND follow from the accumulator: f16 takes 10 bits rounded to nearest even, f32 what the
/// grid holds, 23 at the most, cut off.
constexpr Instruction sum(std::string_view name, F input, F accumulator, int k, int step,
                          int fraction, int floor, Evidence evidence, std::string_view note) {
  const bool f16 = accumulator == F::f16;
  return {name, aligned_sum, input, input, accumulator, k, step, fraction,
          f16 ? 10 : std::min(fraction, 23), f16 ? kRne : kRz, floor, evidence, note};
}

/// FP8 mma.sync of sm_90: conversions, then two sums of 16 products in f16.
constexpr Instruction emulation(std::string_view name, F input, F accumulator, int floor) {
  Instruction row = sum(name, input, accumulator, 32, 16, 25, floor, hardware_rows, kEmulated);
  row.arithmetic = emulated;
  row.multiplied = F::f16;
  return row;
}

constexpr Instruction kInstructions[] = {
    // sum: name, input, accumulator, k, L, F, FLOOR, evidence, note
    sum("hopper.wgmma.e4m3.f32", F::e4m3, F::f32, 32, 32, 13, kNoFloor, hardware_rows, kQgmma),
    sum("hopper.wgmma.e5m2.f32", F::e5m2, F::f32, 32, 32, 13, kNoFloor, hardware_rows, kQgmmaE5m2),
    sum("hopper.wgmma.e4m3.e5m2.f32", F::e4m3, F::f32, 32, 32, 13, kNoFloor, model_only,
        kQgmmaMixed),
    sum("hopper.wgmma.e5m2.e4m3.f32", F::e5m2, F::f32, 32, 32, 13, kNoFloor, model_only,
        kQgmmaMixed),
    sum("hopper.wgmma.e4m3.f16", F::e4m3, F::f16, 32, 32, 13, kNoFloor, model_only, kQgmmaF16),
    sum("hopper.wgmma.e5m2.f16", F::e5m2, F::f16, 32, 32, 13, kNoFloor, model_only, kQgmmaF16),
    sum("hopper.wgmma.bf16.f32", F::bf16, F::f32, 16, 16, 25, -133, hardware_rows, kHmma),
    sum("hopper.wgmma.f16.f32", F::f16, F::f32, 16, 16, 25, -133, hardware_rows, kHmma),
    sum("hopper.wgmma.f16.f16", F::f16, F::f16, 16, 16, 25, -21, model_only, kWgmmaF16),
    sum("hopper.wgmma.tf32.f32", F::tf32, F::f32, 8, 8, 25, -133, model_only, kTf32),
    {"hopper.wgmma.s8.s32", integer, F::int8, F::int8, F::int32, 32, 32, 0, 31, kRz, kNoFloor,
     hardware_rows, kImma},
    emulation("hopper.mma.e4m3.f32", F::e4m3, F::f32, -133),
    emulation("hopper.mma.e5m2.f32", F::e5m2, F::f32, -133),
    emulation("hopper.mma.e4m3.f16", F::e4m3, F::f16, -21),
    emulation("hopper.mma.e5m2.f16", F::e5m2, F::f16, -21),
    sum("hopper.mma.bf16.f32", F::bf16, F::f32, 16, 16, 25, -133, hardware_rows, kHmma),
    sum("hopper.mma.f16.f32", F::f16, F::f32, 16, 16, 25, -133, hardware_rows, kHmma),
    sum("hopper.mma.f16.f16", F::f16, F::f16, 16, 16, 25, -21, hardware_rows, kHmmaF16),
    sum("ada.mma.e4m3.f32", F::e4m3, F::f32, 32, 16, 13, kNoFloor, hardware_rows, kQmma),
    sum("ada.mma.e5m2.f32", F::e5m2, F::f32, 32, 16, 13, kNoFloor, hardware_rows, kQmma),
    sum("ada.mma.e4m3.f16", F::e4m3, F::f16, 32, 16, 13, kNoFloor, hardware_rows, kQmmaF16),
    sum("ada.mma.e5m2.f16", F::e5m2, F::f16, 32, 16, 13, kNoFloor, hardware_rows, kQmmaF16),
    sum("ada.mma.bf16.f32", F::bf16, F::f32, 16, 8, 24, -132, hardware_rows, kHmma),
    sum("ada.mma.f16.f32", F::f16, F::f32, 16, 8, 24, -132, hardware_rows, kHmma),
    sum("ada.mma.f16.f16", F::f16, F::f16, 16, 8, 24, -20, hardware_rows, kHmma),
    sum("ampere.mma.bf16.f32", F::bf16, F::f32, 16, 8, 24, -132, hardware_rows, kHmma),
    sum("ampere.mma.f16.f32", F::f16, F::f32, 16, 8, 24, -132, hardware_rows, kHmma),
    {"ampere.mma.s8.s32", integer, F::int8, F::int8, F::int32, 32, 32, 0, 31, kRz, kNoFloor,
     hardware_rows, kImma},
    sum("blackwell.tcgen05.e4m3.f32", F::e4m3, F::f32, 32, 32, 25, kNoFloor, hardware_rows,
        kTcgen05),
    sum("blackwell.tcgen05.e5m2.f32", F::e5m2, F::f32, 32, 32, 25, kNoFloor, hardware_rows,
        kTcgen05),
    sum("blackwell.tcgen05.e4m3.f16", F::e4m3, F::f16, 32, 32, 25, kNoFloor, hardware_rows,
        kTcgen05),
    sum("blackwell.tcgen05.e5m2.f16", F::e5m2, F::f16, 32, 32, 25, kNoFloor, hardware_rows,
        kTcgen05),
    {"f32.fma", fused, F::f32, F::f32, F::f32, 1, 1, 0, 23, kRne, kNoFloor, definition,
     "one IEEE fused multiply-add per k, ascending; subnormals kept"},
    {"exact", exact, F::f32, F::f32, F::f32, 1, 1, 0, 23, kRne, kNoFloor, definition,
     "exact products summed in f64, ascending k; one rounding to f32 at the end"},
};

/// Columns of the rows whose `input` is their rows' alone.
constexpr std::pair<std::string_view, F> kMixedColumns[] = {
    {"hopper.wgmma.e4m3.e5m2.f32", F::e5m2},
    {"hopper.wgmma.e5m2.e4m3.f32", F::e4m3},
};

}  // namespace

std::span<const Instruction> instructions() { return kInstructions; }

const Instruction& instruction(std::string_view name) {
  for (const Instruction& row : kInstructions) {
    if (row.name == name) return row;
  }
  throw Error(ErrorKind::usage, "instruction '" + std::string(name) + "'", "no such instruction",
              "did you mean '" +
                  nearest_name(name, kInstructions, [](const auto& row) { return row.name; }) +
                  "'?");
}

std::string_view name(const Instruction& instruction) { return instruction.name; }
FormatId input_format(const Instruction& instruction) { return instruction.input; }
FormatId column_format(const Instruction& instruction) {
  for (const auto& [name, columns] : kMixedColumns)
    if (instruction.name == name) return columns;
  return instruction.input;
}
FormatId multiplied_columns(const Instruction& instruction) {
  const FormatId columns = column_format(instruction);
  return columns == instruction.input ? instruction.multiplied : columns;
}
FormatId accumulator_format(const Instruction& instruction) { return instruction.accumulator; }
int k_group(const Instruction& instruction) { return instruction.k; }
Evidence evidence(const Instruction& instruction) { return instruction.evidence; }
std::string_view evidence_note(const Instruction& instruction) { return instruction.note; }

}  // namespace karat::numerics
