// What nvcc makes of host code, written by hand: a fat binary is registered with its kernels and
// variables, launches go through the runtime's functions. So ordinary tests need no nvcc.
// program FATBIN [wild]
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" {
struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct Wrapper {
  int magic = 0x466243B1, version = 1;
  const void* data = nullptr;
  void* more = nullptr;
};
void** __cudaRegisterFatBinary(void*);
void __cudaRegisterFatBinaryEnd(void**);
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, void*, void*, void*,
                            void*, int*);
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int);
unsigned __cudaPushCallConfiguration(Dim3, Dim3, std::size_t, void*);
int __cudaPopCallConfiguration(Dim3*, Dim3*, std::size_t*, void*);
int cudaLaunchKernel(const void*, Dim3, Dim3, void**, std::size_t, void*);
int cudaFuncSetAttribute(const void*, int, int);
int cudaMalloc(void**, std::size_t);
int cudaMemcpy(void*, const void*, std::size_t, int);
int cudaMemcpyToSymbol(const void*, const void*, std::size_t, std::size_t, int);
int cudaMemcpyFromSymbol(void*, const void*, std::size_t, std::size_t, int);
int cudaDeviceSynchronize();
int cudaGetLastError();
int cudaGetDeviceProperties(void*, int);
int cudaGetDeviceProperties_v2(void*, int);
int cudaDeviceGetAttribute(int*, int, int);
const char* cudaGetErrorString(int);
int cuTensorMapEncodeTiled(void*, int, unsigned, void*, const std::uint64_t*, const std::uint64_t*,
                           const unsigned*, const unsigned*, int, int, int, int);
}

