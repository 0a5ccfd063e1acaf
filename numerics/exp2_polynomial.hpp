// Private: the coefficients behind exp2 and log2, with what they approximate and how well.
#pragma once

namespace karat::numerics {

/// (2^f - 1) / f on [-1/2, 1/2] in ascending powers of f: Chebyshev interpolation in 300-bit
/// arithmetic, error below 2^-62 before the coefficients were rounded to f64.
inline constexpr double kExp2[] = {
    0x1.62e42fefa39efp-1,  0x1.ebfbdff82c58fp-3,  0x1.c6b08d704a0c6p-5,  0x1.3b2ab6fba4e79p-7,
    0x1.5d87fe78a3f9cp-10, 0x1.430912f86b7dbp-13, 0x1.ffcbfc6da6ed1p-17, 0x1.62c02242b879cp-20,
    0x1.b524ebd13a55fp-24, 0x1.e4cf10dec0f59p-28, 0x1.e9ec1fcb69a7fp-32, 0x1.c4a29324a1038p-36};

/// Adding and subtracting this leaves the nearest integer (ties to even) of |x| < 2^51, and the sum
/// holds that integer in its low bits.
inline constexpr double kRoundShift = 0x1.8p52;

/// The two f32 whose 2^x lies so close above the middle of two f32 (2^-57.6 and 2^-54.9 relative)
/// that its nearest f64 is that middle, which then ties to the wrong side. Found by trying all.
struct HardCase {
  float x, power;
};
inline constexpr HardCase kHardExp2[] = {{0x1.853a6ep-9f, 0x1.00870ap+0f},
                                         {-0x1.e7526ep-6f, 0x1.f58d62p-1f}};

}  // namespace karat::numerics
