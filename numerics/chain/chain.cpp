// chain(): operands, shapes, the order of panels and row blocks, and the panels that are left to
// the scalar definition.
#include <algorithm>
#include <string>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::numerics {
namespace {

void check_shapes(const RowOperand::Packed& a, const ColumnOperand::Packed& b,
                  const Instruction& row, const MatrixView<float>& d) {
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

void check_place(const char* what, const RowOperand::Packed& p, std::size_t first,
                 MatrixView<const float> values) {
  const std::size_t end = first + values.rows;
  const bool pairs = first % 2 == 0 && (values.rows % 2 == 0 || end == p.rows);
  if (p.instruction != nullptr && pairs && end <= p.rows && values.columns == p.k) return;
  throw Error(ErrorKind::internal, what,
              std::to_string(values.rows) + " x " + std::to_string(values.columns) + " from row " +
                  std::to_string(first) + " do not fit " + std::to_string(p.rows) + " x " +
                  std::to_string(p.k));
}

}  // namespace

RowOperand::RowOperand() : packed_(std::make_unique<Packed>()) {}
RowOperand::~RowOperand() = default;
RowOperand::RowOperand(RowOperand&&) noexcept = default;
RowOperand& RowOperand::operator=(RowOperand&&) noexcept = default;
std::size_t RowOperand::rows() const { return packed_->rows; }
std::size_t RowOperand::k() const { return packed_->k; }

void RowOperand::pack(const Instruction& row, MatrixView<const float> values) {
  reserve(row, values.rows, values.columns);
  pack_rows(0, values);
}

void RowOperand::reserve(const Instruction& row, std::size_t row_count, std::size_t k) {
  Packed& p = *packed_;
  if (p.instruction == &row && p.rows == row_count && p.k == k) return;
  p.instruction = &row;
  p.rows = row_count;
  p.k = k;
  p.padded = padded_k(row, p.k);
  const Lanes lanes = lanes_of(row);
  const std::size_t pairs = (p.rows + 1) / 2, size = 2 * pairs * p.padded;
  const std::size_t split = lanes == Lanes::plain ? 0 : size;
  p.f32.resize(lanes == Lanes::split_f64 ? 0 : size);
  const bool exact = row.arithmetic == Arithmetic::exact;
  const std::size_t groups = (p.rows + kExactRowGroup - 1) / kExactRowGroup;
  p.f64.resize(lanes == Lanes::split_f64 ? size : exact ? groups * kExactRowGroup * p.padded : 0);
  if (exact) std::fill_n(p.f64.data(), p.f64.size(), 0.0);
  p.exponent.resize(split);
  p.schedule.resize(split / 2);
  p.same.resize(split / 2 / static_cast<std::size_t>(row.step));
  p.used.resize(p.same.size());
  p.rounded.resize(split);
  p.special.resize(p.rows);
  p.ordered.resize(pairs);
  std::fill_n(p.ordered.data(), pairs, std::uint8_t{0});
}

void RowOperand::pack_rows(std::size_t first, MatrixView<const float> values) {
  check_place("pack_rows", *packed_, first, values);
  numerics::pack_rows(values, first, *packed_);
}

void RowOperand::copy_rounded(std::size_t first, MatrixView<float> to) const {
  const Packed& p = *packed_;
  check_place("copy_rounded", p, first, {to.data, to.rows, to.columns, to.row_stride, 1});
  for (std::size_t i = 0; i < to.rows; ++i)
    std::copy_n(p.rounded.data() + (first + i) * p.padded, to.columns, to.data + i * to.row_stride);
}

float* RowOperand::in_place(std::size_t first) {
  Packed& p = *packed_;
  const bool copied = lanes_of(*p.instruction) == Lanes::plain && p.k == p.padded &&
                      p.instruction->arithmetic != Arithmetic::exact;
  if (!copied) return nullptr;
  std::fill_n(p.special.data() + first, p.rows - first, std::uint8_t{0});
  return p.f32.data() + first * p.padded;
}

RoundedRows RowOperand::round_rows(std::size_t first, MatrixView<const float> values,
                                   float factor) {
  Packed& p = *packed_;
  check_place("round_rows", p, first, values);
  if (lanes_of(*p.instruction) == Lanes::plain || p.instruction->input != p.instruction->multiplied ||
      p.instruction->arithmetic == Arithmetic::emulated || p.k != p.padded ||
      p.k % 16 != 0 || values.column_stride != 1)
    return {};
  return numerics::round_rows({values, first, factor}, p);
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
    return run_scalar(a, b, 0, a.rows, 0, b.columns, start, d);
  }
  const auto scratch = std::make_unique_for_overwrite<Scratch>();
  for (std::size_t panel = 0; panel < b.panels; ++panel) {
    const std::size_t column = panel * kPanel, width = std::min(kPanel, b.columns - column);
    const std::uint8_t* special = b.special.data() + column;
    if (split && std::any_of(special, special + width, [](std::uint8_t x) { return x != 0; })) {
      run_scalar(a, b, 0, a.rows, column, width, start, d);
      continue;
    }
    for (std::size_t first = 0; first < a.rows; first += kRowBlock) {
      const std::size_t count = std::min(kRowBlock, a.rows - first);
      run_block(a, b, {first, count, panel, width}, start, d, *scratch);
    }
  }
}

}  // namespace karat::numerics
