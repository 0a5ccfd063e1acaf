// chain(): shapes, the order of panels, row blocks and steps, and the rare values that the kernels
// leave to the scalar definition (NaN and Inf operands, accumulators near the end of f32).
#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "karat/numerics/chain_kernels.hpp"
#include "karat/numerics/convert.hpp"
#include "karat/numerics/error.hpp"
#include "karat/numerics/step.hpp"

namespace karat::numerics {
namespace {

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

std::uint32_t accumulator_bits(const Instruction& row, float x) {
  switch (row.accumulator) {
    case FormatId::f16: return encode(x, FormatId::f16, {.overflow = Overflow::infinity});
    case FormatId::int32: return encode(x, FormatId::int32);
    default: return std::bit_cast<std::uint32_t>(x);
  }
}

float accumulator_value(const Instruction& row, std::uint32_t bits) {
  if (row.accumulator == FormatId::f32) return std::bit_cast<float>(bits);
  const float x = decode(bits, row.accumulator);
  return std::isnan(x) ? std::bit_cast<float>(nan_word(FormatId::f32)) : x;
}

Factor factor_of(const Instruction& row, float x) {
  const Policy exact{.rounding = Rounding::toward_zero, .overflow = Overflow::infinity};
  return multiplied_factor(row, encode(x, row.input, exact));
}

/// Factors of one row or column in the order of k.
template <typename Packed>
void gather(const Packed& p, std::size_t index, std::vector<Factor>& factors) {
  std::vector<float> values(p.padded);
  p.unpack(index, values.data());
  factors.resize(p.k);
  for (std::size_t k = 0; k < p.k; ++k) {
    factors[k] = factor_of(*p.instruction, values[chain_position(*p.instruction, k)]);
  }
}

using Block = MatrixView<float>;

/// The scalar definition on rows [row, row + rows) and columns [column, column + columns).
void scalar_block(const RowOperand::Packed& a, const ColumnOperand::Packed& b, std::size_t row,
                  std::size_t rows, std::size_t column, std::size_t columns, Start start,
                  Block d) {
  const Instruction& instruction = *a.instruction;
  std::vector<std::vector<Factor>> y(columns);
  for (std::size_t j = 0; j < columns; ++j) gather(b, column + j, y[j]);
  std::vector<Factor> x;
  for (std::size_t i = row; i < row + rows; ++i) {
    gather(a, i, x);
    for (std::size_t j = 0; j < columns; ++j) {
      float& place = d(i, column + j);
      const std::uint32_t c =
          start == Start::absent ? 0 : accumulator_bits(instruction, place);
      place = accumulator_value(instruction, chain_factors(instruction, x, y[j], c));
    }
  }
}

/// Accumulators of one panel and row block.
struct Scratch {
  alignas(64) float sums[kRowBlock * kPanel];
  alignas(64) float before[kRowBlock * kPanel];
  alignas(64) double exact[kRowBlock * kPanel];
  alignas(64) std::int32_t integers[kRowBlock * kPanel];
};

/// The exact sum of a step as an f16 accumulator, widened; c is the step's accumulator input.
/// A sum that is not finite belongs to a row with special operands, which is computed again.
float round_to_f16_accumulator(const Instruction& row, double sum, float c) {
  if (std::isinf(c)) return c;
  if (std::isnan(c) || !std::isfinite(sum)) return std::bit_cast<float>(nan_word(FormatId::f32));
  if (sum == 0) return 0;
  int exponent;
  const double significand = std::frexp(std::fabs(sum), &exponent);
  const auto m = static_cast<std::uint64_t>(significand * 0x1p53);
  const std::uint64_t code = round_magnitude(m, exponent - 53, row.out_fraction, -14, sum < 0,
                                             row.out_rounding);
  if (code == 0) return 0;
  const float magnitude =
      decode(static_cast<std::uint32_t>(std::min<std::uint64_t>(code, 0x7C00)), FormatId::f16);
  return sum < 0 ? -magnitude : magnitude;
}

/// One aligned sum over the whole block.
void split_step(const Instruction& row, StepArguments& s, Scratch& scratch) {
  const std::size_t count = s.rows * kPanel;
  const bool f16 = row.accumulator == FormatId::f16;
  if (f16) std::copy_n(s.accumulators, count, scratch.before);
  {
    const RoundTowardZero mode;
    lanes_of(row) == Lanes::split_f32 ? run_split_f32(s) : run_split_f64(s);
  }
  if (!f16) return;
  for (std::size_t i = 0; i < count; ++i) {
    s.accumulators[i] = round_to_f16_accumulator(row, scratch.exact[i], scratch.before[i]);
  }
}

/// Adds c to what the two emulated sums left in the accumulators.
void add_accumulators(const Instruction& row, const float* c, float* sums, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (row.accumulator == FormatId::f32) {
      const float sum = sums[i] + c[i];
      sums[i] = std::isnan(sum) ? std::bit_cast<float>(nan_word(FormatId::f32)) : sum;
      continue;
    }
    // Two f16 are multiples of 2^-24 below 2^16: their sum is exact in f64.
    const double sum = static_cast<double>(sums[i]) + static_cast<double>(c[i]);
    sums[i] = std::isnan(sum)   ? std::bit_cast<float>(nan_word(FormatId::f32))
              : std::isinf(sum) ? static_cast<float>(sum)
                                : round_to_f16_accumulator(row, sum, 0);
  }
}

void split_chain(const Instruction& row, std::size_t padded, StepArguments s, Scratch& scratch) {
  std::vector<float> c;
  const auto step = static_cast<std::size_t>(row.step);
  s.length = step;
  for (std::size_t k = 0; k < padded; k += step) {
    const bool first_half = row.arithmetic == Arithmetic::emulated && k % row.k == 0;
    if (first_half) {
      c.assign(s.accumulators, s.accumulators + s.rows * kPanel);
      std::fill_n(s.accumulators, s.rows * kPanel, 0.0f);
    }
    split_step(row, s, scratch);
    if (row.arithmetic == Arithmetic::emulated && !first_half) {
      add_accumulators(row, c.data(), s.accumulators, s.rows * kPanel);
    }
    s.a32 += step;
    s.a64 += step;
    s.a_exponent += step;
    s.schedule += step;
    s.same += 1;
    s.b32 += 2 * step * kPanel;
    s.b64 += 2 * step * kPanel;
    s.b_exponent8 += step * kPanel;
    s.b_exponent16 += step * kPanel;
  }
}

/// Whether the kernels cover row i of the block: finite operands, accumulators not too large.
bool covered(const RowOperand::Packed& a, std::size_t i, Start start, const float* sums) {
  const Lanes lanes = lanes_of(*a.instruction);
  if (lanes == Lanes::plain) return true;
  if (a.special.data()[i]) return false;
  const bool f32_lanes = lanes == Lanes::split_f32 && a.instruction->accumulator == FormatId::f32;
  if (start == Start::absent || !f32_lanes) return true;
  // As integers, magnitudes of floats are in order, NaN and Inf last.
  std::uint32_t largest = 0;
  for (std::size_t j = 0; j < kPanel; ++j) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(sums[j]) & 0x7FFFFFFF);
  }
  return largest < std::bit_cast<std::uint32_t>(kLargestSplitF32);
}

