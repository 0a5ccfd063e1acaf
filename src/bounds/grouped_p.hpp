// Intervals of P whose groups have scales from their own largest values.
#pragma once

#include <span>

#include "free_launch.hpp"

namespace karat::bounds {

/// The cast of one row and key block where Kernel::p_grouped: operands of P from low to high become
/// what the PV instruction may read. A scale s grows with the group's largest value, a code with P
/// and against s, so that code(low / s's high) * s's low and code(high / s's low) * s's high lie
/// around every legal value; where s is the same at both ends these are the values themselves.
/// @return the row's scale, where it stays outside the product; else 1
/// @param path  fast: formats round whole rows, the same bits
Interval cast_groups(const Kernel& kernel, std::span<float> low, std::span<float> high,
                     numerics::Path path = numerics::Path::fast);

}  // namespace karat::bounds
