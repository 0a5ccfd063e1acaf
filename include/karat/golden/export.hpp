// Stages as plain tensors, for the GPU side and for safetensors.
#pragma once

#include "karat/attention/attend.hpp"
#include "karat/files/tensor.hpp"
#include "karat/golden/golden_file.hpp"

namespace karat::golden {

/// q, k, v (or, for coded cases, q_codes, q_scale, ...) of a golden file, [B,H,S,D].
files::Tensors exported_inputs(const GoldenFile& golden);
/// Every stage by its name: q_codes ... m, l, lse, o and tap.B.H.BLOCK.STAGE.
files::Tensors exported_stages(const GoldenFile& golden);

/// The stages of one tapped query block as tensors: a, s, p_codes [rows, columns]; m, l [visited,
/// rows]; o [visited, rows, channels]; query_token, key_token, key_block, column_begin.
files::Tensors tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const attention::BlockTap& tap);

}  // namespace karat::golden
