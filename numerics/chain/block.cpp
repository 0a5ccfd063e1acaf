// One panel of columns and row block of a fast chain: steps, the kernels' arguments, and which rows
// the kernels leave to the scalar definition (NaN and Inf operands, accumulators near the end of
// f32).
#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <vector>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::numerics {
namespace {

using Block = MatrixView<float>;

/// Sets the processor's rounding mode toward zero for one kernel call.
class RoundTowardZero {
 public:
  RoundTowardZero() : before_(std::fegetround()) { std::fesetround(FE_TOWARDZERO); }
  ~RoundTowardZero() { std::fesetround(before_); }
  RoundTowardZero(const RoundTowardZero&) = delete;
  RoundTowardZero& operator=(const RoundTowardZero&) = delete;

 private:
  int before_;
};

/// Beyond this an f32 accumulator's guard power 2^(e+10) could overflow f32 lanes. E4M3 and E5M2
/// sums stay below 2^38, so only a caller's own accumulator can reach it.
constexpr float kLargestSplitF32 = 0x1p100f;

/// One aligned sum over the whole block.
void split_step(const Instruction& row, const StepArguments& s) {
  {
    const RoundTowardZero mode;
    lanes_of(row) == Lanes::split_f32 ? run_split_f32(s) : run_split_f64(s);
  }
  if (row.accumulator == FormatId::f16) run_round_f16(s, lanes_of(row));
}

/// Adds c to what the two emulated sums left in the accumulators.
void add_accumulators(const Instruction& row, const float* c, float* sums, std::size_t count) {
  if (row.accumulator == FormatId::f16) return run_add_f16(c, sums, count);
  for (std::size_t i = 0; i < count; ++i) {
    const float sum = sums[i] + c[i];
    sums[i] = std::isnan(sum) ? std::bit_cast<float>(nan_word(FormatId::f32)) : sum;
  }
}

/// The steps of k products; those that would hold nothing but padding are left out, which no bit
/// notices: a step that adds only zeros to a step's own result leaves it as it is.
void split_chain(const Instruction& row, std::size_t k, StepArguments s) {
  const auto step = static_cast<std::size_t>(row.step);
  const bool emulated = row.arithmetic == Arithmetic::emulated;
  const std::size_t end = emulated ? padded_k(row, k) : std::max(k, std::size_t{1});
  std::vector<float> c;
  for (std::size_t at = 0; at < end; at += step) {
    const bool first_half = emulated && at % row.k == 0;
    if (first_half) {
      c.assign(s.accumulators, s.accumulators + s.rows * kPanel);
      std::fill_n(s.accumulators, s.rows * kPanel, 0.0f);
    }
    s.length = step_length(row, k, at);
    split_step(row, s);
    if (emulated && !first_half) add_accumulators(row, c.data(), s.accumulators, s.rows * kPanel);
    s.a32 += step;
    s.a64 += step;
    s.a_exponent += step;
    s.schedule += step;
    s.same += 1;
    s.used += 1;
    s.b32 += 2 * step * kPanel;
    s.b64 += 2 * step * kPanel;
    s.b_exponent8 += step * kPanel;
    s.b_exponent16 += step * kPanel;
  }
}

/// Products of two int8 are at most 2^14, so 1024 of them are exact in f32 whatever the order.
constexpr std::size_t kExactIntegers = 1024;

/// Integers beyond that, with accumulators of their own.
void long_integer_chain(StepArguments s) {
  const std::size_t count = s.rows * kPanel, length = s.length;
  std::vector<std::int32_t> sums(count, 0);
  if (s.start == Start::from_d) {
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] = static_cast<std::int32_t>(encode(s.accumulators[i], FormatId::int32));
    }
  }
  s.start = Start::absent;
  for (std::size_t k = 0; k < length; k += kExactIntegers) {
    s.length = std::min(kExactIntegers, length - k);
    run_fused(s);
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] = static_cast<std::int32_t>(
          static_cast<std::uint32_t>(sums[i]) +
          static_cast<std::uint32_t>(static_cast<std::int32_t>(s.accumulators[i])));
    }
    s.a32 += kExactIntegers;
    s.b32 += kExactIntegers * kPanel;
  }
  for (std::size_t i = 0; i < count; ++i) s.accumulators[i] = static_cast<float>(sums[i]);
}

/// Per row whether the kernels cover it: finite operands, accumulators not too large.
void find_covered(const RowOperand::Packed& a, BlockPlace at, Start start, const float* sums,
                  bool* covered) {
  const Instruction& row = *a.instruction;
  const bool f32_lanes = lanes_of(row) == Lanes::split_f32 && row.accumulator == FormatId::f32;
  std::uint32_t largest[kRowBlock] = {};
  if (start != Start::absent && f32_lanes) run_largest_bits(sums, at.rows, largest);
  for (std::size_t i = 0; i < at.rows; ++i) {
    covered[i] = !a.special.data()[at.row + i] &&
                 largest[i] < std::bit_cast<std::uint32_t>(kLargestSplitF32);
  }
}