namespace {

constexpr unsigned kRows = 40, kColumns = 100, kAll = kRows * kColumns;
constexpr unsigned kTileRows = 16, kTileColumns = 32;

// Host functions and variables: only their addresses count.
char scale, total, wild, factor, launches;

[[noreturn]] void fail(int line, const char* what) {
  std::printf("line %d: %s: %s\n", line, what, cudaGetErrorString(cudaGetLastError()));
  std::exit(1);
}
#define REQUIRE(condition) \
  if (!(condition)) fail(__LINE__, #condition)

struct alignas(64) TensorMap {
  std::array<unsigned char, 128> bytes{};
};

TensorMap map_of(void* memory) {
  TensorMap map;
  const std::uint64_t size[] = {kColumns, kRows}, stride[] = {kColumns * 4};
  const unsigned box[] = {kTileColumns, kTileRows}, steps[] = {1, 1};
  constexpr int kFloat32 = 7;
  REQUIRE(cuTensorMapEncodeTiled(&map, kFloat32, 2, memory, size, stride, box, steps, 0, 0, 0, 0) ==
          0);
  return map;
}

/// kernel<<<grid, block, shared>>>(arguments...), as nvcc writes it.
template <typename... Arguments>
int call(const char& kernel, Dim3 grid, Dim3 block, std::size_t shared, Arguments... arguments) {
  REQUIRE(__cudaPushCallConfiguration(grid, block, shared, nullptr) == 0);
  void* list[] = {&arguments...};
  Dim3 popped_grid, popped_block;
  std::size_t popped_shared = 0;
  void* stream = nullptr;
  REQUIRE(__cudaPopCallConfiguration(&popped_grid, &popped_block, &popped_shared, &stream) == 0);
  return cudaLaunchKernel(&kernel, popped_grid, popped_block, list, popped_shared, stream);
}

struct Sum {
  const float* in;
  float* out;
  int count;
  float bias;
};

void add(void** handle, const char& host, const char* name) {
  __cudaRegisterFunction(handle, &host, nullptr, name, -1, nullptr, nullptr, nullptr, nullptr,
                         nullptr);
}

void scale_and_check(float* in, float* out, const std::vector<float>& host) {
  const float three = 3;
  REQUIRE(cudaMemcpyToSymbol(&factor, &three, sizeof three, 0, 1) == 0);
  const TensorMap from = map_of(in), to = map_of(out);
  constexpr int kShared = 64 << 10, kInvalidValue = 1, kMaxDynamicSharedMemorySize = 8;
  REQUIRE(call(scale, {4, 3}, {128}, kShared, from, to) == kInvalidValue);
  REQUIRE(cudaGetLastError() == kInvalidValue && cudaGetLastError() == 0);
  REQUIRE(cudaFuncSetAttribute(&scale, kMaxDynamicSharedMemorySize, kShared) == 0);
  REQUIRE(call(scale, {4, 3}, {128}, kShared, from, to) == 0);
  std::vector<float> result(kAll);
  REQUIRE(cudaMemcpy(result.data(), out, kAll * 4, 2) == 0);
  for (unsigned i = 0; i < kAll; ++i) REQUIRE(result[i] == 3 * host[i]);
  unsigned ctas = 0;
  REQUIRE(cudaMemcpyFromSymbol(&ctas, &launches, sizeof ctas, 0, 2) == 0);
  REQUIRE(ctas == 12);
}

/// Where the toolkits' headers have fields of cudaDeviceProp, by offsetof with CUDA 12.4's and
/// 13.0's: each is what the attribute of that number is.
struct Field {
  std::size_t offset;
  int attribute;
};

void check_properties(int (*get)(void*, int), std::size_t bytes, const std::vector<Field>& fields) {
  constexpr int kUntouched = 0x5A5A5A5A;
  std::vector<int> words(bytes / 4 + 1, kUntouched);
  REQUIRE(get(words.data(), 0) == 0 && words.back() == kUntouched && words[bytes / 4 - 1] == 0);
  for (const Field& each : fields) {
    int value = 0;
    REQUIRE(cudaDeviceGetAttribute(&value, each.attribute, 0) == 0);
    REQUIRE(words[each.offset / 4] == value && value != 0);
  }
}

void check_properties_of_both_toolkits() {
  check_properties(cudaGetDeviceProperties_v2, 1032,
                   {{296, 8},
                    {308, 10},
                    {348, 13},
                    {360, 75},
                    {388, 16},
                    {400, 19},
                    {576, 31},
                    {604, 41},
                    {608, 36},
                    {612, 37},
                    {616, 38},
                    {624, 39},
                    {640, 81},
                    {676, 89},
                    {696, 97},
                    {712, 106},
                    {720, 111},
                    {744, 115},
                    {772, 120}});
  check_properties(cudaGetDeviceProperties, 1008,
                   {{296, 8},
                    {308, 10},
                    {360, 75},
                    {384, 16},
                    {392, 19},
                    {560, 31},
                    {588, 41},
                    {592, 37},
                    {596, 38},
                    {604, 39},
                    {624, 81},
                    {656, 89},
                    {672, 97},
                    {688, 106},
                    {696, 111},
                    {720, 115},
                    {748, 120}});
}

}  // namespace

int main(int count, char** arguments) {
  std::ifstream file(arguments[1], std::ios::binary);
  check_properties_of_both_toolkits();
  const std::string fatbin((std::istreambuf_iterator<char>(file)), {});
  Wrapper wrapper{.data = fatbin.data()};
  void** const handle = __cudaRegisterFatBinary(&wrapper);
  add(handle, scale, "_Z5scale14CUtensorMap_stS_");
  add(handle, total, "_Z5total3Sum");
  add(handle, wild, "_Z4wildPf");
  __cudaRegisterVar(handle, &factor, nullptr, "factor", 0, 4, 1, 0);
  __cudaRegisterVar(handle, &launches, nullptr, "launches", 0, 4, 0, 0);
  __cudaRegisterFatBinaryEnd(handle);

  void *in = nullptr, *out = nullptr;
  REQUIRE(cudaMalloc(&in, kAll * 4) == 0 && cudaMalloc(&out, kAll * 4) == 0);
  std::vector<float> host(kAll);
  for (unsigned i = 0; i < kAll; ++i) host[i] = (static_cast<float>(i % 97) - 48) * 0.1f;
  REQUIRE(cudaMemcpy(in, host.data(), kAll * 4, 1) == 0);
  // Past the end of a block, and into nothing.
  REQUIRE(cudaMemcpy(static_cast<char*>(in) + 4, host.data(), kAll * 4, 1) == 1);
  REQUIRE(cudaGetLastError() == 1);
  if (count > 2) {
    constexpr int kLaunchFailure = 719;
    REQUIRE(call(wild, {1}, {1}, 0, out) == kLaunchFailure);
    REQUIRE(cudaDeviceSynchronize() == kLaunchFailure);
    std::puts("lost");
    return 0;
  }
  scale_and_check(static_cast<float*>(in), static_cast<float*>(out), host);
  const Sum sum{static_cast<float*>(in), static_cast<float*>(out), 1000, 0.5f};
  REQUIRE(call(total, {1}, {32}, 0, sum) == 0 && cudaDeviceSynchronize() == 0);
  float expected = 0.5f, got = 0;  // mul and add are one fma, as nvcc makes them
  for (int i = 0; i < 1000; ++i) expected = std::fma(host[i], 3.0f, expected);
  REQUIRE(cudaMemcpy(&got, static_cast<float*>(out) + 31, 4, 2) == 0);
  REQUIRE(got == expected);
  std::puts("right");
}
