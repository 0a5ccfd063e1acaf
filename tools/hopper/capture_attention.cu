// Captures every stage of one small FP8 attention kernel: one CTA of one warpgroup, 64 query rows,
// two blocks of 128 keys, 128 channels, products by wgmma. docs/evidence.md states its arithmetic.
// Usage: capture_attention OUT [SEED]; writes OUT/attention.safetensors.
#include "capture_file.hpp"
#include "karat/evidence/inputs.hpp"
#include "karat/golden/fragment.hpp"
#include "wide_wgmma.cuh"

namespace karat::capture {
namespace {

using evidence::kAttentionBlock;
using evidence::kAttentionBlocks;
using evidence::kAttentionChannels;
using evidence::kAttentionKeys;
using evidence::kAttentionRows;
using evidence::Stream;
using golden::FragmentPlace;

constexpr int kThreads = golden::kWarpgroupThreads;
constexpr int kWords = kAttentionBlock / 2;  // accumulator words of a thread

/// Where the stages go; names as in the file.
struct Stages {
  std::uint8_t *q_codes, *k_codes, *v_codes;
  float* scales;          // q, k, v
  float *a, *s, *p;       // rows x keys
  std::uint8_t* p_codes;  // rows x keys
  float *m, *alpha;       // blocks x rows
  float *l, *r;           // rows
  float* o;               // rows x channels
  std::uint16_t* out;     // rows x channels, bf16
};

__device__ float ex2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ std::uint8_t e4m3(float x) {
  std::uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %1;" : "=h"(pair) : "f"(x));
  return static_cast<std::uint8_t>(pair);
}

/// One scale for the whole operand: amax / 448; code = round(x / scale).
__device__ float quantise(std::uint64_t seed, Stream stream, int count, std::uint8_t* codes,
                          unsigned* amax_bits) {
  if (threadIdx.x == 0) *amax_bits = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += kThreads)
    atomicMax(amax_bits, __float_as_uint(fabsf(evidence::attention_input(seed, stream, i))));
  __syncthreads();
  const float scale = __fdiv_rn(__uint_as_float(*amax_bits), evidence::kLargestE4m3);
  for (int i = threadIdx.x; i < count; i += kThreads)
    codes[i] = e4m3(__fdiv_rn(evidence::attention_input(seed, stream, i), scale));
  __syncthreads();
  return scale;
}

/// A fragment for 32 bytes of K from rows of `stride` bytes.
__device__ void load_a(std::uint32_t (&a)[4], const std::uint8_t* rows, int stride, int step) {
  for (int r = 0; r < 4; ++r) {
    const FragmentPlace place = golden::a_operand_place(threadIdx.x, 4 * r, 8);
    a[r] = *reinterpret_cast<const std::uint32_t*>(rows + place.row * stride + 32 * step +
                                                   place.column);
  }
}

__device__ void before_wgmma_reads_shared() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
}

/// d = the chain over 128 bytes of K, from an absent accumulator.
__device__ void product(float (&d)[kWords], const std::uint8_t* rows, int stride,
                        const std::uint8_t* columns) {
  for (int step = 0; step < 4; ++step) {
    std::uint32_t a[4];
    load_a(a, rows, stride, step);
    wide_wgmma(d, a, columns, step, step > 0);
  }
}

/// Over the four lanes that share a row: lane xor 2, then lane xor 1.
template <class Operation>
__device__ float across_quad(float x, const Operation& operation) {
  x = operation(x, __shfl_xor_sync(~0u, x, 2));
  return operation(x, __shfl_xor_sync(~0u, x, 1));
}

