// Stages as plain tensors, for the GPU side and for safetensors.
#pragma once

#include "karat/files/tensor.hpp"
#include "karat/golden/golden_file.hpp"

namespace karat::golden {

/// q, k, v (or, for coded cases, q_codes, q_scale, ...) of a golden file, [B,H,S,D].
files::Tensors exported_inputs(const GoldenFile& golden);
/// Every stage by its name: q_codes ... m, l, lse, o and tap.B.H.BLOCK.STAGE.
files::Tensors exported_stages(const GoldenFile& golden);

}  // namespace karat::golden
