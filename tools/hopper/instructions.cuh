// The captured instructions as device code: wgmma m64n8 with A in registers and B in shared memory,
// and FP8 mma.sync m16n8k32, one per warp. Fragment layouts: PTX ISA; karat/golden/fragment.hpp.
#pragma once

#include <cstdint>

#include "karat/numerics/formats/format.hpp"

namespace karat::capture {

using numerics::FormatId;

/// B of a tile: 8 columns of 32 bytes, K-major without swizzle: two core matrices of 8 x 16 bytes,
/// 128 bytes apart.
inline constexpr int kColumnBytes = 32;
inline constexpr int kCoreBytes = 128;
__host__ __device__ constexpr int b_offset(int column, int byte) {
  return byte / 16 * kCoreBytes + column * 16 + byte % 16;
}

/// Shared-memory matrix descriptor without swizzle. Strides in bytes between core matrices:
/// `leading` along K, `stride` along M or N.
__device__ inline std::uint64_t descriptor(const void* shared, unsigned leading, unsigned stride) {
  const auto address = static_cast<std::uint64_t>(__cvta_generic_to_shared(shared));
  return (address & 0x3FFFF) >> 4 | std::uint64_t{leading >> 4} << 16 |
         std::uint64_t{stride >> 4} << 32;
}

__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_finish() {
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/// B fragment of mma.m16n8k32: register r of a lane holds column lane/4, bytes 16r + 4(lane%4) on.
__device__ inline std::uint32_t mma_b_register(const std::uint8_t* b, int r) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return *reinterpret_cast<const std::uint32_t*>(b + b_offset(lane / 4, 16 * r + lane % 4 * 4));
}

/// One instruction: its name, the format of the words it is given (f32 for TF32), its accumulator,
/// and D = A * B + D by the calling warpgroup.
#define KARAT_STEP(Type, text, in, acc, body)                                      \
  struct Type {                                                                    \
    static constexpr const char* name = text;                                      \
    static constexpr FormatId input = FormatId::in;                                \
    static constexpr FormatId accumulator = FormatId::acc;                         \
    __device__ static void run(std::uint32_t (&d)[4], const std::uint32_t (&a)[4], \
                               const std::uint8_t* b) {                            \
      body                                                                         \
    }                                                                              \
  };

/// The registers of D and A: D takes four (32-bit accumulators) or two (pairs of f16).
#define KARAT_D4 "%0, %1, %2, %3"
#define KARAT_D2 "%0, %1"
#define KARAT_D_OPERANDS "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
#define KARAT_A_OPERANDS "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])

#define KARAT_WGMMA(Type, text, in, acc, d_list, shape_and_types, tail)           \
  KARAT_STEP(                                                                     \
      Type, text, in, acc,                                                        \
      const std::uint64_t b_matrix = descriptor(b, kCoreBytes, kCoreBytes);       \
      wgmma_fence();                                                              \
      asm volatile("wgmma.mma_async.sync.aligned." shape_and_types " {" d_list    \
                   "}, {%4, %5, %6, %7}, %8, " tail ";"                           \
                   : KARAT_D_OPERANDS                                             \
                   : KARAT_A_OPERANDS, "l"(b_matrix)                              \
                   : "memory");                                                   \
      wgmma_finish();)

#define KARAT_MMA(Type, text, in, acc, d_list, types)                                          \
  KARAT_STEP(Type, text, in, acc,                                                              \
             asm volatile("mma.sync.aligned.m16n8k32.row.col." types " {" d_list               \
                          "}, {%4, %5, %6, %7}, {%8, %9}, {" d_list "};"                       \
                          : KARAT_D_OPERANDS                                                   \
                          : KARAT_A_OPERANDS, "r"(mma_b_register(b, 0)),                       \
                            "r"(mma_b_register(b, 1)));)

// The tails: scale-d (1: D is added), signs of A and B (1: kept), for 16-bit types B not
// transposed.
KARAT_WGMMA(WgmmaE4m3F32, "hopper.wgmma.e4m3.f32", e4m3, f32, KARAT_D4, "m64n8k32.f32.e4m3.e4m3",
            "1, 1, 1")
KARAT_WGMMA(WgmmaE5m2F32, "hopper.wgmma.e5m2.f32", e5m2, f32, KARAT_D4, "m64n8k32.f32.e5m2.e5m2",
            "1, 1, 1")
KARAT_WGMMA(WgmmaBf16F32, "hopper.wgmma.bf16.f32", bf16, f32, KARAT_D4, "m64n8k16.f32.bf16.bf16",
            "1, 1, 1, 0")
KARAT_WGMMA(WgmmaF16F32, "hopper.wgmma.f16.f32", f16, f32, KARAT_D4, "m64n8k16.f32.f16.f16",
            "1, 1, 1, 0")
KARAT_WGMMA(WgmmaTf32F32, "hopper.wgmma.tf32.f32", f32, f32, KARAT_D4, "m64n8k8.f32.tf32.tf32",
            "1, 1, 1")
KARAT_WGMMA(WgmmaE4m3F16, "hopper.wgmma.e4m3.f16", e4m3, f16, KARAT_D2, "m64n8k32.f16.e4m3.e4m3",
            "1, 1, 1")
KARAT_WGMMA(WgmmaE5m2F16, "hopper.wgmma.e5m2.f16", e5m2, f16, KARAT_D2, "m64n8k32.f16.e5m2.e5m2",
            "1, 1, 1")
KARAT_WGMMA(WgmmaF16F16, "hopper.wgmma.f16.f16", f16, f16, KARAT_D2, "m64n8k16.f16.f16.f16",
            "1, 1, 1, 0")
KARAT_WGMMA(WgmmaS8S32, "hopper.wgmma.s8.s32", int8, int32, KARAT_D4, "m64n8k32.s32.s8.s8", "1")
KARAT_MMA(MmaE4m3F32, "hopper.mma.e4m3.f32", e4m3, f32, KARAT_D4, "f32.e4m3.e4m3.f32")
KARAT_MMA(MmaE5m2F32, "hopper.mma.e5m2.f32", e5m2, f32, KARAT_D4, "f32.e5m2.e5m2.f32")
KARAT_MMA(MmaE4m3F16, "hopper.mma.e4m3.f16", e4m3, f16, KARAT_D2, "f16.e4m3.e4m3.f16")
KARAT_MMA(MmaE5m2F16, "hopper.mma.e5m2.f16", e5m2, f16, KARAT_D2, "f16.e5m2.e5m2.f16")

}  // namespace karat::capture
