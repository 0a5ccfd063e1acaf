// A forward pass in BF16 with the structure of FlashAttention-3's, 128 channels: a warpgroup that
// loads and two that compute, 64 queries each, which take turns at the tensor cores (ping-pong) and
// begin the next block's scores before they add P V of the last one; clusters of two CTAs, each of
// which loads half of the channels of every K and V for both; CTAs that stay for several tiles.
// What it is for: the executor's way through such a kernel, and docs/recipes/fa3_bf16.md, whose
// roundings it has. Built with fast math, as FlashAttention-3 is:
//   nvcc -arch=sm_90a -O3 -use_fast_math -ptx fa3_forward.cu
// With FP8: Q, K, V and P in E4M3, as docs/recipes/fa3_fp8.md; V comes transposed:
//   nvcc -arch=sm_90a -O3 -use_fast_math -DFP8=1 -ptx fa3_forward.cu -o fa3_forward_fp8.ptx
#include "pipeline.cuh"
#include "wgmma.cuh"

#ifndef FP8
#define FP8 0
#endif

namespace {

constexpr unsigned kQueries = 128, kKeys = FP8 ? 224 : 176, kChannels = 128, kHalf = 64;
constexpr unsigned kStages = 2, kCodeBytes = FP8 ? 1 : 2;
/// P is 2 to this power times the probability.
constexpr float kOffset = FP8 ? 8 : 0;
constexpr unsigned kConsumers = 256, kThreads = 384, kCtas = 2, kWarp = 32;
/// Bytes of half a tile of keys or values, which one CTA loads for both, and of a tile of queries.
constexpr unsigned kKeyHalf = kKeys * kHalf * kCodeBytes;
constexpr unsigned kQueryBytes = kQueries * kChannels * kCodeBytes;
/// L2 policies of the driver API: kept longest, and dropped first.
constexpr unsigned long long kEvictLast = 0x14F0000000000000ull;

/// Named barriers. 0 is __syncthreads(); kTurn is that of the first consumer.
enum Named : unsigned { kQueryFree = 1, kOutputReady = 2, kTurn = 3 };

#if FP8
struct Shared {
  unsigned char q[kQueries][kChannels];
  unsigned char k[kStages][kKeys][kChannels];
  /// Transposed: 32 keys of half the channels one after the other.
  unsigned char v[kStages][2][kKeys / 32][kHalf][32];
  unsigned short o[2][kQueries][kHalf];
  Barrier q_full, k_full[kStages], k_free[kStages], v_full[kStages], v_free[kStages];
};
#else
/// Tiles hold one half of the channels behind the other; the output takes the queries' place.
struct Shared {
  union {
    unsigned short q[2][kQueries][kHalf];
    unsigned short o[2][kQueries][kHalf];
  };
  unsigned short k[kStages][2][kKeys][kHalf];
  unsigned short v[kStages][2][kKeys][kHalf];
  Barrier q_full, k_full[kStages], k_free[kStages], v_full[kStages], v_free[kStages];
};

#endif

/// Which stage of a pipeline comes next, and which of its phases.
struct Place {
  unsigned stage = 0, phase = 0;
  __device__ void step() {
    if (++stage == kStages) stage = 0, phase ^= 1;
  }
};

/// What a cluster computes next: two neighbouring tiles of queries of a head.
struct Work {
  unsigned tile, head, batch;
};
struct Sizes {
  unsigned tokens, heads, batches;
  __device__ unsigned pairs() const {
    return (tokens + kCtas * kQueries - 1) / (kCtas * kQueries);
  }
  __device__ unsigned all() const { return pairs() * heads * batches; }
  __device__ Work work(unsigned number, unsigned rank) const {
    const unsigned head = number / pairs();
    return {number % pairs() * kCtas + rank, head % heads, head / heads};
  }
  __device__ int blocks() const { return (tokens + kKeys - 1) / kKeys; }
};

/// One lane a warp of each consumer tells one CTA that a stage may be filled again.
__device__ void release(Barrier& free) {
  const unsigned warp = threadIdx.x / kWarp % 4;
  if (warp < kCtas && elected()) arrive_at(free, warp);
}

/// Half of a tile, by one CTA for both.
__device__ void load_half(void* tile, const CUtensorMap& map, Corner at, Barrier& full) {
  expect(full, 2 * kKeyHalf);
  load(tile, map, at, full, (1 << kCtas) - 1, kEvictLast);
}
#if FP8
__device__ void load_keys(Shared& shared, unsigned stage, const CUtensorMap& map, const Work& work,
                          int block) {
  const int half = cluster_rank(), row = half * int(kKeys / 2);
  load_half(shared.k[stage][row], map,
            {0, block * int(kKeys) + row, 0, int(work.head), int(work.batch)},
            shared.k_full[stage]);
}
__device__ void load_values(Shared& shared, unsigned stage, const CUtensorMap& map,
                            const Work& work, int block) {
  const int half = cluster_rank();
  load_half(shared.v[stage][half], map,
            {0, half * int(kHalf), block * int(kKeys / 32), int(work.head), int(work.batch)},
            shared.v_full[stage]);
}
#else
__device__ void load_keys(Shared& shared, unsigned stage, const CUtensorMap& map, const Work& work,
                          int block) {
  const int half = cluster_rank();
  load_half(shared.k[stage][half], map,
            {0, int(block * kKeys), half, int(work.head), int(work.batch)}, shared.k_full[stage]);
}
__device__ void load_values(Shared& shared, unsigned stage, const CUtensorMap& map,
                            const Work& work, int block) {
  const int half = cluster_rank();
  load_half(shared.v[stage][half], map,
            {0, int(block * kKeys), half, int(work.head), int(work.batch)}, shared.v_full[stage]);
}
#endif

__device__ void produce(Shared& shared, const CUtensorMap& q, const CUtensorMap& k,
                        const CUtensorMap& v, const Sizes& sizes) {
  Place at{0, 1};
  const unsigned rank = cluster_rank();
  bool first = true;
  for (unsigned number = blockIdx.x / kCtas; number < sizes.all(); number += gridDim.x / kCtas) {
    const Work work = sizes.work(number, rank);
    if (!first) meet(kQueryFree, kConsumers + kWarp);
    first = false;
    if (elected()) {
      expect(shared.q_full, kQueryBytes);
      load(shared.q, q, {0, int(work.tile * kQueries), 0, int(work.head), int(work.batch)},
           shared.q_full);
    }
    for (int block = sizes.blocks() - 1; block >= 0; --block) {
      wait(shared.k_free[at.stage], at.phase);
      if (elected()) load_keys(shared, at.stage, k, work, block);
      wait(shared.v_free[at.stage], at.phase);
      if (elected()) load_values(shared, at.stage, v, work, block);
      at.step();
    }
  }
  // No CTA ends while the other one may still arrive at its barriers.
  for (unsigned i = 0; i < kStages; ++i) {
    wait(shared.k_free[at.stage], at.phase);
    wait(shared.v_free[at.stage], at.phase);
    at.step();
  }
}

struct Softmax {
  float row_max[2], row_sum[2];
};

/// Of one block: from raw scores to P, the new maxima and sums. @return what O is multiplied by.
template <bool kFirst>
__device__ void step(float (&s)[kKeys / 2], Softmax& state, float scale, float (&rescale)[2]) {
#pragma unroll
  for (int mi = 0; mi < 2; ++mi) {
    const float previous = state.row_max[mi];
    float highest = kFirst ? s[2 * mi] : fmaxf(previous, s[2 * mi]);
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (i % 4 / 2 == static_cast<unsigned>(mi)) highest = fmaxf(highest, s[i]);
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 2, 4));
    highest = fmaxf(highest, __shfl_xor_sync(0xffffffff, highest, 1, 4));
    rescale[mi] = 1;
    if (!kFirst) {
      rescale[mi] = exp2f((previous - highest) * scale);
      state.row_sum[mi] *= rescale[mi];
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

/// Two BF16 numbers, the first in the low half.
__device__ unsigned bf16x2(float first, float second) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

/// P as wgmma takes it from registers.
using Factor = unsigned[kKeys * kCodeBytes / 32][4];

__device__ void code(const float (&s)[kKeys / 2], Factor& p) {
#if FP8
  // Keys stand in V as they come out here: 0 1 8 9 2 3 10 11 ... of 16.
#pragma unroll
  for (unsigned i = 0; i < kKeys / 8; ++i) {
    const unsigned at = i / 4 * 16 + i % 4 / 2 * 8 + i % 2 * 2;
    p[i / 4][i % 4] = e4m3x2(s[at], s[at + 1]) | e4m3x2(s[at + 4], s[at + 5]) << 16;
  }
#else
#pragma unroll
  for (unsigned i = 0; i < kKeys / 4; ++i) p[i / 4][i % 4] = bf16x2(s[2 * i], s[2 * i + 1]);
#endif
}

__device__ void fence_wgmma() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ void wait_wgmma() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

__device__ void begin_scores(float (&s)[kKeys / 2], Shared& shared, unsigned consumer,
                             unsigned stage) {
  settle(s);
  fence_wgmma();
#if FP8
#pragma unroll
  for (unsigned g = 0; g < kChannels / 32; ++g)
    wgmma_e4m3_n224(s, swizzled(&shared.q[consumer * 64][g * 32]),
                    swizzled(&shared.k[stage][0][g * 32]), g > 0);
#else
#pragma unroll
  for (unsigned g = 0; g < kChannels / 16; ++g) {
    const unsigned half = g / 4, at = g % 4 * 16;
    wgmma_bf16_n176(s, swizzled(&shared.q[half][consumer * 64][at]),
                    swizzled(&shared.k[stage][half][0][at]), g > 0);
  }
#endif
  commit();
}

__device__ void begin_output(float (&o)[kChannels / 2], Factor& p, Shared& shared,
                             unsigned stage) {
  settle(o);
#pragma unroll
  for (auto& each : p) settle(each);
  fence_wgmma();
#if FP8
#pragma unroll
  for (unsigned g = 0; g < kKeys / 32; ++g)
#pragma unroll
    for (unsigned half = 0; half < 2; ++half)
      wgmma_e4m3_n64(reinterpret_cast<float(&)[kHalf / 2]>(o[half * kHalf / 2]), p[g],
                     swizzled_by_32(shared.v[stage][half][g]), 1);
#else
#pragma unroll
  for (unsigned g = 0; g < kKeys / 16; ++g)
    wgmma_bf16_n128(o, p[g], swizzled(&shared.v[stage][0][g * 16][0], kKeyHalf));
#endif
  commit();
}

/// O in BF16, as the map of the output reads it.
__device__ void put(const float (&o)[kChannels / 2], Shared& shared, unsigned consumer) {
  const unsigned t = threadIdx.x % 128, lane = t % kWarp;
  const unsigned row = consumer * 64 + t / kWarp * 16 + lane / 8 % 2 * 8 + lane % 8;
#pragma unroll
  for (unsigned g = 0; g < kChannels / 16; ++g) {
    const unsigned chunk = g % 4 * 2 + lane / 16;
    const unsigned to = shared_address(&shared.o[g / 4][row][(chunk ^ row % 8) * 8]);
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
                 "r"(bf16x2(o[8 * g], o[8 * g + 1])), "r"(bf16x2(o[8 * g + 2], o[8 * g + 3])),
                 "r"(bf16x2(o[8 * g + 4], o[8 * g + 5])), "r"(bf16x2(o[8 * g + 6], o[8 * g + 7]))
                 : "memory");
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ float natural_log_of_sum(float row_max, float row_sum, float scale) {
  constexpr float kLn2 = 0.693147180559945309f;
  float highest = __fmul_rn(row_max, scale);
  if constexpr (kOffset != 0) highest = __fsub_rn(highest, kOffset);
  return __fadd_rn(__fmul_rn(highest, kLn2), __fmul_rn(__log2f(row_sum), kLn2));
}

__device__ void consume(Shared& shared, const CUtensorMap& out, float* lse, const Sizes& sizes,
                        float scale, float v_scale) {
  const unsigned t = threadIdx.x % 128, consumer = threadIdx.x / 128 - 1, lane = t % kWarp;
  const unsigned mine = kTurn + consumer, other = kTurn + 1 - consumer;
  if (consumer == 1) pass(other, kConsumers);
  Place at, q_at;
  for (unsigned number = blockIdx.x / kCtas; number < sizes.all(); number += gridDim.x / kCtas) {
    const Work work = sizes.work(number, cluster_rank());
    Softmax state{};
    float o[kChannels / 2] = {}, s[kKeys / 2] = {}, rescale[2];
    Factor p;
    int block = sizes.blocks() - 1;

    wait(shared.q_full, q_at.phase);
    q_at.phase ^= 1;
    wait(shared.k_full[at.stage], at.phase);
    meet(mine, kConsumers);
    begin_scores(s, shared, consumer, at.stage);
    pass(other, kConsumers);
    wait_wgmma<0>();
    settle(s);
    release(shared.k_free[at.stage]);
#pragma unroll
    for (unsigned i = 0; i < kKeys / 2; ++i)
      if (block * kKeys + i / 4 * 8 + 2 * (lane % 4) + i % 2 >= sizes.tokens) s[i] = -INFINITY;
    step<true>(s, state, scale, rescale);
    code(s, p);

    while (--block >= 0) {
      const unsigned before = at.stage, before_phase = at.phase;
      at.step();
      wait(shared.k_full[at.stage], at.phase);
      meet(mine, kConsumers);
      begin_scores(s, shared, consumer, at.stage);
      wait(shared.v_full[before], before_phase);
      begin_output(o, p, shared, before);
      pass(other, kConsumers);
      wait_wgmma<1>();
      settle(s);
      release(shared.k_free[at.stage]);
      step<false>(s, state, scale, rescale);
      wait_wgmma<0>();
      settle(o);
      release(shared.v_free[before]);
#pragma unroll
      for (unsigned i = 0; i < kChannels / 2; ++i) o[i] *= rescale[i % 4 / 2];
      code(s, p);
    }
    wait(shared.v_full[at.stage], at.phase);
    begin_output(o, p, shared, at.stage);
    wait_wgmma<0>();
    settle(o);
    release(shared.v_free[at.stage]);
    at.step();

    const unsigned row = work.tile * kQueries + consumer * 64 + t / kWarp * 16 + lane / 4;
#pragma unroll
    for (int mi = 0; mi < 2; ++mi) {
      float sum = state.row_sum[mi];
      sum += __shfl_xor_sync(0xffffffff, sum, 2, 4);
      sum += __shfl_xor_sync(0xffffffff, sum, 1, 4);
      const float inverse = 1.0f / sum;
#pragma unroll
      for (unsigned i = 0; i < kChannels / 2; ++i)
        if (i % 4 / 2 == static_cast<unsigned>(mi)) o[i] = o[i] * inverse * v_scale;
      const unsigned token = row + 8 * mi;
      if (lane % 4 == 0 && token < sizes.tokens)
        lse[(work.batch * sizes.heads + work.head) * sizes.tokens + token] =
            natural_log_of_sum(state.row_max[mi], sum, scale);
    }
    put(o, shared, consumer);
    pass(kOutputReady, kConsumers + kWarp);
    if (threadIdx.x / kWarp == kThreads / kWarp - 1) {
      meet(kOutputReady, kConsumers + kWarp);
      if (elected()) {
        store(out, shared.o, {0, int(work.tile * kQueries), 0, int(work.head), int(work.batch)});
        asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
      }
      __syncwarp();
    }
    if (number + gridDim.x / kCtas < sizes.all()) pass(kQueryFree, kConsumers + kWarp);
  }
}

}  // namespace

/// q, k, v and out [batches, tokens, heads, 128] in BF16, through maps of five dimensions [batch,
/// head, half of the channels, token, 64 channels] with boxes of 128 queries and both halves, or
/// 176 keys and one half; lse [batches, heads, tokens]; scale c of the recipe.
/// FP8: q and k through maps [batch, head, 1, token, 128 channels] with boxes of 128 queries or 112
/// keys; v [batches, heads, 128, keys] through a map [batch, head, 32 keys each, channel, key] with
/// boxes of 7 times 32 keys of 64 channels; scale fl(fl(s_q*s_k)*c).
extern "C" __global__ void __cluster_dims__(kCtas, 1, 1) __launch_bounds__(kThreads, 1)
    fa3_forward(const __grid_constant__ CUtensorMap q, const __grid_constant__ CUtensorMap k,
                const __grid_constant__ CUtensorMap v, const __grid_constant__ CUtensorMap out,
                float* lse, unsigned tokens, unsigned heads, unsigned batches, float scale
#if FP8
                ,
                float v_scale
#endif
    ) {
#if !FP8
  constexpr float v_scale = 1;
#endif
  extern __shared__ __align__(1024) unsigned char bytes[];
  Shared& shared = *reinterpret_cast<Shared*>(bytes);
  if (threadIdx.x == 0) {
    for (const CUtensorMap* map : {&q, &k, &v, &out})
      asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
    init(shared.q_full, 1);
    for (unsigned i = 0; i < kStages; ++i) {
      init(shared.k_full[i], 1);
      init(shared.v_full[i], 1);
      init(shared.k_free[i], 2 * kCtas);
      init(shared.v_free[i], 2 * kCtas);
    }
  }
  meet_cluster();
  const Sizes sizes{tokens, heads, batches};
  if (threadIdx.x < 128) {
    give_registers_back<24>();
    if (threadIdx.x < kWarp) produce(shared, q, k, v, sizes);
  } else {
    take_registers<240>();
    consume(shared, out, lse, sizes, scale, v_scale);
  }
}
