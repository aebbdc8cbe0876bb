#include "kernels/probe.h"

#include "kernels/common.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 512;
constexpr int32_t kLoads = 8;  // of 16 bytes in flight in each thread

// Computes   nothing: reads every byte once
// Grid       a block takes pieces of 64 KiB in turn
// Bound by   bytes
__global__ void __launch_bounds__(kThreads) ReadOnceKernel(const uint4* data, const int64_t pieces, uint32_t* sink) {
  AllowSuccessor();
  WaitForPredecessor();
  uint32_t sum = 0;
  for (int64_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    uint4 v[kLoads];
#pragma unroll
    for (int32_t i = 0; i < kLoads; ++i) v[i] = LoadStreaming(data + (piece * kLoads + i) * kThreads + threadIdx.x);
#pragma unroll
    for (int32_t i = 0; i < kLoads; ++i) sum |= v[i].x | v[i].y | v[i].z | v[i].w;
  }
  if (sum == 0xdeadbeef) *sink = sum;
}

}  // namespace

void ReadOnce(Launcher& launcher, const void* data, int64_t bytes, uint32_t* sink) {
  launcher.Launch(ReadOnceKernel, dim3(launcher.sm_count * 4), dim3(kThreads), 0, static_cast<const uint4*>(data),
                  bytes / (int64_t{16} * kLoads * kThreads), sink);
}

}  // namespace chorale::cuda
