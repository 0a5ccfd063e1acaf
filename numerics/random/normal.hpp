// Normal random numbers as a function of (seed, stream, block): Box-Muller on Philox words.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace karat::numerics {

/// r*cos and r*sin of a pair of words, as below: the definition, which fill_normal() equals.
std::array<float, 2> normal_pair(std::uint32_t first, std::uint32_t second);

/// Fills `out` with N(0,1) values rounded to f32: values 4i..4i+3 come from the four words w of
/// Philox block first_block + i as r*cos, r*sin of (w0, w1) and of (w2, w3), where r = sqrt(-2
/// ln((w_even + 1/2) * 2^-32)) and the angle is w_odd * 2^-32 turns. |value| < 6.77.
void fill_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t first_block,
                 std::span<float> out);

}  // namespace karat::numerics
