// Who holds what: registers of a Hopper warpgroup's wgmma fragments as rows and columns.
// Source: PTX ISA, "Matrix fragments for wgmma.mma_async" (D; A in registers, 16 and 8 bits wide).
#pragma once

namespace karat::golden {

/// A place in a 64-row fragment.
struct FragmentPlace {
  int row = 0;     ///< 0..63: the query row of the warpgroup's 64
  int column = 0;  ///< D: 0..N-1; A: k within the instruction

  friend bool operator==(const FragmentPlace&, const FragmentPlace&) = default;
};

inline constexpr int kWarpgroupThreads = 128;

/// Accumulator word r of thread t, m64nNkK, r in [0, N/2):
/// row 16*warp + lane/4 + 8*((r/2)%2), column 8*(r/4) + 2*(lane%4) + r%2.
constexpr FragmentPlace accumulator_place(int thread, int r) {
  const int warp = thread / 32;
  const int lane = thread % 32;
  return {16 * warp + lane / 4 + 8 * (r / 2 % 2), 8 * (r / 4) + 2 * (lane % 4) + r % 2};
}
/// Its inverse. @return thread in [0, 128) and word
struct FragmentHolder {
  int thread = 0;
  int word = 0;
};
constexpr FragmentHolder accumulator_holder(FragmentPlace place) {
  const int row = place.row % 16;
  return {32 * (place.row / 16) + 4 * (row % 8) + place.column / 2 % 4,
          4 * (place.column / 8) + 2 * (row / 8) + place.column % 2};
}

/// Element e of A held in registers, counted through its four 32-bit registers; `bits` 8 (k32) or
/// 16 (k16): register = e / (32/bits), row 16*warp + lane/4 + 8*(register%2),
/// k = (register/2)*4n + (lane%4)*n + e%n with n = 32/bits elements per register.
constexpr FragmentPlace a_operand_place(int thread, int e, int bits) {
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int per_register = 32 / bits;
  const int reg = e / per_register;
  return {16 * warp + lane / 4 + 8 * (reg % 2),
          reg / 2 * 4 * per_register + lane % 4 * per_register + e % per_register};
}

}  // namespace karat::golden
