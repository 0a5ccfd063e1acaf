// How often ex2.approx is rounded correctly: a prediction of docs/evidence.md.
#include <cmath>
#include <cstdio>
__global__ void powers(float* y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y[i]) : "f"(i * 0x1p-23f));
}
int main() {
  float* y;
  cudaMallocManaged(&y, sizeof(float) << 23);
  powers<<<1 << 15, 256>>>(y);
  cudaDeviceSynchronize();
  int off[3] = {};
  for (int i = 0; i < 1 << 23; ++i) {
    const float exact = static_cast<float>(std::exp2(i * 0x1p-23));
    const int distance = static_cast<int>(std::fabs(y[i] - exact) * 0x1p23f);  // 1 <= y < 2
    ++off[distance < 2 ? distance : 2];
  }
  std::printf("ex2 of [0, 1): %d %d %d\n", off[0], off[1], off[2]);
  return off[0] == 5125875 && off[1] == 3262733 ? 0 : 1;
}
