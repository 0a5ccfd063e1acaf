// wgmma m64n128k32 E4M3 -> f32, A in registers, and lists of registers for the timing loops.
#pragma once

#include <cstdint>

#include "instructions.cuh"

namespace karat::capture {

// "%t0, %t1, ... %t9" for a leading digit t, and the same for registers d0, d1, ...
#define KARAT_TEN(p, t) \
  p t "0, " p t "1, " p t "2, " p t "3, " p t "4, " p t "5, " p t "6, " p t "7, " p t "8, " p t "9"
#define KARAT_FOUR(p, t) p t "0, " p t "1, " p t "2, " p t "3"
#define KARAT_EIGHT(p, t) KARAT_FOUR(p, t) ", " p t "4, " p t "5, " p t "6, " p t "7"
#define KARAT_LIST_4(p) KARAT_FOUR(p, "")
#define KARAT_LIST_8(p) KARAT_EIGHT(p, "")
#define KARAT_LIST_16(p) KARAT_TEN(p, "") ", " KARAT_FOUR(p, "1") ", " p "14, " p "15"
#define KARAT_LIST_32(p) \
  KARAT_TEN(p, "") ", " KARAT_TEN(p, "1") ", " KARAT_TEN(p, "2") ", " p "30, " p "31"
#define KARAT_LIST_60(p)                                                               \
  KARAT_TEN(p, "")                                                                     \
  ", " KARAT_TEN(p, "1") ", " KARAT_TEN(p, "2") ", " KARAT_TEN(p, "3") ", " KARAT_TEN( \
      p, "4") ", " KARAT_TEN(p, "5")
#define KARAT_LIST_64(p) KARAT_LIST_60(p) ", " KARAT_FOUR(p, "6")
#define KARAT_LIST_128(p)                                                              \
  KARAT_LIST_60(p)                                                                     \
  ", " KARAT_TEN(p, "6") ", " KARAT_TEN(p, "7") ", " KARAT_TEN(p, "8") ", " KARAT_TEN( \
      p, "9") ", " KARAT_TEN(p, "10") ", " KARAT_TEN(p, "11") ", " KARAT_EIGHT(p, "12")

#define KARAT_FLOATS_8(i)                                                                     \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])

/// B of 128 columns and up to 128 bytes of K, K-major without swizzle: 16-byte pieces of all
/// columns follow each other, so core matrices are 128 bytes apart along N and 2048 along K.
inline constexpr int kWideColumns = 128;
inline constexpr unsigned kWideLeading = kWideColumns * 16;
__host__ __device__ constexpr int wide_offset(int column, int byte) {
  return byte / 16 * static_cast<int>(kWideLeading) + column * 16 + byte % 16;
}

/// D = A * B (+ D when `accumulate`) for 32 bytes of K starting at byte 32 * step.
__device__ inline void wide_wgmma(float (&d)[64], const std::uint32_t (&a)[4],
                                  const std::uint8_t* b, int step, int accumulate) {
  const std::uint64_t matrix = descriptor(b + step * 2 * kWideLeading, kWideLeading, kCoreBytes);
  wgmma_fence();
  asm volatile(
      "{ .reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" KARAT_LIST_64(
          "%") "}, {%64, %65, %66, %67}, %68, p, 1, 1; }"
      : KARAT_FLOATS_8(0), KARAT_FLOATS_8(8), KARAT_FLOATS_8(16), KARAT_FLOATS_8(24),
        KARAT_FLOATS_8(32), KARAT_FLOATS_8(40), KARAT_FLOATS_8(48), KARAT_FLOATS_8(56)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(matrix), "r"(accumulate)
      : "memory");
  wgmma_finish();
}

}  // namespace karat::capture
