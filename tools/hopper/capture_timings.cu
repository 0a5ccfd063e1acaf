// Measures rates for the time model: wgmma over N, exp2, FMA and conversion throughput, bulk copies
// (the TMA engine), L2 and HBM bandwidth. Usage: capture_timings OUT; writes OUT/timings.json.
#include <algorithm>
#include <cstdio>
#include <functional>

#include "capture_file.hpp"
#include "wide_wgmma.cuh"

namespace karat::capture {
namespace {

constexpr int kRepeats = 7;  ///< the median counts

struct Timing {
  std::string name;
  double value;
  std::string unit;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Clocks of one CTA, by the kernel's own clock64.
double clocks(const std::function<void(long long*)>& launch) {
  std::vector<double> values;
  for (int i = 0; i < kRepeats; ++i) {
    DeviceArray<long long> device(1);
    launch(device.data());
    finish("timing kernel");
    values.push_back(static_cast<double>(device.download()[0]));
  }
  return median(values);
}

/// Seconds of a launch over the whole GPU, after one to warm up.
double seconds(const std::function<void()>& launch) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  launch();
  std::vector<double> values;
  for (int i = 0; i < kRepeats; ++i) {
    check(cudaEventRecord(begin), "event");
    launch();
    check(cudaEventRecord(end), "event");
    finish("timing kernel");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    values.push_back(milliseconds * 1e-3);
  }
  return median(values);
}

constexpr int kWgmmaIterations = 1024;
constexpr int kWgmmaUnroll = 8;

/// Back-to-back m64nNk(32 bytes) into one accumulator; A and B in shared memory, whatever they
/// hold.
template <int n, bool fp8>
__device__ void wgmma_loop(std::uint64_t a, std::uint64_t b) {
#define KARAT_LOOP(N, registers, list, shape, types, tail) \
  if constexpr (n == N)                                    \
  asm volatile(                                                                           \
        "{ .reg .f32 d<" registers ">;\n.reg .pred more;\n.reg .b32 i;\nmov.b32 i, %2;\n"    \
        "again:\nwgmma.fence.sync.aligned;\n" KARAT_EIGHT_TIMES(                                                       \
            "wgmma.mma_async.sync.aligned.m64n" #N shape "." types " {" list "}, %0, %1, " tail \
            ";\n") "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"   \
        "sub.s32 i, i, 1;\nsetp.ne.s32 more, i, 0;\n@more bra again;\n}"                    \
        :                                                                                   \
        : "l"(a), "l"(b), "n"(kWgmmaIterations / kWgmmaUnroll)                              \
        : "memory")
#define KARAT_EIGHT_TIMES(text) text text text text text text text text
#define KARAT_LOOPS(shape, types, tail)                          \
  KARAT_LOOP(8, "4", KARAT_LIST_4("d"), shape, types, tail);     \
  KARAT_LOOP(16, "8", KARAT_LIST_8("d"), shape, types, tail);    \
  KARAT_LOOP(32, "16", KARAT_LIST_16("d"), shape, types, tail);  \
  KARAT_LOOP(64, "32", KARAT_LIST_32("d"), shape, types, tail);  \
  KARAT_LOOP(128, "64", KARAT_LIST_64("d"), shape, types, tail); \
  KARAT_LOOP(256, "128", KARAT_LIST_128("d"), shape, types, tail)
  if constexpr (fp8) {
    KARAT_LOOPS("k32", "f32.e4m3.e4m3", "1, 1, 1");
  } else {
    KARAT_LOOPS("k16", "f32.bf16.bf16", "1, 1, 1, 0, 0");
  }
}

template <int n, bool fp8>
__global__ void __launch_bounds__(128, 1) time_wgmma(long long* result) {
  __shared__ alignas(128) std::uint8_t a[64 * 32];
  __shared__ alignas(128) std::uint8_t b[n * 32];
  for (int i = threadIdx.x; i < 64 * 32; i += 128) a[i] = static_cast<std::uint8_t>(i * 37);
  for (int i = threadIdx.x; i < n * 32; i += 128) b[i] = static_cast<std::uint8_t>(i * 53);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const std::uint64_t a_matrix = descriptor(a, 64 * 16, kCoreBytes);
  const std::uint64_t b_matrix = descriptor(b, n * 16, kCoreBytes);
  const long long begin = clock64();
  wgmma_loop<n, fp8>(a_matrix, b_matrix);
  if (threadIdx.x == 0 && blockIdx.x == 0) *result = clock64() - begin;
}

template <int n, bool fp8>
void measure_wgmma(std::vector<Timing>& timings) {
  const std::string name =
      std::string("wgmma.m64n") + std::to_string(n) + (fp8 ? "k32.e4m3" : "k16.bf16");
  const double total = clocks([](long long* result) { time_wgmma<n, fp8><<<1, 128>>>(result); });
  timings.push_back({name, total / kWgmmaIterations, "clk"});
}

enum class Pipe { ex2, fma, convert };
constexpr int kPipeThreads = 1024;
constexpr int kPipeIterations = 512;
constexpr int kPipeChains = 8;  ///< independent chains per thread

template <Pipe pipe>
__global__ void time_pipe(long long* result, float* sink) {
  float x[kPipeChains];
  for (int i = 0; i < kPipeChains; ++i) x[i] = -0.001f * static_cast<float>(threadIdx.x + i);
  __syncthreads();
  const long long begin = clock64();
  for (int step = 0; step < kPipeIterations; ++step)
#pragma unroll
    for (int i = 0; i < kPipeChains; ++i) {
      if constexpr (pipe == Pipe::ex2) {
        asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[i]));
      } else if constexpr (pipe == Pipe::fma) {
        asm volatile("fma.rn.f32 %0, %0, %0, %0;" : "+f"(x[i]));
      } else {
        asm volatile(
            "{ .reg .b16 pair;\n.reg .b32 wide;\ncvt.rn.satfinite.e4m3x2.f32 pair, %0, %0;\n"
            "cvt.u32.u16 wide, pair;\nmov.b32 %0, wide; }"
            : "+f"(x[i]));
      }
    }
  __syncthreads();
  if (threadIdx.x == 0) *result = clock64() - begin;
  float sum = 0;
  for (const float value : x) sum += value;
  if (sum == 12345.0f) *sink = sum;  // keeps the chains alive
}