/// Copies `count` elements; strides count elements.
void copy_line(const float* from, std::size_t from_stride, float* to, std::size_t to_stride,
               std::size_t count) {
  if (from_stride == 1 && to_stride == 1 && count == kPanel) {
    // A size the compiler knows: for one it can only bound it emits slow string instructions.
    std::memcpy(to, from, kPanel * sizeof(float));
    return;
  }
  for (std::size_t j = 0; j < count; ++j) to[j * to_stride] = from[j * from_stride];
}

void run_block(const RowOperand::Packed& a, const ColumnOperand::Packed& b, std::size_t first,
               std::size_t rows, std::size_t panel, Start start, Block d, Scratch& scratch) {
  const Instruction& row = *a.instruction;
  const std::size_t column = panel * kPanel, width = std::min(kPanel, b.columns - column);
  std::memset(scratch.sums, 0, (rows + rows % 2) * kPanel * sizeof(float));
  if (start == Start::from_d) {
    for (std::size_t i = 0; i < rows; ++i) {
      copy_line(&d(first + i, column), d.column_stride, scratch.sums + i * kPanel, 1, width);
    }
  }
  bool row_covered[kRowBlock];
  for (std::size_t i = 0; i < rows; ++i) {
    row_covered[i] = covered(a, first + i, start, scratch.sums + i * kPanel);
  }
  const std::size_t at = first * a.padded, b_at = panel * a.padded * kPanel;
  const bool split = lanes_of(row) != Lanes::plain;
  const std::size_t halves = split ? 2 : 1, steps = a.padded / static_cast<std::size_t>(row.step);
  StepArguments s{.instruction = &row,
                  .rows = split ? rows + rows % 2 : rows,
                  .length = a.padded,
                  .a_stride = a.padded,
                  .a32 = a.f32.data() + at,
                  .a64 = a.f64.data() + at,
                  .a_exponent = a.exponent.data() + at,
                  .schedule = a.schedule.data() + at / 2,
                  .same = a.same.data() + first / 2 * steps,
                  .same_stride = steps,
                  .b32 = b.f32.data() + halves * b_at,
                  .b64 = b.f64.data() + halves * b_at,
                  .b_exponent8 = b.exponent8.data() + b_at,
                  .b_exponent16 = b.exponent16.data() + b_at,
                  .accumulators = scratch.sums,
                  .exact_sums = scratch.exact,
                  .integers = scratch.integers};
  switch (row.arithmetic) {
    case Arithmetic::aligned_sum:
    case Arithmetic::emulated: split_chain(row, a.padded, s, scratch); break;
    case Arithmetic::fused: run_fused(s); break;
    case Arithmetic::exact: run_exact(s); break;
    case Arithmetic::integer:
      for (std::size_t i = 0; i < rows * kPanel; ++i) {
        scratch.integers[i] = static_cast<std::int32_t>(accumulator_bits(row, scratch.sums[i]));
      }
      run_integer(s);
      for (std::size_t i = 0; i < rows * kPanel; ++i) {
        scratch.sums[i] = static_cast<float>(scratch.integers[i]);
      }
      break;
  }
  for (std::size_t i = 0; i < rows; ++i) {
    if (!row_covered[i]) {
      scalar_block(a, b, first + i, 1, column, width, start, d);
      continue;
    }
    copy_line(scratch.sums + i * kPanel, 1, &d(first + i, column), d.column_stride, width);
  }
}

