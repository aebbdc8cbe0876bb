// The bulk copy engine (sm_90): barriers in shared memory that count bytes, and copies of boxes of a matrix.
#pragma once

#include <cuda.h>

#include "kernels/common.cuh"

namespace chorale::cuda {

__device__ __forceinline__ void BarrierInit(uint64_t* barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(count) : "memory");
}
__device__ __forceinline__ void BarrierArrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
}
// At the same barrier of block `member` of the cluster.
__device__ __forceinline__ void BarrierArriveAt(uint64_t* barrier, int32_t member) {
  asm volatile("{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(
                   SharedAddress(barrier)),
               "r"(member)
               : "memory");
}
__device__ __forceinline__ void BarrierArriveExpecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void BarrierWait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{ .reg .pred done; "
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; "
      "@done bra ready; bra again; ready: }" ::"r"(SharedAddress(barrier)),
      "r"(parity)
      : "memory");
}
// The bytes alone, of which somebody who arrives later has asked.
__device__ __forceinline__ void BarrierExpect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(bytes) : "memory");
}
// Whether BarrierWait would go on at once.
__device__ __forceinline__ bool BarrierPassed(uint64_t* barrier, uint32_t parity) {
  uint32_t passed;
  asm volatile("{ .reg .pred done; mbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2; selp.u32 %0, 1, 0, done; }"
               : "=r"(passed)
               : "r"(SharedAddress(barrier)), "r"(parity)
               : "memory");
  return passed != 0;
}

// Copies the box of the map at (col, row) to shared memory; its bytes arrive at the barrier.
__device__ __forceinline__ void CopyBox(uint32_t target, const CUtensorMap* map, int32_t col, int32_t row,
                                        uint64_t* barrier, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(target),
      "l"(map), "r"(col), "r"(row), "r"(SharedAddress(barrier)), "l"(policy)
      : "memory");
}

// The same of a map of three dimensions.
__device__ __forceinline__ void CopyBox(uint32_t target, const CUtensorMap* map, int32_t first, int32_t second, int32_t third,
                                        uint64_t* barrier, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(target),
      "l"(map), "r"(first), "r"(second), "r"(third), "r"(SharedAddress(barrier)), "l"(policy)
      : "memory");
}

// Lets the box come to L2.
__device__ __forceinline__ void PrefetchBox(const CUtensorMap* map, int32_t col, int32_t row) {
  asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(map), "r"(col), "r"(row) : "memory");
}

// Copies the box to both blocks of a cluster of two, at the same places of each.
__device__ __forceinline__ void CopyBoxToBoth(uint32_t target, const CUtensorMap* map, int32_t col, int32_t row,
                                              uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(target),
      "l"(map), "r"(col), "r"(row), "r"(SharedAddress(barrier)), "h"(static_cast<uint16_t>(3))
      : "memory");
}

// Copies bytes, a multiple of 16, both places 16-byte aligned.
__device__ __forceinline__ void CopyBytes(uint32_t target, const void* source, uint32_t bytes, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(target),
               "l"(source), "r"(bytes), "r"(SharedAddress(barrier))
               : "memory");
}

}  // namespace chorale::cuda
