// A thread's side of an exchange (exchange.h): four neighbouring columns of a row at a time.
#pragma once

#include "kernels/common.cuh"
#include "kernels/exchange.h"

namespace chorale::cuda {

constexpr uint32_t kPollsBetweenLooks = 2048;  // at the clock and the host: about a millisecond

__device__ __forceinline__ void StoreToPeer(uint32_t* place, uint2 words) {
  asm volatile("st.relaxed.sys.global.v2.u32 [%0], {%1, %2};" ::"l"(place), "r"(words.x), "r"(words.y) : "memory");
}
__device__ __forceinline__ uint2 LoadFromPeer(const uint32_t* place) {
  uint2 words;
  asm volatile("ld.relaxed.sys.global.v2.u32 {%0, %1}, [%2];" : "=r"(words.x), "=r"(words.y) : "l"(place) : "memory");
  return words;
}
__device__ __forceinline__ uint64_t NanosNow() {
  uint64_t nanos;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanos));
  return nanos;
}

// Whether to wait no longer for a shard; missed: what to say of it then; since: when the waiting began.
static __device__ __noinline__ bool EndsWaiting(uint32_t* state, uint32_t missed, uint64_t since, uint64_t patience) {
  volatile uint32_t* shared = state;
  if (*shared != 0) return true;
  if (NanosNow() - since < patience) return false;
  *shared = missed;
  return true;
}

// What has been read of `place` so far, and what is there once all of it has come; the place is empty then.
__device__ __forceinline__ uint2 AwaitWords(const Exchange& exchange, int32_t from, uint32_t* place, uint2 words) {
  uint64_t since = 0;
  for (uint32_t polls = 1; words.x == kEmptyWord || words.y == kEmptyWord; ++polls) {
    if (polls % kPollsBetweenLooks == 0) {
      if (since == 0) since = NanosNow();
      if (EndsWaiting(exchange.state, MissedState(exchange.shard, from), since, exchange.patience_nanos)) break;
    }
    words = LoadFromPeer(place);
  }
  StoreToPeer(place, {kEmptyWord, kEmptyWord});
  return words;
}

// A block that has written something into another shard's memory counts itself there.
__device__ __forceinline__ void AddArrival(uint32_t* arrivals) {
  asm volatile("red.release.sys.global.add.u32 [%0], 1;" ::"l"(arrivals) : "memory");
}

// Waits until as many blocks of a shard have, and sets the count back. missed: what to say if they never do.
__device__ __forceinline__ void AwaitArrivals(uint32_t* arrivals, uint32_t expected, uint32_t missed, uint32_t* state,
                                              uint64_t patience) {
  uint64_t since = 0;
  for (uint32_t polls = 1;; ++polls) {
    uint32_t count;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(count) : "l"(arrivals) : "memory");
    if (count == expected) break;
    if (polls % kPollsBetweenLooks != 0) continue;
    if (since == 0) since = NanosNow();
    if (EndsWaiting(state, missed, since, patience)) break;
  }
  *arrivals = 0;
}

template <typename T>
__device__ __forceinline__ uint2 PackFour(float4 v) {
  return {PackPair<T>(v.x, v.y), PackPair<T>(v.z, v.w)};
}
template <typename T>
__device__ __forceinline__ float4 UnpackFour(uint2 words) {
  const float2 low = UnpackPair<T>(words.x), high = UnpackPair<T>(words.y);
  return {low.x, low.y, high.x, high.y};
}

// v = the sum of all shards' v, each rounded to T, in the order of the shards: the same bits everywhere. A thread has
// kFours times four columns of the `cols` that lie from word `begin` of a shard's part on: those from `first` on, and
// every `step` further.
template <typename T, int32_t kFours>
__device__ __forceinline__ void SumAt(const Exchange& exchange, int64_t begin, int32_t first, int32_t step, int32_t cols,
                                      float4 (&v)[kFours]) {
  uint2 own[kFours];
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    own[i] = PackFour<T>(v[i]);
    const int32_t col = first + i * step;
    if (col >= cols) continue;
    const int64_t word = exchange.shard * exchange.part_words + begin + col / 2;
    for (int32_t to = 0; to < exchange.shards; ++to) {
      if (to != exchange.shard) StoreToPeer(exchange.inboxes[to] + word, own[i]);
    }
  }
  for (int32_t from = 0; from < exchange.shards; ++from) {
    uint2 part[kFours];
    uint32_t* inbox = exchange.inboxes[exchange.shard] + from * exchange.part_words + begin;
#pragma unroll
    for (int32_t i = 0; i < kFours; ++i) {  // all loads are under way before the first is looked at
      const int32_t col = first + i * step;
      part[i] = from != exchange.shard && col < cols ? LoadFromPeer(inbox + col / 2) : own[i];
    }
#pragma unroll
    for (int32_t i = 0; i < kFours; ++i) {
      const int32_t col = first + i * step;
      if (from != exchange.shard && col < cols) part[i] = AwaitWords(exchange, from, inbox + col / 2, part[i]);
      const float4 more = UnpackFour<T>(part[i]);
      v[i] = from == 0 ? more : float4{v[i].x + more.x, v[i].y + more.y, v[i].z + more.z, v[i].w + more.w};
    }
  }
}

// The same of a row of a matrix of `cols` columns.
template <typename T, int32_t kFours>
__device__ __forceinline__ void SumOverShards(const Exchange& exchange, int64_t row, int32_t first, int32_t step,
                                              int32_t cols, float4 (&v)[kFours]) {
  SumAt<T, kFours>(exchange, row * (cols / 2), first, step, cols, v);
}

}  // namespace chorale::cuda
