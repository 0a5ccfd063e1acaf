// What a coding mistake does to a trial. Each action makes one mistake, in the variant `which`, and
// returns whether it can be made on this case.
#pragma once

#include "diagnose/trial.hpp"

namespace karat::golden {

// *_table.cpp
std::span<const Mistake> mistakes_of_place();
std::span<const Mistake> mistakes_of_operands();
std::span<const Mistake> mistakes_of_kernel();

// Where to look, said by more than one table.
inline constexpr std::string_view kEpilogue =
    "the epilogue: 1/l, v's scale, P's multiplier, the cast";
inline constexpr std::string_view kTwoCasts =
    "the type between the product and the cast to FP8: two roundings are not one";

enum Which { kQ = 0, kK = 1, kV = 2 };
/// Sets of operands, a bit each.
enum Operands { kOfQ = 1, kOfK = 2, kOfV = 4, kOfQK = 3, kOfAll = 7 };
enum Powers { kPowerBelow, kPowerNearest, kPowerAbove };
enum Permutation { kReversed, kHalves, kPairs, kEvenOdd, kOddEven, kFours, kEights };
enum Visits { kLastLeftOut, kFirstLeftOut, kLastTwice, kNextRow, kPreviousRow, kShortLeftOut };
enum Text { kTextKeysLeftOut, kTextSeesTextAlone, kTextInLastTile };
enum Constant { kNoRootD, kRootDTwice, kNoLog2E, kLog2ETwice, kPaddedToPower, kPaddedTo128 };
enum TileShift { kRowOfNextTile, kRowOfPreviousTile, kKeysOfNextTile, kKeysOfPreviousTile };

// inputs.cpp: which head and which rows Q, K and V are read from
bool q_of_next_head(Trial& trial, int which);
bool keys_of_next_head(Trial& trial, int which);
bool keys_of_wrong_group(Trial& trial, int which);
bool heads_and_tokens_exchanged(Trial& trial, int which);
bool operands_exchanged(Trial& trial, int which);

// operands.cpp: recipe, codes of operands, constants, the kernel itself
/// Channel j of the wrong order is channel [j] of the right one.
std::vector<std::int32_t> permutation(std::size_t channels, int which);
bool channels_permuted(Trial& trial, int which);
bool codes_permuted(Trial& trial, int which);
bool rotated_on_one_side(Trial& trial, int which);
bool last_channels_left_out(Trial& trial, int which);
bool q_mean_forgotten(Trial& trial, int which);
bool k_mean_forgotten(Trial& trial, int which);
bool constant_wrong(Trial& trial, int which);
bool kernel_fault(Trial& trial, int which);
constexpr int fault(KernelFault f) { return static_cast<int>(f); }

// scales.cpp: what the kernel reads where an operand's scales should stand
bool scale_of_other(Trial& trial, int which);
bool scale_missing(Trial& trial, int operands);
bool scale_inverted(Trial& trial, int operands);
bool scale_twice(Trial& trial, int operands);
bool scale_of_next_group(Trial& trial, int operands);
bool scale_of_previous_group(Trial& trial, int operands);
bool scale_of_first_group(Trial& trial, int operands);
bool scale_of_first_head(Trial& trial, int operands);
bool scale_of_next_head(Trial& trial, int operands);
template <Powers powers>
bool scale_to_power_of_two(Trial& trial, int operands);
bool scales_exchanged(Trial& trial, int which);
bool scales_permuted(Trial& trial, int which);

// coding.cpp: from values to codes
bool cast_through_f16(Trial& trial, int operands);
bool cast_through_bf16(Trial& trial, int operands);
bool zero_groups_unguarded(Trial& trial, int operands);
/// which: the floor of amax is 10^-which
bool guard_floor(Trial& trial, int which);

// windows.cpp: windows of tiles, order of tiles
/// The window's first and last tile move by `low` and `high` on the axes of a set (1 t, 2 h, 4 w).
struct WindowEnds {
  int axes, low, high;
};
constexpr int moved_ends(WindowEnds ends) {
  return ends.axes | (ends.low + 1) << 3 | (ends.high + 1) << 5;
}
constexpr WindowEnds window_ends(int which) {
  return {.axes = which & 7, .low = (which >> 3 & 3) - 1, .high = (which >> 5) - 1};
}
bool window_ends_moved(Trial& trial, int which);
/// which: 2 * axis, + 1 for the tile before
bool window_of_neighbour(Trial& trial, int which);
bool tile_list_shifted(Trial& trial, int which);
/// Axes `a` and `b` exchanged in the order of tiles, of the tokens inside a tile, or both.
struct TilingFault {
  int a, b;
  bool tiles, tokens;
};
constexpr int wrong_tiling(TilingFault fault) {
  return fault.a | fault.b << 2 | fault.tiles << 4 | fault.tokens << 5;
}
constexpr TilingFault tiling_fault(int which) {
  return {.a = which & 3,
          .b = which >> 2 & 3,
          .tiles = (which >> 4 & 1) != 0,
          .tokens = (which >> 5 & 1) != 0};
}
bool tiling_axes_exchanged(Trial& trial, int which);

// masks.cpp: masks that come with the case or are predicted, and text behind the video
/// Another mask over the same order, with the blocks and visits that follow from it.
void replace_mask(Trial& trial, std::unique_ptr<mask::Mask> mask);
bool mask_of_next_head(Trial& trial, int which);
bool mask_of_first_head(Trial& trial, int which);
bool mask_transposed(Trial& trial, int which);
bool mask_by_position(Trial& trial, int which);
bool mask_by_token(Trial& trial, int which);
bool text_masked(Trial& trial, int which);

// layout.cpp: order of tokens, blocks visited
bool untiled(Trial& trial, int which);
bool grid_axes_exchanged(Trial& trial, int which);
bool partial_unmasked(Trial& trial, int which);
bool partial_left_out(Trial& trial, int which);
bool short_blocks_read_on(Trial& trial, int which);
bool visits_wrong(Trial& trial, int which);

// layout.cpp: which row of the kernel's output stands where `row` should
RowSource bshd_row(const Trial& trial, RowSource row);
RowSource next_head_row(const Trial& trial, RowSource row);
RowSource previous_head_row(const Trial& trial, RowSource row);
RowSource tiled_row(const Trial& trial, RowSource row);
RowSource inverse_row(const Trial& trial, RowSource row);
RowSource reversed_row(const Trial& trial, RowSource row);

template <RowSource (*map)(const Trial&, RowSource)>
bool rows_from(Trial& trial, int needs_heads) {
  if (needs_heads && trial.base.golden.shape().heads < 2) return false;
  if (trial.layout->order.token_at.size() != trial.layout->order.position_of.size()) return false;
  trial.rows.push_back(map);
  return true;
}

}  // namespace karat::golden