template <Pipe pipe>
void measure_pipe(const char* name, int per_operation, std::vector<Timing>& timings) {
  const DeviceArray<float> sink(1);
  const double total =
      clocks([&](long long* result) { time_pipe<pipe><<<1, kPipeThreads>>>(result, sink.data()); });
  const double operations =
      static_cast<double>(kPipeThreads) * kPipeIterations * kPipeChains * per_operation;
  timings.push_back({name, operations / total, "per clk per SM"});
}

constexpr int kCopyBytes = 16384;
constexpr int kCopies = 256;

/// One thread issues bulk copies and waits for each: latency and bytes per clock of one in flight.
__global__ void time_bulk_copy(const std::uint8_t* from, int bytes, long long* result) {
  __shared__ alignas(128) std::uint8_t to[kCopyBytes];
  __shared__ alignas(8) std::uint64_t barrier;
  const auto to_shared = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(&barrier));
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(at) : "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  const long long begin = clock64();
  for (int i = 0; i < kCopies; ++i) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes)
                 : "memory");
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(to_shared),
        "l"(from), "r"(bytes), "r"(at)
        : "memory");
    asm volatile(
        "{ .reg .pred done;\nwait:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra wait;\n}" ::"r"(at),
        "r"(i & 1)
        : "memory");
  }
  *result = clock64() - begin;
}

void measure_bulk_copy(std::vector<Timing>& timings) {
  const DeviceArray<std::uint8_t> from(kCopyBytes);
  for (int bytes = 1024; bytes <= kCopyBytes; bytes *= 4) {
    const double total =
        clocks([&](long long* result) { time_bulk_copy<<<1, 1>>>(from.data(), bytes, result); });
    timings.push_back(
        {"tma.bulk_copy." + std::to_string(bytes) + "B.one_in_flight", total / kCopies, "clk"});
  }
}

__global__ void read_all(const uint4* data, std::size_t count, int passes, unsigned* sink) {
  unsigned sum = 0;
  for (int pass = 0; pass < passes; ++pass)
    for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
         i += std::size_t{gridDim.x} * blockDim.x) {
      const uint4 word = __ldcg(data + i);  // past L1
      sum += word.x ^ word.y ^ word.z ^ word.w;
    }
  if (sum == 0xDEADBEEFu) *sink = sum;
}

void measure_reads(const char* name, std::size_t bytes, int passes, int processors,
                   std::vector<Timing>& timings) {
  const DeviceArray<uint4> data(bytes / sizeof(uint4));
  const DeviceArray<unsigned> sink(1);
  const double time = seconds([&] {
    read_all<<<processors * 4, 512>>>(data.data(), bytes / sizeof(uint4), passes, sink.data());
  });
  timings.push_back({name, static_cast<double>(bytes) * passes / time * 1e-9, "GB/s"});
}

template <int... n>
void measure_all_wgmma(std::vector<Timing>& timings) {
  (measure_wgmma<n, false>(timings), ...);
  (measure_wgmma<n, true>(timings), ...);
}

}  // namespace
}  // namespace karat::capture

int main(int argc, char** argv) {
  using namespace karat::capture;
  const Options options = parse_options(argc, argv);
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "device 0");
  std::vector<Timing> timings;
  measure_all_wgmma<8, 16, 32, 64, 128, 256>(timings);
  measure_pipe<Pipe::ex2>("ex2.approx.ftz.f32", 1, timings);
  measure_pipe<Pipe::fma>("fma.rn.f32", 1, timings);
  measure_pipe<Pipe::convert>("cvt.rn.satfinite.e4m3x2.f32 (values)", 2, timings);
  measure_bulk_copy(timings);
  const int processors = device.multiProcessorCount;
  measure_reads("l2.read.16MiB", std::size_t{16} << 20, 64, processors, timings);
  measure_reads("hbm.read.4GiB", std::size_t{4} << 30, 1, processors, timings);
  timings.push_back({"multiprocessors", static_cast<double>(processors), "SM"});
  std::ofstream out(options.out + "/timings.json");
  out << "[\n";
  for (std::size_t i = 0; i < timings.size(); ++i)
    out << "  {\"name\": \"" << timings[i].name << "\", \"value\": " << timings[i].value
        << ", \"unit\": \"" << timings[i].unit << "\"}" << (i + 1 < timings.size() ? ",\n" : "\n");
  out << "]\n";
  if (!out.flush()) fail(options.out + "/timings.json", "cannot be written");
  std::printf("timings\n");
}
