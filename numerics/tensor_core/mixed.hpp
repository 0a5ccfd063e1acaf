// Products of two FP8 formats: instructions whose columns are of another format than their rows.
#pragma once

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::numerics {

/// Format of the columns: input_format(), the rows', but in mixed products
/// (hopper.wgmma.ROWS.COLUMNS.f32).
FormatId column_format(const Instruction&);
/// What the multiplier sees of the columns.
FormatId multiplied_columns(const Instruction&);

}  // namespace karat::numerics
