// A program as people write them: host code of the CUDA runtime, kernels that copy tiles by tensor
// maps, in clusters too. It checks its own results; its PTX as nvcc 13.0 embeds it stands beside it:
//   nvcc -arch=compute_90a -fatbin program.cu -o program.fatbin
//   nvcc -arch=compute_90a -fatbin --compress-mode=speed program.cu -o program.speed.fatbin
#include <cuda.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int kRows = 16, kColumns = 32;

__constant__ float factor = 2.0f;
__device__ unsigned launches;

struct Sum {
  const float* in;
  float* out;
  int count;
  float bias;
};

__device__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ void begin(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals));
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ void expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
__device__ void wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra over;\nbra again;\nover:\n}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// out = factor * in, a tile of 16 x 32 a CTA.
__global__ void __launch_bounds__(128)
    scale(const __grid_constant__ CUtensorMap in, const __grid_constant__ CUtensorMap out) {
  extern __shared__ __align__(1024) float tile[];
  __shared__ uint64_t barrier;
  const int row = blockIdx.y * kRows, column = blockIdx.x * kColumns;
  if (threadIdx.x == 0) {
    begin(&barrier, 1);
    expect(&barrier, kRows * kColumns * sizeof(float));
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, "
        "{%2, %3}], [%4];" ::"r"(shared_address(tile)),
        "l"(&in), "r"(column), "r"(row), "r"(shared_address(&barrier))
        : "memory");
    atomicAdd(&launches, 1);
  }
  __syncthreads();
  wait(&barrier, 0);
  for (int i = threadIdx.x; i < kRows * kColumns; i += blockDim.x) tile[i] *= factor;
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(
                     &out),
                 "r"(column), "r"(row), "r"(shared_address(tile))
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
  }
}

// Each CTA of a cluster of two loads half a tile into both, then writes the whole, times its rank
// plus one.
__global__ void share(const __grid_constant__ CUtensorMap in, float* out) {
  __shared__ __align__(1024) float tile[kRows * kColumns];
  __shared__ uint64_t barrier;
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (threadIdx.x == 0) {
    begin(&barrier, 1);
    expect(&barrier, sizeof tile);
  }
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
  if (threadIdx.x == 0) {
    const int row = rank * kRows / 2;
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
        "cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(tile + row * kColumns)),
        "l"(&in), "r"(0), "r"(row), "r"(shared_address(&barrier)),
        "h"(static_cast<uint16_t>(3))
        : "memory");
  }
  wait(&barrier, 0);
  for (int i = threadIdx.x; i < kRows * kColumns; i += blockDim.x)
    out[rank * kRows * kColumns + i] = tile[i] * (rank + 1);
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

__global__ void total(Sum sum) {
  float all = sum.bias;
  for (int i = 0; i < sum.count; ++i) all = all + sum.in[i] * factor;
  sum.out[threadIdx.x] = all;
}

__global__ void wild(float* out) { out[1 << 28] = 1; }

#define CHECK(call)                                                                     \
  do {                                                                                  \
    const cudaError_t code = (call);                                                    \
    if (code != cudaSuccess) {                                                          \
      std::printf("line %d: %s: %s\n", __LINE__, #call, cudaGetErrorString(code));      \
      std::exit(1);                                                                     \
    }                                                                                   \
  } while (0)
#define REQUIRE(condition)                                     \
  do {                                                         \
    if (!(condition)) {                                        \
      std::printf("line %d: %s\n", __LINE__, #condition);      \
      std::exit(1);                                            \
    }                                                          \
  } while (0)

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*,
                            const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                            const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static CUtensorMap map_of(float* memory, unsigned rows, unsigned columns, unsigned box_rows) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result;
  CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                         cudaEnableDefault, &result));
  REQUIRE(result == cudaDriverEntryPointSuccess);
  CUtensorMap map;
  const cuuint64_t size[] = {columns, rows}, stride[] = {columns * sizeof(float)};
  const cuuint32_t box[] = {kColumns, box_rows}, steps[] = {1, 1};
  const CUresult code = reinterpret_cast<Encode>(function)(
      &map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, memory, size, stride, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  REQUIRE(code == CUDA_SUCCESS);
  return map;
}

