// One element at a time: the formulas of docs/recipes, word for word. The slow engine is made of
// them; the fast one borrows those that are never in its way.
#pragma once

#include <cstdint>
#include <span>

#include "launch.hpp"

namespace karat::attention {

/// s of one pair from its raw accumulator, log2 units (not yet times f where the exponent is
/// fused).
float score(const Launch& launch, float a, std::int64_t query, std::int64_t key);

struct RowExponent {
  float m;        ///< the maximum that P refers to
  double alpha;   ///< what the past is multiplied by
  float fused_f;  ///< launch.fused: the factor f inside the fma
};

/// One block's step of a row's maximum.
RowExponent row_exponent(const Launch& launch, float m, float block_maximum, float f);

/// P of one score; an f32 value unless the recipe's exp2 is exact.
double probability(const Launch& launch, float s, const RowExponent& row);

/// What the PV instruction reads for P, and its code where P has an 8-bit format.
struct CodedP {
  float value;
  std::uint8_t code;
  bool saturated;  ///< the largest finite code, from something larger
};
/// @param column  of the key in its block: the random word of stochastic rounding
CodedP code_p(const Launch& launch, double p, std::size_t column);

/// Adds one block's P of a row to its partial sums, the past multiplied by alpha first.
void add_to_row_sum(const Launch& launch, std::span<const double> p, std::span<const CodedP> codes,
                    double alpha, float* partial);
/// The same from the terms themselves (P, or decoded codes times fl(1/multiplier)).
void add_terms_to_row_sum(const Launch& launch, std::span<const double> terms, double alpha,
                          float* partial);

}  // namespace karat::attention
