#include "kernels/common.cuh"
#include "kernels/lora_division.cuh"
#include "kernels/lora_sums.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraGroupsMax;  // one for each group, then one for each use
constexpr int32_t kWarps = kThreads / 32;

// Targets of a layer: q, k and v, o, gate and up, down.
__device__ __forceinline__ int32_t FirstTarget(int32_t site) { return site == 0 ? 0 : site == 1 ? 3 : site == 2 ? 4 : site == 3 ? 6 : 7; }

// Counts of octets of a site's targets in one word, so that they are added up together; no memory holds 2^21 octets of a site.
constexpr int32_t kCountBits = 21;
static_assert(kLoraSiteTargets * kCountBits <= 64);
__device__ __forceinline__ int32_t CountOf(uint64_t counts, int32_t target) {
  return static_cast<int32_t>(counts >> target * kCountBits & ((1U << kCountBits) - 1));
}
__device__ __forceinline__ int32_t OctetCount(const LoraMatrix& matrix) { return (matrix.rank + kLoraOctetRanks - 1) / kLoraOctetRanks; }
__device__ __forceinline__ uint64_t OctetsOf(const LoraMatrix (&matrices)[kLoraSiteTargets]) {
  uint64_t counts = 0;
#pragma unroll
  for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
    counts |= static_cast<uint64_t>(OctetCount(matrices[t])) << t * kCountBits;
  }
  return counts;
}

// What the threads before this one have, and all together. A barrier; `sums` is read until the next.
struct Place {
  uint64_t before, total;
};
__device__ __forceinline__ Place Scan(uint64_t own, uint64_t (&sums)[kWarps]) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, warp = static_cast<int32_t>(threadIdx.x) / 32;
  uint64_t up_to = own;
#pragma unroll
  for (int32_t distance = 1; distance < 32; distance *= 2) {
    const uint64_t other = __shfl_up_sync(0xffffffffu, up_to, distance);
    if (lane >= distance) up_to += other;
  }
  if (lane == 31) sums[warp] = up_to;
  __syncthreads();
  Place place{up_to - own, 0};
#pragma unroll
  for (int32_t w = 0; w < kWarps; ++w) {
    if (w < warp) place.before += sums[w];
    place.total += sums[w];
  }
  return place;
}

// Adds the rows of a group to those of its uses, as far as these are among kThreads from `first` on.
__device__ __forceinline__ void AddRows(const LoraGroup& group, int32_t first, uint32_t (&rows)[kThreads][4]) {
  static_assert(kLoraGroupRows <= 32);  // so that they are in two words
  const uint64_t bits = ((uint64_t{1} << group.row_count) - 1) << group.row_begin % 32;
  const auto low = static_cast<uint32_t>(bits), high = static_cast<uint32_t>(bits >> 32);
  const int32_t word = group.row_begin / 32, end = min(group.use_end, first + kThreads);
#pragma unroll 1
  for (int32_t use = max(group.use_begin, first); use < end; ++use) {
    atomicOr(&rows[use - first][word], low);
    if (high != 0) atomicOr(&rows[use - first][word + 1], high);
  }
}

// Calls f(row) for the first row of each patch, of so many rows, of an octet that these rows use.
template <typename F>
__device__ __forceinline__ void ForPatches(const uint4& rows, int32_t patch_rows, F&& f) {
  const uint32_t of_patch = (1U << patch_rows) - 1;
  uint32_t in_patch = 0;  // of the next 32 rows, those of the last patch
#pragma unroll 1
  for (int32_t base = 0; base < kStreamRowsMax; base += 32) {
    uint32_t left = WordOf(rows, base) & ~in_patch;
    in_patch = 0;
    while (left != 0) {
      const int32_t row = __ffs(static_cast<int32_t>(left)) - 1;
      const uint64_t patch = uint64_t{of_patch} << row;
      left &= ~static_cast<uint32_t>(patch);
      in_patch = static_cast<uint32_t>(patch >> 32);
      f(base + row);
    }
  }
}
// By how many blocks each patch is to be found; 0: v does not come in patches, as there are none or too many.
__device__ __forceinline__ int32_t SplitsOf(const ProductPlan& plan, uint64_t patches) {
  const int32_t splits = (LoraPatchUnits(plan.units_per_tile) + kLoraPatchUnitsMax - 1) / kLoraPatchUnitsMax;
  return patches > 0 && patches * splits <= min(plan.blocks, kLoraPatchesMax) ? splits : 0;
}

// What each block of a product has to do, until it is written.
struct BlockShares {
  int32_t begins[kLoraBlocksMax + 1];  // first units of W
  int32_t of_b[kLoraBlocksMax];        // units
  int32_t tiles_ahead[kLoraBlocksMax];
  int32_t patches[kLoraBlocksMax];     // number of its patch, split after split; negative: it has none
  int32_t costs[kLoraBlocksMax];       // of what is not W, in units of W
};

// Calls f(block) for the blocks of the thread.
template <typename F>
__device__ __forceinline__ void ForBlocks(int32_t blocks, F&& f) {
#pragma unroll 1
  for (int32_t block = static_cast<int32_t>(threadIdx.x); block < blocks; block += kThreads) f(block);
}

// Which block has which of so many patches: first those that have nothing of B, evenly among them. Barriers, as Scan.
__device__ __forceinline__ void GivePatches(int32_t blocks, int32_t patches, uint64_t (&sums)[kWarps], BlockShares& shares) {
  static_assert(kLoraBlocksMax / kThreads == 2);
  uint64_t without_b = 0;  // blocks, a count for each of a thread's two
  ForBlocks(blocks, [&](int32_t block) { without_b += shares.of_b[block] > 0 ? 0 : uint64_t{1} << block / kThreads * kCountBits; });
  const Place place = Scan(without_b, sums);
  const int32_t of_first = CountOf(place.total, 0), empty = of_first + CountOf(place.total, 1);
  ForBlocks(blocks, [&](int32_t block) {
    const int32_t before = CountOf(place.before, block / kThreads) + (block < kThreads ? 0 : of_first);
    int32_t number = shares.of_b[block] > 0 ? empty + block - before : before;
    if (shares.of_b[block] == 0 && patches < empty) {  // patch i is that of the block floor(i empty / patches) of these
      number = Quotient(before * patches + empty - 1, empty);
      if (Quotient(number * empty, patches) != before) number = patches;
    }
    shares.patches[block] = number < patches ? number : -1;
  });
}

// Moves the boundaries between blocks' units of W, every second one in turn, so that neighbours have as much to do. Barriers.
__device__ __forceinline__ void LevelOut(const LoraDivider& divider, BlockShares& shares) {
  constexpr int32_t kTimes = 8;
  auto& begins = shares.begins;
#pragma unroll 1
  for (int32_t i = 0; i < kTimes; ++i) {
    __syncthreads();
    ForBlocks(divider.blocks(), [&](int32_t block) {
      if (block == 0 || (block + i) % 2 != 0) return;
      const int32_t before = begins[block - 1], begin = begins[block], end = begins[block + 1];
      const int32_t more = end - begin + shares.costs[block] - (begin - before) - shares.costs[block - 1];
      const UnitRange allowed = divider.BeginsOf(block);
      const int32_t least = max(allowed.begin, before + 1), most = min(allowed.end, end) - 1;
      if (least <= most) begins[block] = min(max(begin + more / 2, least), most);
    });
  }
  __syncthreads();
}

// Divides the units of a product among its blocks. Barriers, after the first of which `patches`, if there are splits, is read.
__device__ __forceinline__ void DivideProduct(const LoraPlanArgs& args, const LoraProduct& product, const LoraCounts& counts,
                                              const LoraPatch (&patches)[kLoraPatchesMax], int32_t patch_count, int32_t splits,
                                              uint64_t (&sums)[kWarps], BlockShares& shares, LoraDivision* divisions) {
  const bool level = args.box_rows > kLoraLevelRows && counts.ends[3] > 0 && (splits > 0 || IsLong(product.plan));
  const LoraDivider divider(product, counts, level && splits == 0);
  const int32_t blocks = divider.blocks();
  ForBlocks(blocks, [&](int32_t block) {
    const LoraDivider::Expansion expansion = divider.DivideOutputs(block, &divisions[block]);
    shares.of_b[block] = expansion.units, shares.tiles_ahead[block] = expansion.tiles_ahead;
    shares.begins[block] = divider.BeginOf(block);
  });
  if (threadIdx.x == 0) shares.begins[blocks] = divider.BeginOf(blocks);
  __syncthreads();
  if (splits > 0) GivePatches(blocks, patch_count * splits, sums, shares);
  if (level) {
    ForBlocks(blocks, [&](int32_t block) {
      const UnitRange of_a = divider.OfA(block);
      const int32_t of_parts = of_a.empty() ? 0 : of_a.end - of_a.begin + kLoraPartsCost;
      shares.costs[block] = splits == 0 ? of_parts : shares.patches[block] < 0 ? 0 : kLoraPatchCost;
    });
    LevelOut(divider, shares);
  }
  ForBlocks(blocks, [&](int32_t block) {
    LoraPatch patch;
    if (const int32_t number = splits > 0 ? shares.patches[block] : -1; number >= 0) {
      const int32_t split = Quotient(number, patch_count);
      patch = patches[number - split * patch_count];
      patch.split = split;
    }
    const UnitRange of_w{shares.begins[block], shares.begins[block + 1]};
    divider.DivideRest(block, of_w, shares.tiles_ahead[block], splits, patch, &divisions[block]);
  });
}

// Computes   the tables of all sites (lora.h) from the groups of the step, and what each block of their products has to do; sets the
//            counters of finished work to zero; empties v of the first layer
// Grid       one block for each site of each layer, a thread for each group and use
// Bound by   latency: two loads one after another, and a launch
// Reference  plan_checks.cc
__global__ void __launch_bounds__(kThreads) LoraPlanKernel(const __grid_constant__ LoraPlanArgs args) {
  __shared__ uint64_t sums[kWarps];
  __shared__ alignas(16) uint32_t rows[kThreads][4];  // of the uses at hand
  __shared__ LoraPatch patches[kLoraPatchesMax];
  __shared__ BlockShares shares;
  WaitForPredecessor();
  AllowSuccessor();  // Embed, which need not wait for what has ended now (launch.h)
  const auto site = static_cast<int32_t>(blockIdx.x), index = static_cast<int32_t>(threadIdx.x);
  const int32_t first_target = FirstTarget(site % kLoraSites), first_matrix = site / kLoraSites * 7 + first_target;
  const int32_t targets = FirstTarget(site % kLoraSites + 1) - first_target, sites = args.tables.sites;
  // At once what can be: beyond the counts there is room.
  const int32_t group_count = *args.group_count, use_count = *args.use_count;
  const LoraGroup group = args.groups[index];
  LoraUse use = args.uses[index];
  LoraMatrix matrices[kLoraSiteTargets];
  const auto load_matrices = [&](bool there) {
#pragma unroll
    for (int32_t t = 0; t < kLoraSiteTargets; ++t) matrices[t] = there && t < targets ? use.matrices[first_matrix + t] : LoraMatrix{};
  };
  *reinterpret_cast<uint4*>(rows[index]) = {};
  __syncthreads();
  load_matrices(index < use_count);
  if (index < group_count) AddRows(group, 0, rows);
  uint64_t octets = OctetsOf(matrices);  // of all uses of the thread
#pragma unroll 1
  for (int32_t own = index + kThreads; own < use_count; own += kThreads) {  // hardly ever more than one
    use = args.uses[own];
    load_matrices(true);
    octets += OctetsOf(matrices);
  }
  Place place = Scan(octets, sums);

  const uint64_t total = place.total;
  LoraCounts counts;
  int32_t begins[kLoraSiteTargets], done = 0;
#pragma unroll
  for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
    begins[t] = done;
    done += (CountOf(total, t) + 1) / 2 * 2;
    counts.ends[t] = done;
  }
  counts.ends[3] = done;
  if (index == 0) args.tables.counts[site] = counts;
  const LoraProduct& product = args.products[site % kLoraSites];
  int32_t splits = 0, patch_count = 0;
  if (CanHavePatches(product.plan, args.box_rows) && done <= kLoraPolledOctets && use_count <= kThreads) {
    const int32_t patch_rows = LoraPatchRows(args.box_rows);
    const uint4 own_rows = *reinterpret_cast<const uint4*>(rows[index]);
    int32_t of_octet = 0;
    ForPatches(own_rows, patch_rows, [&](int32_t) { ++of_octet; });
    int32_t own_octets = 0;
#pragma unroll
    for (int32_t t = 0; t < kLoraSiteTargets; ++t) own_octets += OctetCount(matrices[t]);
    __syncthreads();
    const Place of_patches = Scan(static_cast<uint64_t>(own_octets * of_octet), sums);
    splits = SplitsOf(product.plan, of_patches.total);
    if (splits > 0) {
      patch_count = static_cast<int32_t>(of_patches.total);
      auto patch = static_cast<int32_t>(of_patches.before);
#pragma unroll
      for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
        const int32_t begin = begins[t] + CountOf(place.before, t), end = begin + OctetCount(matrices[t]);
#pragma unroll 1
        for (int32_t octet = begin; octet < end; ++octet) {
          ForPatches(own_rows, patch_rows, [&](int32_t row) { patches[patch++] = {octet, row, 0}; });
        }
      }
    }
  }

  if (product.plan.blocks > 0) {
    DivideProduct(args, product, counts, patches, patch_count, splits, sums, shares,
                  args.tables.divisions + int64_t{site} * args.tables.blocks);
  }

  uint64_t before = 0;  // of the uses before those at hand
#pragma unroll 1
  for (int32_t first = 0; first < use_count; first += kThreads) {
    if (use_count > kThreads) {  // once more, for one use of each thread after another
      __syncthreads();
      *reinterpret_cast<uint4*>(rows[index]) = {};
      __syncthreads();
      const bool there = first + index < use_count;
      if (there) use = args.uses[first + index];
      load_matrices(there);
      if (index < group_count) AddRows(group, first, rows);
      place = Scan(OctetsOf(matrices), sums);
    }
    const uint4 own_rows = *reinterpret_cast<const uint4*>(rows[index]);
#pragma unroll
    for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
      const LoraMatrix& m = matrices[t];
      const int32_t count = OctetCount(m), begin = CountOf(before + place.before, t), all = CountOf(total, t);
      const bool pads = count > 0 && begin + count == all && all % 2 != 0;  // the last once more, of no row
      LoraOctet* octet = args.tables.octets + int64_t{begins[t] + begin} * sites + site;
#pragma unroll 1
      for (int32_t i = 0; i < count + (pads ? 1 : 0); ++i, octet += sites) {
        const int32_t rank_begin = min(i, count - 1) * kLoraOctetRanks;
        *octet = {use.pages, m.a_offset, m.b_offset, m.rank, rank_begin, m.scale * use.scale, 0, i < count ? own_rows : uint4{}};
      }
    }
    before += place.total;
  }
  for (int32_t i = index; i < LoraTileCount(done); i += kThreads) args.tables.ready[int64_t{i} * sites + site] = 0;
  if (site >= kLoraSites || (splits == 0 && !PollsSums(done, args.box_rows))) return;
  __syncthreads();  // the octets are written
  const int32_t warp = index / 32;
  EmptySums(args.tables, site, args.box_rows, splits, done * warp / kWarps, done * (warp + 1) / kWarps);
}

}  // namespace

void LoraPlan(Launcher& launcher, const LoraPlanArgs& args) {
  launcher.Launch(LoraPlanKernel, dim3(args.tables.sites), dim3(kThreads), 0, args);
}

}  // namespace chorale::cuda