void check_shapes(const RowOperand::Packed& a, const ColumnOperand::Packed& b,
                  const Instruction& row, const Block& d) {
  const auto fail = [&](const std::string& problem) {
    throw Error(ErrorKind::internal, "chain of " + std::string(row.name), problem);
  };
  if (a.instruction != &row || b.instruction != &row) fail("operands packed for another instruction");
  if (a.k != b.k) fail("k differs: " + std::to_string(a.k) + " and " + std::to_string(b.k));
  if (d.rows != a.rows || d.columns != b.columns) {
    fail("D is " + std::to_string(d.rows) + " x " + std::to_string(d.columns) + ", operands give " +
         std::to_string(a.rows) + " x " + std::to_string(b.columns));
  }
}

std::size_t padded_k(const Instruction& row, std::size_t k) {
  const auto group = static_cast<std::size_t>(row.k);
  return std::max((k + group - 1) / group, std::size_t{1}) * group;
}

}  // namespace

RowOperand::RowOperand() : packed_(std::make_unique<Packed>()) {}
RowOperand::~RowOperand() = default;
RowOperand::RowOperand(RowOperand&&) noexcept = default;
RowOperand& RowOperand::operator=(RowOperand&&) noexcept = default;
std::size_t RowOperand::rows() const { return packed_->rows; }
std::size_t RowOperand::k() const { return packed_->k; }

