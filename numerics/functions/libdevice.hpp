// Functions of CUDA's libdevice, as compilers put them into kernels.
#pragma once

namespace karat::numerics {

/// log2f without fast math: x = 2^e * t, t in [0.707, 1.414), a polynomial of degree 10 in t - 1
/// by fused multiply-adds. Subnormals are scaled by 2^23 first. +-0 -> -Inf, +Inf -> +Inf, x < 0
/// and NaN -> NaN. Source: the PTX that Triton 3.9 compiles from tl.log2.
float libdevice_log2f(float x);

}  // namespace karat::numerics