int main(int count, char** arguments) {
  constexpr unsigned rows = 40, columns = 100, all = rows * columns;  // no multiples of a tile
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  REQUIRE(device.major == 9 && device.multiProcessorCount == 132 && device.warpSize == 32);
  REQUIRE(device.sharedMemPerBlockOptin == 232448 && device.clusterLaunch == 1);
  REQUIRE(device.sharedMemPerMultiprocessor == 233472 && device.maxBlocksPerMultiProcessor == 32);
  REQUIRE(device.regsPerMultiprocessor == 65536 && device.maxThreadsPerMultiProcessor == 2048);
  REQUIRE(device.reservedSharedMemPerBlock == 1024 && device.memoryPoolsSupported == 1);

  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  float *in, *out, *sums;
  CHECK(cudaMalloc(&in, all * sizeof(float)));
  CHECK(cudaMallocAsync(&out, all * sizeof(float), stream));
  CHECK(cudaMallocManaged(&sums, 32 * sizeof(float)));
  std::vector<float> host(all);
  for (unsigned i = 0; i < all; ++i) host[i] = (static_cast<float>(i % 97) - 48) * 0.1f;
  CHECK(cudaMemcpyAsync(in, host.data(), all * sizeof(float), cudaMemcpyHostToDevice, stream));
  CHECK(cudaMemsetAsync(out, 0xFF, all * sizeof(float), stream));
  const float three = 3;
  CHECK(cudaMemcpyToSymbol(factor, &three, sizeof three));

  // More dynamic shared memory than a launch may have without saying so.
  constexpr int kShared = 64 << 10;
  const CUtensorMap from = map_of(in, rows, columns, kRows), to = map_of(out, rows, columns, kRows);
  const dim3 grid((columns + kColumns - 1) / kColumns, (rows + kRows - 1) / kRows);
  scale<<<grid, 128, kShared, stream>>>(from, to);
  REQUIRE(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(scale, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  scale<<<grid, 128, kShared, stream>>>(from, to);
  CHECK(cudaGetLastError());
  CHECK(cudaStreamSynchronize(stream));
  std::vector<float> result(all);
  CHECK(cudaMemcpy(result.data(), out, all * sizeof(float), cudaMemcpyDeviceToHost));
  for (unsigned i = 0; i < all; ++i) REQUIRE(result[i] == 3 * host[i]);
  unsigned ctas = 0;
  CHECK(cudaMemcpyFromSymbol(&ctas, launches, sizeof ctas));
  REQUIRE(ctas == grid.x * grid.y);

  // A cluster of two, by attribute.
  const CUtensorMap half = map_of(in, rows, columns, kRows / 2);
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {2, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = 2;
  config.blockDim = 64;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  CHECK(cudaLaunchKernelEx(&config, share, half, out));
  CHECK(cudaMemcpy(result.data(), out, all * sizeof(float), cudaMemcpyDefault));
  for (int rank = 0; rank < 2; ++rank)
    for (int i = 0; i < kRows * kColumns; ++i)
      REQUIRE(result[rank * kRows * kColumns + i] ==
              host[i / kColumns * columns + i % kColumns] * (rank + 1));

  total<<<1, 32>>>(Sum{in, sums, 1000, 0.5f});
  CHECK(cudaDeviceSynchronize());
  float expected = 0.5f;
  for (int i = 0; i < 1000; ++i) expected = std::fmaf(host[i], 3.0f, expected);
  for (int i = 0; i < 32; ++i) REQUIRE(sums[i] == expected);  // managed: no copy

  int ctas_of_sm = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&ctas_of_sm, scale, 128, kShared));
  REQUIRE(ctas_of_sm == 3);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, scale));
  REQUIRE(attributes.maxThreadsPerBlock == 128 && attributes.sharedSizeBytes == 8);
  REQUIRE(attributes.maxDynamicSharedSizeBytes == kShared && attributes.ptxVersion == 90);
  CHECK(cudaFree(in));
  CHECK(cudaFreeAsync(out, stream));
  REQUIRE(cudaFree(&count) == cudaErrorInvalidValue && cudaGetLastError() == cudaErrorInvalidValue);
  if (count > 1) {  // a kernel at fault: the device is lost
    wild<<<1, 1>>>(sums);
    REQUIRE(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
    REQUIRE(cudaFree(sums) == cudaErrorLaunchFailure);
    std::puts("lost");
    return 0;
  }
  CHECK(cudaFree(sums));
  CHECK(cudaStreamDestroy(stream));
  std::printf("%s\n", arguments[0] != nullptr ? "right" : "");
}
