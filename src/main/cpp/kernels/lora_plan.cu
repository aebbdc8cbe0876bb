#include "kernels/common.cuh"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraGroupsMax;  // one for each group, then one for each use

// Targets of a layer: q, k and v, o, gate and up, down.
__device__ __forceinline__ int32_t FirstTarget(int32_t site) { return site == 0 ? 0 : site == 1 ? 3 : site == 2 ? 4 : site == 3 ? 6 : 7; }

// What the threads before this one have of something, and all together.
struct Place {
  int32_t before, total;
};
__device__ __forceinline__ Place Scan(int32_t own, int32_t (&sums)[kThreads / 32]) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, warp = static_cast<int32_t>(threadIdx.x) / 32;
  int32_t up_to = own;
#pragma unroll
  for (int32_t distance = 1; distance < 32; distance *= 2) {
    const int32_t other = __shfl_up_sync(0xffffffffu, up_to, distance);
    if (lane >= distance) up_to += other;
  }
  __syncthreads();
  if (lane == 31) sums[warp] = up_to;
  __syncthreads();
  Place place{up_to - own, 0};
  for (int32_t w = 0; w < kThreads / 32; ++w) {
    if (w < warp) place.before += sums[w];
    place.total += sums[w];
  }
  return place;
}

// Computes   the tables of all sites (lora.h) from the groups of the step; sets the counters of finished work to zero
// Grid       one block for each site of each layer, a thread for each group and use
// Bound by   latency: five loads one after another
// Reference  lora_checks.cc, by what the product does with them
__global__ void __launch_bounds__(kThreads) LoraPlanKernel(const LoraPlanArgs args) {
  __shared__ int32_t sums[kThreads / 32], use_count;
  __shared__ LoraGroup groups[kThreads];
  WaitForPredecessor();
  const auto site = static_cast<int32_t>(blockIdx.x), index = static_cast<int32_t>(threadIdx.x);
  const int32_t layer = site / kLoraSites, first_target = FirstTarget(site % kLoraSites);
  const int32_t targets = FirstTarget(site % kLoraSites + 1) - first_target, sites = args.tables.sites;
  const int32_t group_count = *args.group_count;
  if (index == 0) use_count = 0;
  __syncthreads();
  if (index < group_count) {
    groups[index] = args.groups[index];
    atomicMax(&use_count, groups[index].use_end);
  }
  __syncthreads();
  const auto rows_of = [&](int32_t use) {
    uint32_t rows[4] = {};
    for (int32_t g = 0; g < group_count; ++g) {
      if (use < groups[g].use_begin || use >= groups[g].use_end) continue;
      for (int32_t row = groups[g].row_begin; row < groups[g].row_begin + groups[g].row_count; ++row) {
#pragma unroll
        for (int32_t word = 0; word < 4; ++word) rows[word] |= row / 32 == word ? 1U << row % 32 : 0;
      }
    }
    return uint4{rows[0], rows[1], rows[2], rows[3]};
  };

  LoraCounts counts;
  int32_t done = 0;
#pragma unroll
  for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
    for (int32_t first = 0; first < use_count && t < targets; first += kThreads) {
      const int32_t use = first + index;
      const LoraUse own = use < use_count ? args.uses[use] : LoraUse{};
      const LoraMatrix m = use < use_count ? own.matrices[layer * 7 + first_target + t] : LoraMatrix{};
      const Place place = Scan((m.rank + kLoraOctetRanks - 1) / kLoraOctetRanks, sums);
      const uint4 rows = m.rank > 0 ? rows_of(use) : uint4{};
      LoraOctet* octet = args.tables.octets + int64_t{done + place.before} * sites + site;
      for (int32_t begin = 0; begin < m.rank; begin += kLoraOctetRanks, octet += sites) {
        *octet = {own.pages, m.a_offset, m.b_offset, m.rank, begin, m.scale * own.scale, 0, rows};
      }
      done += place.total;
    }
    if (done % 2 != 0) {  // the last once more, of no row
      __syncthreads();
      if (index == 0) {
        LoraOctet* last = args.tables.octets + int64_t{done - 1} * sites + site;
        last[sites] = *last;
        last[sites].rows = {};
      }
      ++done;
    }
    counts.ends[t] = done;
  }
  counts.ends[3] = done;
  if (index == 0) args.tables.counts[site] = counts;
  for (int32_t i = index; i < LoraTileCount(done); i += kThreads) args.tables.ready[int64_t{i} * sites + site] = 0;
}

}  // namespace

void LoraPlan(Launcher& launcher, const LoraPlanArgs& args) {
  launcher.Launch(LoraPlanKernel, dim3(args.tables.sites), dim3(kThreads), 0, args);
  launcher.apart = true;
}

}  // namespace chorale::cuda
