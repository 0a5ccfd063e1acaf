// FlashAttention-3's FP8 softmax step on wgmma fragments, one warpgroup, 64 queries a CTA, d = 64,
// blocks of 224 keys from the last to the first. What it is for: the roundings that the assembler
// makes of the step's source, which docs/recipes/fa3_fp8.md states. Built with fast math, as
// FlashAttention-3 is:
//   nvcc -arch=sm_90a -O3 -use_fast_math -ptx fa3_step.cu
// THRESHOLD: the lazy rescale of fa3_fp8_lazy_rescale.
#include "wgmma.cuh"

#ifndef THRESHOLD
#define THRESHOLD 0
#endif

namespace {

constexpr unsigned kRows = 64, kKeys = 224, kChannels = 64, kThreads = 128;
constexpr float kOffset = 8;

struct Shared {
  unsigned char q[kRows * kChannels];
  unsigned char k[kKeys * kChannels];
  unsigned char v[kChannels * kKeys];
};

/// The fragment of P is read as A: in every 16 keys A's bytes 4c..4c+3 of a lane c hold keys 2c,
/// 2c + 1, 8 + 2c, 9 + 2c, so V stands in that order.
__device__ unsigned key_at(unsigned k) {
  const unsigned c = k % 16 / 4, e = k % 4;
  return k / 16 * 16 + (e < 2 ? 2 * c + e : 8 + 2 * c + e - 2);
}

struct Softmax {
  float row_max[2], row_sum[2];
};

/// Of one block: from raw scores to P, the new maxima and sums. @return what O is multiplied by.
template <bool kFirst>
__device__ void step(float (&s)[kKeys / 2], Softmax& state, float scale, float (&scores_scale)[2]) {
  for (int mi = 0; mi < 2; ++mi) {
    const float previous = state.row_max[mi];
    float highest = kFirst ? s[2 * mi] : fmaxf(previous, s[2 * mi]);
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(mi)) highest = fmaxf(highest, s[i]);
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 2));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 1));
    scores_scale[mi] = 1;
    if (!kFirst) {
#if THRESHOLD > 0
      if ((highest - previous) * scale <= float(THRESHOLD)) highest = previous;
#endif
      scores_scale[mi] = exp2f((previous - highest) * scale);
      state.row_sum[mi] *= scores_scale[mi];
    }
    state.row_max[mi] = highest;
  }
#pragma unroll
  for (int mi = 0; mi < 2; ++mi) {
    const float max_scaled = state.row_max[mi] * scale - kOffset;
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(mi)) s[i] = exp2f(s[i] * scale - max_scaled);
  }
#pragma unroll
  for (int mi = 0; mi < 2; ++mi) {
    float sum = kFirst ? s[2 * mi] : state.row_sum[mi] + s[2 * mi];
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(mi) && i != static_cast<unsigned>(2 * mi)) sum += s[i];
    state.row_sum[mi] = sum;
  }
}

}  // namespace

/// q, k [tokens, 64] and vt [64, tokens] in E4M3, scale = fl(fl(s_q*s_k)*c); out [tokens, 64] in
/// FP32, not yet BF16, m and l [tokens].
extern "C" __global__ void __launch_bounds__(kThreads)
    fa3_step(const unsigned char* q, const unsigned char* k, const unsigned char* vt, float* out,
             float* m, float* l, unsigned tokens, float scale, float v_scale) {
  __shared__ __align__(128) Shared shared;
  const unsigned t = threadIdx.x, first_row = blockIdx.x * kRows;
  for (unsigned e = t; e < kRows * kChannels; e += kThreads) {
    const unsigned row = e / kChannels, token = first_row + row;
    shared.q[place(row, e % kChannels, kChannels)] =
        token < tokens ? q[token * kChannels + e % kChannels] : 0;
  }
  const unsigned row = t / 32 * 16 + t % 32 / 4, column = 2 * (t % 4);
  Softmax state{};
  float o[kChannels / 2] = {};
  const int blocks = (tokens + kKeys - 1) / kKeys;
  for (int block = blocks - 1; block >= 0; --block) {
    const unsigned first_key = block * kKeys, keys = min(kKeys, tokens - first_key);
    __syncthreads();
    for (unsigned e = t; e < kKeys * kChannels; e += kThreads) {
      const unsigned key = e / kChannels, byte = e % kChannels;
      shared.k[place(key, byte, kChannels)] =
          key < keys ? k[(first_key + key) * kChannels + byte] : 0;
      const unsigned channel = e / kKeys, at = e % kKeys;
      shared.v[place(channel, at, kKeys)] =
          key_at(at) < keys ? vt[channel * tokens + first_key + key_at(at)] : 0;
    }
    __syncthreads();
    float s[kKeys / 2] = {};
    settle(s);
    begin_wgmma();
    for (unsigned g = 0; g < kChannels / 32; ++g)
      wgmma_e4m3_n224(s, descriptor(shared.q, 8 * kChannels) + g * kNextGroup,
                      descriptor(shared.k, 8 * kChannels) + g * kNextGroup, g > 0);
    end_wgmma();
    float scores_scale[2];
    if (block == blocks - 1) {
#pragma unroll
      for (unsigned i = 0; i < kKeys / 2; ++i)
        if (i / 4 * 8 + column + i % 2 >= keys) s[i] = -INFINITY;
      step<true>(s, state, scale, scores_scale);
    } else {
      step<false>(s, state, scale, scores_scale);
    }
    unsigned p[kKeys / 32][4];
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g)
#pragma unroll
      for (unsigned r = 0; r < 4; ++r) {
        const unsigned i = g * 16 + r / 2 * 8 + r % 2 * 2;
        p[g][r] = e4m3x2(s[i], s[i + 1]) | e4m3x2(s[i + 4], s[i + 5]) << 16;
      }
#pragma unroll
    for (unsigned i = 0; i < kChannels / 2; ++i) o[i] *= scores_scale[i % 4 / 2];
    settle(o);
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g) settle(p[g]);
    begin_wgmma();
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g)
      wgmma_e4m3_n64(o, p[g], descriptor(shared.v, 8 * kKeys) + g * kNextGroup, 1);
    end_wgmma();
  }
#pragma unroll
  for (int mi = 0; mi < 2; ++mi) {
    float sum = state.row_sum[mi];
    sum += __shfl_xor_sync(0xffffffff, sum, 2);
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    const unsigned token = first_row + row + 8 * mi;
    if (token >= tokens) continue;
    const float inverse = 1.0f / sum;
#pragma unroll
    for (unsigned i = 0; i < kChannels / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(mi))
        out[token * kChannels + i / 4 * 8 + column + i % 2] = o[i] * inverse * v_scale;
    m[token] = state.row_max[mi];
    l[token] = sum;
  }
}
