// Private: the SIMD targets of lane operations: AVX-512, AVX2 and the fallback. Include first.
#pragma once

#include <hwy/detect_targets.h>

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