void RowOperand::pack(const Instruction& row, MatrixView<const float> values) {
  Packed& p = *packed_;
  p.instruction = &row;
  p.rows = values.rows;
  p.k = values.columns;
  p.padded = padded_k(row, p.k);
  const Lanes lanes = lanes_of(row);
  const std::size_t pairs = (p.rows + 1) / 2, size = 2 * pairs * p.padded;
  const std::size_t split = lanes == Lanes::plain ? 0 : size;
  p.f32.resize(lanes == Lanes::split_f64 ? 0 : size);
  p.f64.resize(lanes == Lanes::split_f64 ? size : 0);
  p.exponent.resize(split);
  p.schedule.resize(split / 2);
  p.same.resize(split / 2 / static_cast<std::size_t>(row.step));
  p.special.resize(p.rows);
  pack_rows(row, values, p);
}

ColumnOperand::ColumnOperand() : packed_(std::make_unique<Packed>()) {}
ColumnOperand::~ColumnOperand() = default;
ColumnOperand::ColumnOperand(ColumnOperand&&) noexcept = default;
ColumnOperand& ColumnOperand::operator=(ColumnOperand&&) noexcept = default;
std::size_t ColumnOperand::columns() const { return packed_->columns; }
std::size_t ColumnOperand::k() const { return packed_->k; }

void ColumnOperand::pack(const Instruction& row, MatrixView<const float> values) {
  Packed& p = *packed_;
  p.instruction = &row;
  p.columns = values.rows;
  p.k = values.columns;
  p.padded = padded_k(row, p.k);
  p.panels = (p.columns + kPanel - 1) / kPanel;
  const Lanes lanes = lanes_of(row);
  const std::size_t size = p.panels * p.padded * kPanel;
  p.f32.resize(lanes == Lanes::plain ? size : lanes == Lanes::split_f32 ? 2 * size : 0);
  p.f64.resize(lanes == Lanes::split_f64 ? 2 * size : 0);
  p.exponent8.resize(lanes == Lanes::split_f32 ? size : 0);
  p.exponent16.resize(lanes == Lanes::split_f64 ? size : 0);
  p.special.resize(p.panels * kPanel);
  pack_columns(row, values, p);
}

void chain(const Instruction& row, const RowOperand& rows, const ColumnOperand& columns,
           Start start, MatrixView<float> d, Path path) {
  const RowOperand::Packed& a = rows.packed();
  const ColumnOperand::Packed& b = columns.packed();
  check_shapes(a, b, row, d);
  const bool split = lanes_of(row) != Lanes::plain;
  if (path == Path::scalar || (split && !has_split_kernels())) {
    return scalar_block(a, b, 0, a.rows, 0, b.columns, start, d);
  }
  const auto scratch = std::make_unique_for_overwrite<Scratch>();
  for (std::size_t panel = 0; panel < b.panels; ++panel) {
    const std::size_t column = panel * kPanel, width = std::min(kPanel, b.columns - column);
    const std::uint8_t* special = b.special.data() + column;
    if (split && std::any_of(special, special + width, [](std::uint8_t x) { return x != 0; })) {
      scalar_block(a, b, 0, a.rows, column, width, start, d);
      continue;
    }
    for (std::size_t first = 0; first < a.rows; first += kRowBlock) {
      run_block(a, b, first, std::min(kRowBlock, a.rows - first), panel, start, d, *scratch);
    }
  }
}

}  // namespace karat::numerics
