// Where products of few rows keep v (stream_lora.cuh).
#pragma once

#include "kernels/common.cuh"
#include "kernels/lora.h"

namespace chorale::cuda {

// Of a site; that of the next layer has another place.
__device__ __forceinline__ uint32_t* SumsOf(const LoraTables& tables, int32_t site) {
  return reinterpret_cast<uint32_t*>(tables.sums + site % kLoraSumSites * tables.sum_bytes);
}

// By a warp, for a site whose v is polled: empties v of its octets [begin, end), where rows use them, with as many splits as its division has.
__device__ __forceinline__ void EmptySums(const LoraTables& tables, int32_t site, int32_t box_rows, int32_t splits, int32_t begin,
                                          int32_t end) {
  const int32_t pieces = max(splits, 1);
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  uint32_t* sums = SumsOf(tables, site);
#pragma unroll 1
  for (int32_t first = begin; first < end; first += 32) {  // a lane for each octet
    uint4 rows = {};
    if (first + lane < end) rows = tables.octets[int64_t{first + lane} * tables.sites + site].rows;
#pragma unroll 1
    for (int32_t base = 0; base < box_rows; base += 32) {
      const uint32_t word = base == 0 ? rows.x : base == 32 ? rows.y : base == 64 ? rows.z : rows.w;
#pragma unroll 1
      for (int32_t octet = first; octet < min(first + 32, end); ++octet) {  // a lane for each row
        const bool uses = (__shfl_sync(0xffffffffu, word, octet - first) >> lane & 1) != 0;
        auto* place = reinterpret_cast<uint4*>(sums + LoraSumWord(octet, base + lane, box_rows) * pieces);
#pragma unroll 1
        for (int32_t i = 0; i < pieces && uses; ++i) place[i] = {kLoraEmpty, kLoraEmpty, kLoraEmpty, kLoraEmpty};
      }
    }
  }
}

}  // namespace chorale::cuda
