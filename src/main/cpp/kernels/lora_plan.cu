#include "kernels/common.cuh"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraGroupsMax;  // one for each group

// Targets of a layer: q, k and v, o, gate and up, down.
__device__ __forceinline__ int32_t FirstTarget(int32_t site) { return site == 0 ? 0 : site == 1 ? 3 : site == 2 ? 4 : site == 3 ? 6 : 7; }

// What the groups before this thread's have of something, and all groups together.
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

// How many parts of tiles a unit of a site has: the fewest for which there are as many units as warps or fewer, so that each
// has at most one. Where that would need units more than twice as large as the mean, small ones, of which a warp has several.
constexpr int32_t kChoices = 16;
struct SegmentSizes {  // of the thread's group
  int32_t tiles[kLoraSiteTargets] = {}, parts[kLoraSiteTargets] = {1, 1, 1};  // of a target; of each tile
};
__host__ __device__ constexpr int32_t TilesEach(int32_t unit_parts, int32_t tile_parts) {
  return unit_parts > tile_parts ? unit_parts / tile_parts : 1;
}
__device__ __forceinline__ int32_t UnitsOf(const SegmentSizes& sizes, int32_t targets, int32_t unit_parts) {
  int32_t units = 0;
  for (int32_t t = 0; t < targets; ++t) {
    const int32_t each = TilesEach(unit_parts, sizes.parts[t]);
    units += (sizes.tiles[t] + each - 1) / each;
  }
  return units;
}
__device__ __forceinline__ int32_t ChooseUnit(const SegmentSizes& sizes, int32_t targets, int32_t parts, int32_t warps,
                                              int32_t (&sums)[kThreads / 32][kChoices]) {
  const int32_t least = max(1, (parts + warps - 1) / warps), step = (least + kChoices - 1) / kChoices;
  for (int32_t i = 0; i < kChoices; ++i) {
    const int32_t units = __reduce_add_sync(0xffffffffu, UnitsOf(sizes, targets, least + i * step));
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32][i] = units;
  }
  __syncthreads();
  for (int32_t i = 0; i < kChoices; ++i) {
    int32_t units = 0;
    for (int32_t w = 0; w < kThreads / 32; ++w) units += sums[w][i];
    if (units <= warps) return least + i * step;
  }
  return max(1, least / 4);
}

// Computes   the tables of all sites (lora.h) from the groups of the step; sets the counters of finished work to zero
// Grid       one block for each site of each layer, a thread for each group
// Bound by   latency: five loads one after another
// Reference  lora_checks.cc, by what the product does with them
__global__ void __launch_bounds__(kThreads) LoraPlanKernel(const LoraPlanArgs args) {
  __shared__ int32_t sums[kThreads / 32], choices[kThreads / 32][kChoices];
  WaitForPredecessor();
  const auto site = static_cast<int32_t>(blockIdx.x), index = static_cast<int32_t>(threadIdx.x);
  const int32_t layer = site / kLoraSites, first = FirstTarget(site % kLoraSites);
  const int32_t targets = FirstTarget(site % kLoraSites + 1) - first, sites = args.tables.sites;
  for (int32_t i = index; i < args.groups_max; i += kThreads) args.ready[site * args.groups_max + i] = 0;

  const LoraGroup group = index < *args.group_count ? args.groups[index] : LoraGroup{};
  const bool used = group.use_begin < group.use_end;
  const auto matrix = [&](int32_t use, int32_t target) -> const LoraMatrix& {
    return args.uses[use].matrices[layer * 7 + first + target];
  };
  int32_t chunks = 0, parts = 0, tile_parts = 0;
  SegmentSizes sizes;
  for (int32_t t = 0; used && t < targets; ++t) {
    int32_t own = 0;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) own += LoraColumns(matrix(u, t).rank) / kLoraChunk;
    chunks += own;
    own = max(own, 1);  // outputs that are zero are written as well: the reader counts on them
    parts += own;
    sizes.parts[t] = own;
    sizes.tiles[t] = (args.outputs[first + t] + kLoraTile - 1) / kLoraTile;
    tile_parts += own * sizes.tiles[t];
  }
  const Place chunk_place = Scan(chunks, sums), part_place = Scan(parts, sums), tile_place = Scan(tile_parts, sums);
  const int32_t unit_parts = ChooseUnit(sizes, targets, tile_place.total, max(1, args.warps[site % kLoraSites]), choices);
  const Place unit_place = Scan(used ? UnitsOf(sizes, targets, unit_parts) : 0, sums);
  const Place segment_place = Scan(used ? targets : 0, sums);
  LoraCounts& counts = args.tables.counts[site];
  if (index == 0) {
    counts.chunks = chunk_place.total, counts.segments = segment_place.total;
    counts.units = unit_place.total, counts.tile_parts = tile_place.total;
  }
  if (!used) return;

  LoraChunk* chunk = args.tables.chunks + int64_t{chunk_place.before} * sites + site;
  int32_t v_col = 0;
  for (int32_t u = group.use_begin; u < group.use_end; ++u) {
    for (int32_t t = 0; t < targets; ++t) {
      const LoraMatrix m = matrix(u, t);
      for (int32_t begin = 0; begin < m.rank; begin += kLoraChunk, chunk += sites, v_col += kLoraChunk) {
        *chunk = {args.uses[u].pages, m.a_offset,       m.rank, begin, group.row_begin, group.row_count,
                  group.v_offset + v_col, group.v_cols, index};
      }
    }
  }
  LoraSegment* segment = args.tables.segments + int64_t{segment_place.before} * sites + site;
  int32_t place = unit_place.before, part_begin = part_place.before;
  for (int32_t t = 0; t < targets; ++t, segment += sites) {
    int32_t own = 0, col = 0;
    LoraPart* part = args.tables.parts + int64_t{part_begin} * sites + site;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      for (int32_t other = 0; other < targets; ++other) {
        const LoraMatrix m = matrix(u, other);
        if (other == t) {
          for (int32_t begin = 0; begin < m.rank; begin += kLoraChunk, ++own) {
            const LoraPart value = {args.uses[u].pages, m.b_offset, m.rank, begin, col + begin, m.scale * args.uses[u].scale};
            part[int64_t{own} * sites] = value;
            if (own < kLoraPartsTogether) segment->first[own] = value;
          }
        }
        col += LoraColumns(m.rank);
      }
    }
    if (own == 0) part[own++ * sites] = segment->first[0] = {};
    const int32_t each = TilesEach(unit_parts, own), end = place + (sizes.tiles[t] + each - 1) / each;
    segment->begin = place, segment->end = end, segment->tiles_each = each, segment->target = t;
    segment->part_begin = part_begin, segment->parts = own;
    segment->row_begin = group.row_begin, segment->row_count = group.row_count;
    segment->v_offset = group.v_offset, segment->v_cols = group.v_cols;
    segment->group = index, segment->chunks = chunks;
    counts.ends[segment_place.before + t] = end;
    place = end;
    part_begin += own;
  }
}

}  // namespace

void LoraPlan(Launcher& launcher, const LoraPlanArgs& args) {
  launcher.Launch(LoraPlanKernel, dim3(args.tables.sites), dim3(kThreads), 0, args);
  launcher.apart = true;
}

}  // namespace chorale::cuda