/// Copies elements, a line at a time.
void copy(MatrixView<const float> from, Block to) {
  for (std::size_t i = 0; i < from.rows; ++i) {
    const float* x = from.data + i * from.row_stride;
    float* y = to.data + i * to.row_stride;
    if (from.column_stride == 1 && to.column_stride == 1 && from.columns == kPanel) {
      // A size the compiler knows: for one it can only bound it emits slow string instructions.
      std::memcpy(y, x, kPanel * sizeof(float));
      continue;
    }
    for (std::size_t j = 0; j < from.columns; ++j) {
      y[j * to.column_stride] = x[j * from.column_stride];
    }
  }
}

void run_plain(const Instruction& row, StepArguments s, Block d, Scratch& scratch) {
  const bool integer = row.arithmetic == Arithmetic::integer;
  const bool long_integer =
      integer && (s.start == Start::from_d || s.length > kExactIntegers);
  // Whole vectors are written: only a full panel may go to D itself.
  const bool in_place = d.column_stride == 1 && d.columns == kPanel && !long_integer;
  const Block sums{scratch.accumulators, d.rows, d.columns, kPanel, 1};
  s.accumulators = in_place ? d.data : sums.data;
  s.accumulator_stride = in_place ? d.row_stride : kPanel;
  if (!in_place && d.columns < kPanel) std::fill_n(sums.data, d.rows * kPanel, 0.0f);
  if (!in_place && s.start == Start::from_d) copy(d, sums);
  if (long_integer) {
    long_integer_chain(s);
  } else if (row.arithmetic == Arithmetic::exact) {
    run_exact(s);
  } else {
    run_fused(s);
  }
  if (!in_place) copy(sums, d);
}

}  // namespace

void run_block(const RowOperand::Packed& a, const ColumnOperand::Packed& b, BlockPlace at,
               Start start, Block d, Scratch& scratch) {
  const Instruction& row = *a.instruction;
  const bool split = lanes_of(row) != Lanes::plain;
  const std::size_t a_at = at.row * a.padded, b_at = at.panel * a.padded * kPanel;
  const std::size_t halves = split ? 2 : 1, steps = a.padded / static_cast<std::size_t>(row.step);
  std::uint8_t exceeded[kRowBlock / 2] = {};
  const StepArguments s{.instruction = &row,
                        .rows = split ? at.rows + at.rows % 2 : at.rows,
                        .columns = at.columns,
                        .length = a.padded,
                        .a_stride = a.padded,
                        .a32 = a.f32.data() + a_at,
                        .a64 = a.f64.data() + a_at,
                        .a_exponent = a.exponent.data() + a_at,
                        .schedule = a.schedule.data() + a_at / 2,
                        .same = a.same.data() + at.row / 2 * steps,
                        .used = a.used.data() + at.row / 2 * steps,
                        .same_stride = steps,
                        .b32 = b.f32.data() + halves * b_at,
                        .b64 = b.f64.data() + halves * b_at,
                        .b_exponent8 = b.exponent8.data() + b_at,
                        .b_exponent16 = b.exponent16.data() + b_at,
                        .accumulators = scratch.accumulators,
                        .accumulator_stride = kPanel,
                        .start = start,
                        .exceeded = exceeded,
                        .sums32 = scratch.sums32,
                        .sums64 = scratch.sums64};
  const Block block{&d(at.row, at.panel * kPanel), at.rows, at.columns, d.row_stride,
                    d.column_stride};
  if (!split) return run_plain(row, s, block, scratch);

  const Block sums{scratch.accumulators, at.rows, at.columns, kPanel, 1};
  std::memset(sums.data, 0, s.rows * kPanel * sizeof(float));
  if (start == Start::from_d) {
    copy(block, sums);
    if (row.accumulator == FormatId::f16) {  // D's f32 may lie between two of them
      std::fill_n(scratch.sums32, s.rows * kPanel, 0.0f);
      run_add_f16(scratch.sums32, sums.data, s.rows * kPanel);
    }
  }
  bool covered[kRowBlock];
  find_covered(a, at, start, sums.data, covered);
  split_chain(row, a.k, s);
  const bool overflows = row.accumulator == FormatId::f32;
  for (std::size_t i = 0; i < at.rows; ++i) {
    if (overflows && exceeded[i / 2]) covered[i] = false;
    if (!covered[i]) run_scalar(a, b, at.row + i, 1, at.panel * kPanel, at.columns, start, d);
  }
  // A negative sum that was cut to zero is -0.
  run_store(sums.data, covered, block);
}

}  // namespace karat::numerics