__global__ void __launch_bounds__(kThreads, 1) attention(std::uint64_t seed, Stages out) {
  __shared__ alignas(128) std::uint8_t columns[kAttentionBlock * kAttentionChannels];
  __shared__ alignas(128) std::uint8_t p_rows[kAttentionRows * kAttentionBlock];
  __shared__ unsigned amax;
  const int thread = static_cast<int>(threadIdx.x);
  const float s_q =
      quantise(seed, Stream::attention_q, kAttentionRows * kAttentionChannels, out.q_codes, &amax);
  const float s_k =
      quantise(seed, Stream::attention_k, kAttentionKeys * kAttentionChannels, out.k_codes, &amax);
  const float s_v =
      quantise(seed, Stream::attention_v, kAttentionKeys * kAttentionChannels, out.v_codes, &amax);
  if (thread == 0) {
    out.scales[0] = s_q;
    out.scales[1] = s_k;
    out.scales[2] = s_v;
  }
  const float factor = __fmul_rn(__fmul_rn(s_q, s_k), evidence::kScoreScale);

  // Each thread holds words of two rows: index 0 its upper row, 1 the row 8 below.
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, o[kWords] = {};
  for (int block = 0; block < kAttentionBlocks; ++block) {
    const int first_key = block * kAttentionBlock;
    for (int i = thread; i < kAttentionBlock * kAttentionChannels; i += kThreads)
      columns[wide_offset(i / kAttentionChannels, i % kAttentionChannels)] =
          out.k_codes[first_key * kAttentionChannels + i];
    before_wgmma_reads_shared();
    float s[kWords];
    product(s, out.q_codes, kAttentionChannels, columns);

    float top[2] = {m[0], m[1]};
    for (int w = 0; w < kWords; ++w) {
      const FragmentPlace place = golden::accumulator_place(thread, w);
      const int at = place.row * kAttentionKeys + first_key + place.column;
      out.a[at] = s[w];
      s[w] = __fmul_rn(s[w], factor);
      out.s[at] = s[w];
      top[w / 2 % 2] = fmaxf(top[w / 2 % 2], s[w]);
    }
    float alpha[2];
    for (int half = 0; half < 2; ++half) {
      top[half] = across_quad(top[half], [](float x, float y) { return fmaxf(x, y); });
      alpha[half] = ex2(__fsub_rn(m[half], top[half]));
      m[half] = top[half];
      l[half] = __fmul_rn(l[half], alpha[half]);
      const FragmentPlace place = golden::accumulator_place(thread, 2 * half);
      out.m[block * kAttentionRows + place.row] = m[half];
      out.alpha[block * kAttentionRows + place.row] = alpha[half];
    }
    __syncthreads();  // everyone has read K: the shared tile can take V
    for (int w = 0; w < kWords; ++w) {
      const FragmentPlace place = golden::accumulator_place(thread, w);
      const int half = w / 2 % 2;
      const float p = ex2(__fsub_rn(s[w], m[half]));
      l[half] = __fadd_rn(l[half], p);
      const std::uint8_t code = e4m3(__fmul_rn(evidence::kLargestE4m3, p));
      const int at = place.row * kAttentionKeys + first_key + place.column;
      out.p[at] = p;
      out.p_codes[at] = code;
      p_rows[place.row * kAttentionBlock + place.column] = code;
    }
    for (int i = thread; i < kAttentionBlock * kAttentionChannels; i += kThreads)
      columns[wide_offset(i % kAttentionChannels, i / kAttentionChannels)] =
          out.v_codes[first_key * kAttentionChannels + i];
    before_wgmma_reads_shared();
    float t[kWords];
    product(t, p_rows, kAttentionBlock, columns);
    for (int w = 0; w < kWords; ++w) o[w] = __fadd_rn(__fmul_rn(o[w], alpha[w / 2 % 2]), t[w]);
    __syncthreads();
  }

  const float v_factor = __fdiv_rn(s_v, evidence::kLargestE4m3);
  float r[2];
  for (int half = 0; half < 2; ++half) {
    l[half] = across_quad(l[half], [](float x, float y) { return __fadd_rn(x, y); });
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r[half]) : "f"(l[half]));
    const FragmentPlace place = golden::accumulator_place(thread, 2 * half);
    out.l[place.row] = l[half];
    out.r[place.row] = r[half];
  }
  for (int w = 0; w < kWords; ++w) {
    const FragmentPlace place = golden::accumulator_place(thread, w);
    const int at = place.row * kAttentionChannels + place.column;
    out.o[at] = o[w];
    std::uint16_t bf16;
    asm("cvt.rn.bf16.f32 %0, %1;"
        : "=h"(bf16)
        : "f"(__fmul_rn(__fmul_rn(o[w], r[w / 2 % 2]), v_factor)));
    out.out[at] = bf16;
  }
}

}  // namespace
}  // namespace karat::capture

int main(int argc, char** argv) {
  using namespace karat::capture;
  const Options options = parse_options(argc, argv);
  constexpr std::size_t rows = kAttentionRows, keys = kAttentionKeys, channels = kAttentionChannels;
  constexpr std::size_t blocks = kAttentionBlocks;
  const DeviceArray<std::uint8_t> q_codes(rows * channels), k_codes(keys * channels),
      v_codes(keys * channels), p_codes(rows * keys);
  const DeviceArray<float> scales(3), a(rows * keys), s(rows * keys), p(rows * keys),
      m(blocks * rows), alpha(blocks * rows), l(rows), r(rows), o(rows * channels);
  const DeviceArray<std::uint16_t> out(rows * channels);
  attention<<<1, kThreads>>>(
      options.seed, Stages{q_codes.data(), k_codes.data(), v_codes.data(), scales.data(), a.data(),
                           s.data(), p.data(), p_codes.data(), m.data(), alpha.data(), l.data(),
                           r.data(), o.data(), out.data()});
  finish("attention");
  CaptureFile file({{"program", "attention"}, {"seed", std::to_string(options.seed)}});
  file.add("q_codes", {rows, channels}, q_codes.download());
  file.add("k_codes", {keys, channels}, k_codes.download());
  file.add("v_codes", {keys, channels}, v_codes.download());
  file.add("scales", {3}, scales.download());
  file.add("a", {rows, keys}, a.download());
  file.add("s", {rows, keys}, s.download());
  file.add("p", {rows, keys}, p.download());
  file.add("p_codes", {rows, keys}, p_codes.download());
  file.add("m", {blocks, rows}, m.download());
  file.add("alpha", {blocks, rows}, alpha.download());
  file.add("l", {rows}, l.download());
  file.add("r", {rows}, r.download());
  file.add("o", {rows, channels}, o.download());
  file.add("out", {rows, channels}, out.download());
  file.write(options.out + "/attention.safetensors");
  std::printf("attention\n");
}
