// SageAttention2's softmax step for Hopper on wgmma fragments, one warpgroup, 64 queries a CTA,
// d = 64, blocks of 128 keys ascending. What it is for: how scales fold into the exponent until the
// last block, which docs/recipes/sage2_sm90.md states.
//   nvcc -arch=sm_90a -O3 -use_fast_math -ptx sage_fold.cu
#include "wgmma.cuh"

namespace {

constexpr unsigned kRows = 64, kKeys = 128, kChannels = 64, kThreads = 128;
constexpr float kOffset = 8.807f, kLowest = -5000000.0f;

struct Shared {
  unsigned char q[kRows * kChannels];
  unsigned char k[kKeys * kChannels];
  unsigned char v[kChannels * kKeys];
};

/// As in fa3_step.cu: the order of keys in which the fragment of P is read as A.
__device__ unsigned key_at(unsigned k) {
  const unsigned c = k % 16 / 4, e = k % 4;
  return k / 16 * 16 + (e < 2 ? 2 * c + e : 8 + 2 * c + e - 2);
}

/// s in units that times `scale` are log2; from them P, the new maxima (which hold the offset) and
/// the rescaled sums and outputs.
__device__ void step(float (&s)[kKeys / 2], float (&m)[2], float (&l)[2], float (&o)[kChannels / 2],
                     const float (&scale)[2]) {
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const float before = m[k];
    float highest = kLowest;
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(k)) highest = fmaxf(highest, s[i]);
    highest = fmaf(highest, scale[k], -kOffset);
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 2));
    m[k] = fmaxf(m[k], highest);
    const float alpha = exp2f(before - m[k]);
    l[k] = __fmul_rn(l[k], alpha);
#pragma unroll
    for (unsigned i = 0; i < kChannels / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(k)) o[i] *= alpha;
    const float minus_m = -m[k];
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(k)) s[i] = exp2f(fmaf(s[i], scale[k], minus_m));
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(k)) l[k] += s[i];
  }
}

}  // namespace

/// q, k [tokens, 64] in INT8 and vt [64, tokens] in E4M3. q_scale [tokens] and k_scale [tokens],
/// one of each position's group (a thread's keys of a block have one); c the softmax scale times
/// log2 e. out [tokens, 64] in FP32 before v's scale, m and l [tokens].
extern "C" __global__ void __launch_bounds__(kThreads)
    sage_fold(const signed char* q, const signed char* k, const unsigned char* vt,
              const float* q_scale, const float* k_scale, float* out, float* m_out, float* l_out,
              unsigned tokens, float c) {
  __shared__ __align__(128) Shared shared;
  const unsigned t = threadIdx.x, first_row = blockIdx.x * kRows;
  for (unsigned e = t; e < kRows * kChannels; e += kThreads) {
    const unsigned row = e / kChannels, token = first_row + row;
    shared.q[place(row, e % kChannels, kChannels)] =
        token < tokens ? q[token * kChannels + e % kChannels] : 0;
  }
  const unsigned row = t / 32 * 16 + t % 32 / 4, column = 2 * (t % 4);
  float m[2] = {kLowest, kLowest}, l[2] = {}, o[kChannels / 2] = {};
  const unsigned blocks = (tokens + kKeys - 1) / kKeys;
  for (unsigned block = 0; block < blocks; ++block) {
    const unsigned first_key = block * kKeys, keys = min(kKeys, tokens - first_key);
    const bool last = block + 1 == blocks;
    __syncthreads();
    for (unsigned e = t; e < kKeys * kChannels; e += kThreads) {
      const unsigned key = e / kChannels, byte = e % kChannels;
      shared.k[place(key, byte, kChannels)] =
          key < keys ? k[(first_key + key) * kChannels + byte] : 0;
    }
    __syncthreads();
    int a[kKeys / 2] = {};
    settle(a);
    begin_wgmma();
    for (unsigned g = 0; g < kChannels / 32; ++g)
      wgmma_s8_n128(a, descriptor(shared.q, 8 * kChannels) + g * kNextGroup,
                    descriptor(shared.k, 8 * kChannels) + g * kNextGroup, g > 0);
    end_wgmma();
    float s[kKeys / 2], scale[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const unsigned token = min(first_row + row + 8 * half, tokens - 1);
      const float dequant = q_scale[token] * k_scale[min(first_key + column, tokens - 1)];
      scale[half] = last ? c : c * dequant;
#pragma unroll
      for (unsigned i = 0; i < kKeys / 2; ++i) {
        if (i % 4 / 2 != static_cast<unsigned>(half)) continue;
        const float x = __int2float_rz(a[i]);
        s[i] = !last ? x : i / 4 * 8 + column + i % 2 < keys ? x * dequant : kLowest;
      }
    }
    step(s, m, l, o, scale);
    unsigned p[kKeys / 32][4];
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g)
#pragma unroll
      for (unsigned r = 0; r < 4; ++r) {
        const unsigned i = g * 16 + r / 2 * 8 + r % 2 * 2;
        p[g][r] = e4m3x2(s[i], s[i + 1]) | e4m3x2(s[i + 4], s[i + 5]) << 16;
      }
    for (unsigned e = t; e < kKeys * kChannels; e += kThreads) {
      const unsigned channel = e / kKeys, at = e % kKeys;
      shared.v[place(channel, at, kKeys)] =
          key_at(at) < keys ? vt[channel * tokens + first_key + key_at(at)] : 0;
    }
    __syncthreads();
    float product[kChannels / 2] = {};
    settle(product);
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g) settle(p[g]);
    begin_wgmma();
#pragma unroll
    for (unsigned g = 0; g < kKeys / 32; ++g)
      wgmma_e4m3_n64(product, p[g], descriptor(shared.v, 8 * kKeys) + g * kNextGroup, g > 0);
    end_wgmma();
#pragma unroll
    for (unsigned i = 0; i < kChannels / 2; ++i) o[i] += product[i];
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = l[half];
    sum += __shfl_xor_sync(0xffffffff, sum, 2);
    sum += __shfl_xor_sync(0xffffffff, sum, 1);
    const unsigned token = first_row + row + 8 * half;
    if (token >= tokens) continue;
    const float inverse = 1.0f / sum;
#pragma unroll
    for (unsigned i = 0; i < kChannels / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(half))
        out[token * kChannels + i / 4 * 8 + column + i % 2] = o[i] * inverse;
    m_out[token] = m[half];
    l_out[token] = sum;
  }
}
