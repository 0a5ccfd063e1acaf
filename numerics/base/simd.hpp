// Private: which SIMD targets are generated. Include before hwy/foreach_target.h in every vector
// source. AVX-512, AVX2 and the fallback cover x86; the middle steps only cost compile time.
// KARAT_FEW_TARGETS leaves AVX-512 out too: instrumented builds take minutes for it.
#pragma once

#ifndef HWY_DISABLED_TARGETS
#ifdef KARAT_FEW_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif
#endif
