// What a coding mistake does to a trial. Each action makes one mistake, in the variant `which`, and
// returns whether it can be made on this case.
#pragma once

#include "diagnose/trial.hpp"

namespace karat::golden {

enum Which { kQ = 0, kK = 1, kV = 2 };
enum Permutation { kReversed, kHalves, kPairs, kEvenOdd, kOddEven, kFours, kEights };
enum Visits { kLastLeftOut, kFirstLeftOut, kLastTwice, kNextRow, kPreviousRow };
enum Text { kTextKeysLeftOut, kTextSeesTextAlone, kTextInLastTile };
enum Constant { kNoRootD, kRootDTwice, kNoLog2E, kLog2ETwice };

// inputs.cpp: which head and which rows Q, K and V are read from
bool q_of_next_head(Trial& trial, int which);
bool keys_of_next_head(Trial& trial, int which);
bool keys_of_wrong_group(Trial& trial, int which);
bool heads_and_tokens_exchanged(Trial& trial, int which);
bool operands_exchanged(Trial& trial, int which);

// operands.cpp: recipe, quantised operands, constants, the kernel itself
bool channels_permuted(Trial& trial, int which);
bool codes_permuted(Trial& trial, int which);
bool rotated_on_one_side(Trial& trial, int which);
bool scale_of_other(Trial& trial, int which);
bool scale_missing(Trial& trial, int which);
bool scale_inverted(Trial& trial, int which);
bool scale_twice(Trial& trial, int which);
bool scale_of_next_group(Trial& trial, int which);
bool scale_of_first_group(Trial& trial, int which);
bool last_channels_left_out(Trial& trial, int which);
bool q_mean_forgotten(Trial& trial, int which);
bool k_mean_forgotten(Trial& trial, int which);
bool constant_wrong(Trial& trial, int which);
bool kernel_fault(Trial& trial, int which);
constexpr int fault(KernelFault f) { return static_cast<int>(f); }

// masks.cpp: masks that come with the case or are predicted, and text behind the video
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
