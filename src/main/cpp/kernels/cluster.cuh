// Blocks of a cluster (sm_90): a barrier of all of them, and each other's shared memory. A cluster of one block needs
// nothing of sm_90.
#pragma once

#include "kernels/common.cuh"

namespace chorale::cuda {

__device__ __forceinline__ void ClusterArrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void ClusterWait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
  __syncthreads();
#endif
}

// Reads the same variables of another block of the cluster; 8-byte aligned.
__device__ __forceinline__ float2 LoadInBlock(const float* own, int32_t block) {
#if __CUDA_ARCH__ >= 900
  float2 value;
  asm volatile("{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %2, %3; ld.shared::cluster.v2.f32 {%0, %1}, [remote]; }"
               : "=f"(value.x), "=f"(value.y)
               : "r"(SharedAddress(own)), "r"(block)
               : "memory");
  return value;
#else
  return *reinterpret_cast<const float2*>(own);
#endif
}

}  // namespace chorale::cuda
