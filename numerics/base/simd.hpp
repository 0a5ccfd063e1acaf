// Private: which SIMD targets are generated. Include before hwy/foreach_target.h in every vector
// source. AVX-512, AVX2 and the fallback cover x86; the middle steps only cost compile time.
// KARAT_TARGETS (tools/cmake/karat_targets.cmake) names others.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif
