// LoRA within a product of few rows: A is more weights, whose product with x is v; B is more inputs, which meet v. So adapters come
// through the same stages as the weights, as fast as these.
//
// The columns of v of all adapters of the step lie side by side, 8 ranks of one target of one use after another (an octet), zero
// for the rows of others. 128 of them are a tile of A, like 128 outputs a tile of the weights, and a unit of either is 64 inputs.
// 64 of them are what a unit of B multiplies for 128 outputs. Blocks do their units of A first (lora_division.cuh); when all parts of
// a tile are there, those who have one add up a share of v each. Units of B come after the weights of the same outputs.
// In short products v comes in patches instead, 8 or 16 rows of an octet of all inputs or of half of them (LoraPatch): a unit of A is
// then 8 ranks of 512 inputs, which meet these rows of x, and v is there without anybody waiting for parts.
#pragma once

#include "kernels/bulk_copy.cuh"
#include "kernels/gemm.h"
#include "kernels/lora_division.cuh"
#include "kernels/lora_loader.cuh"
#include "kernels/lora_sums.cuh"

namespace chorale::cuda {

// By a warp: adds the products of a unit of A of a patch, of so many parts, as Mma leaves them: d[0] and d[1] of row lane / 4 of the first box
// of x, of ranks 2 (lane % 4) and the next one, d[2] and d[3] of the second box; in two sums, so that no product waits for the one before.
template <typename T, int32_t kBoxes>
__device__ __forceinline__ void MultiplyPatch(uint32_t ranks, uint32_t x, int32_t parts, float (&d)[2][4]) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, line = lane % 8;
#pragma unroll 2
  for (int32_t part = 0; part < parts; ++part) {
#pragma unroll
    for (int32_t half = 0; half < 2; ++half) {
      const auto place = static_cast<uint32_t>(part * kLoraOctetBytes + line * 128 + ((half * 4 + lane / 8) ^ line) * 16);
      uint32_t of_a[4], of_x[4], of_more[4] = {};
      LoadMatrices(of_a, ranks + place);
      LoadMatrices(of_x, x + place);
      if constexpr (kBoxes == 2) LoadMatrices(of_more, x + kLoraPatchBytes + place);
      Mma<T>(d[0], of_x[0], of_more[0], of_x[1], of_more[1], of_a[0], of_a[1]);
      Mma<T>(d[1], of_x[2], of_more[2], of_x[3], of_more[3], of_a[2], of_a[3]);
    }
  }
}
template <typename T>
__device__ __forceinline__ uint32_t AddPairs(uint32_t a, uint32_t b) {
  const float2 of_a = UnpackPair<T>(a), of_b = UnpackPair<T>(b);
  return PackPair<T>(of_a.x + of_b.x, of_a.y + of_b.y);
}

// v of the tiles of A of which the block has a part: kept by the warps that multiply, added up by others. Or of the block's patch.
template <typename T, int32_t kRows, bool kPatches>
class LoraSums {
 public:
  __device__ __forceinline__ LoraSums(const LoraSiteArgs& args, const LoraDivision& division) : args_(args), division_(division) {}

  // Which rows use the octet threadIdx.x % 32 of a tile: to be asked for early.
  __device__ __forceinline__ uint4 MembersOf(int32_t tile) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, octet = tile * kLoraTileOctets + lane;
    return lane < kLoraTileOctets && octet < division_.octets ? Octet(octet).rows : uint4{};
  }
  static constexpr int32_t kPatchBoxes = LoraPatchRows(kRows) / kLoraPatchBoxRows;
  // Of the block's patch a lane has two ranks, 2 (lane % 4) and the next one, of row lane / 4 of each box.
  struct OfPatch {
    int32_t ranks[kPatchBoxes];  // how many of these the adapter has; negative: the row does not use the octet
    float scale;
  };
  // To be asked for early.
  __device__ __forceinline__ OfPatch AskOfPatch() const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
    const LoraOctet& octet = Octet(division_.patch.octet);
    OfPatch own;
    own.scale = octet.scale;
#pragma unroll
    for (int32_t box = 0; box < kPatchBoxes; ++box) {
      const int32_t row = division_.patch.row + box * kLoraPatchBoxRows + lane / 4;
      own.ranks[box] = row < kRows && HasRow(octet.rows, row) ? max(octet.rank - octet.rank_begin - lane % 4 * 2, 0) : -1;
    }
    return own;
  }
  // By a warp, for a box: scaled and rounded, zero beyond a rank.
  __device__ __forceinline__ void StorePatch(const OfPatch& own, int32_t box, const float2& sum) const {
    const int32_t ranks = own.ranks[box];
    if (ranks < 0) return;
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
    const LoraPatch& patch = division_.patch;
    StoreRelaxed(SumsOf(args_.tables, args_.site) + LoraSumWord(patch.octet, patch.row + box * kLoraPatchBoxRows + lane / 4, kRows) *
                     division_.splits + patch.split * 4 + lane % 4,
                 PackPair<T>(ranks > 0 ? sum.x * own.scale : 0.0f, ranks > 1 ? sum.y * own.scale : 0.0f));
  }
  // d: as wgmma leaves it.
  __device__ __forceinline__ void Store(int32_t tile, const uint4& members, const float (&d)[kRows / 2]) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, place = static_cast<int32_t>(threadIdx.x) / 32 * 2;
    const uint4 of_low = RowsOf(members, place), of_high = RowsOf(members, place + 1);
    uint32_t* low = Part(division_.turn, tile) + PartWord(place, lane % 4 * 2) + lane / 4;
    uint32_t* high = low + PartWord(1, 0);
    const auto store = [&](uint32_t* word, uint32_t rows, float value) {
      if ((rows >> lane % 4 * 2 & 1) != 0) StoreRelaxed(word, isnan(value) ? 0x7fffffffu : __float_as_uint(value));
    };
#pragma unroll
    for (int32_t j = 0; j < kRows / 8; ++j) {
      const uint32_t low_rows = WordOf(of_low, j * 8) >> j * 8 % 32 & 0xff, high_rows = WordOf(of_high, j * 8) >> j * 8 % 32 & 0xff;
      if (kPatches && (low_rows | high_rows) == 0) continue;  // hardly any rows, mostly
      const int32_t word = PartWord(0, j * 8), next = PartWord(0, j * 8 + 1);
      store(low + word, low_rows, d[j * 4]);
      store(low + next, low_rows >> 1, d[j * 4 + 1]);
      store(high + word, high_rows, d[j * 4 + 2]);
      store(high + next, high_rows >> 1, d[j * 4 + 3]);
    }
  }

  // Of the warps, the last so many add v up. Each asks again and again, and is in the way of who is asked for.
  static constexpr int32_t kAdders = kRows > 64 ? 2 : 1;
  static_assert(kAdders < kLoraWarps);
  // By warp `adder` of kAdders: adds its share of a tile up, as the parts come, in a fixed order, and leaves them empty; scaled and
  // rounded, zero beyond a rank. What rows do not use is left as it is. await_inputs: called before anything but the tables is read that
  // a launch writes.
  template <typename F>
  __device__ __forceinline__ void AddUp(int32_t tile, int32_t adder, F&& await_inputs) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, first = tile * kLoraTileOctets;
    const UnitRange blocks = BlocksOf(division_, tile);
    const int32_t count = min(kLoraTileOctets, division_.octets - first);
    LoraOctet octet = Octet(first + min(lane, count - 1));  // lane j has what octet j of the tile is
    if (lane >= count) octet.rows = {};
    const int32_t up_to = ItemsUpTo(octet.rows);
    const UnitRange share = ShareOf(__shfl_sync(0xffffffffu, up_to, kLoraTileOctets - 1), blocks, adder);
    await_inputs();
    // As many lanes for an item as make the fewest waits for memory.
    const int32_t items = share.end - share.begin, parts = blocks.end - blocks.begin;
    const auto waits = [&](int32_t lanes) {
      const int32_t at_once = kPartsAtOnce * lanes;
      return (items * lanes + 31) / 32 * ((parts + at_once - 1) / at_once);
    };
    const int32_t with_1 = waits(1), with_2 = waits(2), with_4 = waits(4);
    if (with_4 < min(with_1, with_2)) {
      AddShare<4>(tile, octet, up_to, share, blocks);
    } else if (with_2 < with_1) {
      AddShare<2>(tile, octet, up_to, share, blocks);
    } else {
      AddShare<1>(tile, octet, up_to, share, blocks);
    }
    if (Polls()) return;
    __syncwarp();
    if (lane == 0) AddRelease(Ready(tile), 1);
  }

  // By a warp: lets these rows, counted all, of a block of 64 columns of v come to `target`, a row's 128 bytes in pieces of 16, piece c at
  // place c ^ (row % 8), zeros where a row does not use an octet. Polled it is there in the end, counted its copies may still be under way, and
  // the barrier waits for them. Not by bulk copies, as other blocks have just written it by ordinary stores. octets: that are needed; used_by:
  // rows that use octet threadIdx.x % 8.
  __device__ __forceinline__ void Copy(int32_t block, const UnitRange& octets, const uint4& used_by, const UnitRange& rows, uint32_t target,
                                       uint64_t* barrier) {
    if (Polls()) {
      static_assert(kLoraSplitsMax == 2);
      if constexpr (kPatches) {
        if (division_.splits == 2) {
          CopyPolled<2>(block, octets, used_by, rows, target);
          return;
        }
      }
      CopyPolled<1>(block, octets, used_by, rows, target);
      return;
    }
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
    const int32_t tile = block * kLoraBlockOctets / kLoraTileOctets;
    if (tile != there_) {
      const UnitRange blocks = BlocksOf(division_, tile);
      while (LoadAcquire(Ready(tile)) < (blocks.end - blocks.begin) * kAdders) __nanosleep(20);
      __syncwarp();
      there_ = tile;
    }
    const uint32_t* source = SumsOf(args_.tables, args_.site) + block * kRows * 32;
#pragma unroll
    for (int32_t i = 0; i < kRows / 4; ++i) {
      const int32_t row = i * 4 + lane / 8, place = row * 128 + (lane % 8 ^ row % 8) * 16;
      CopyAsync16(target + static_cast<uint32_t>(place), source + place / 4, HasRow(used_by, row));
    }
    asm volatile("cp.async.mbarrier.arrive.shared::cta.b64 [%0];" ::"r"(SharedAddress(barrier)) : "memory");
  }

  // By a warp of each block, when the inputs are there: empties where the same site of the next layer will have v.
  __device__ __forceinline__ void EmptyNext() const {
    const int32_t next = args_.site + kLoraSites;
    if (next >= args_.tables.sites) return;
    const int32_t octets = args_.tables.counts[next].ends[3];
    const int32_t splits = kPatches ? args_.tables.divisions[int64_t{next} * args_.tables.blocks].splits : 0;
    if (splits == 0 && !PollsSums(octets, kRows)) return;
    const auto block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
    EmptySums(args_.tables, next, kRows, splits, Quotient(octets * block, blocks), Quotient(octets * (block + 1), blocks));
  }

 private:
  __device__ __forceinline__ bool Polls() const { return (kPatches && division_.splits > 0) || PollsSums(division_.octets, kRows); }
  // Waits for each piece as it comes, and adds up what the splits of a patch have found.
  template <int32_t kSplits>
  __device__ __forceinline__ void CopyPolled(int32_t block, const UnitRange& octets, const uint4& used_by, const UnitRange& rows,
                                             uint32_t target) const {
    constexpr int32_t kAtOnce = kRows > kLoraPolledRows ? 6 : (kRows == 32 ? 8 : 4) / kSplits;  // pieces of a lane
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
    const uint32_t* source = SumsOf(args_.tables, args_.site) + block * kRows * 32 * kSplits;
    int32_t width = 8, octet = lane % 8;  // lanes of a row; where rows are many no more than its octets need
    uint4 own_rows = used_by;
    if constexpr (kRows > kLoraPolledRows) {
      const int32_t begin = max(octets.begin - block * kLoraBlockOctets, 0), end = min(octets.end - block * kLoraBlockOctets, kLoraBlockOctets);
      width = end - begin > 4 ? 8 : end - begin > 2 ? 4 : 2;
      octet = min(begin, kLoraBlockOctets - width) + lane % width;
      own_rows = RowsOf(used_by, octet);
    }
    const int32_t stride = 32 / width;
#pragma unroll 1
    for (int32_t first = rows.begin + lane / width; first < rows.end; first += kAtOnce * stride) {
      const uint32_t word = WordOf(own_rows, first) >> first % 32;  // up to kLoraPolledRows it has the rows of all pieces
      const auto there_is = [&](int32_t i) { return kRows <= kLoraPolledRows || first + i * stride < rows.end; };
      const auto uses = [&](int32_t i) {
        return kRows <= kLoraPolledRows ? (word >> i * 4 & 1) != 0 : there_is(i) && HasRow(own_rows, first + i * stride);
      };
      const auto place = [&](int32_t i) {
        const int32_t row = first + i * stride;
        return row * 128 + (octet ^ row % 8) * 16;
      };
      uint4 pieces[kAtOnce * kSplits];
      bool there;
      do {
        there = true;
#pragma unroll
        for (int32_t i = 0; i < kAtOnce * kSplits; ++i) {
          pieces[i] = uses(i / kSplits) ? LoadRelaxed(source + place(i / kSplits) / 4 * kSplits + i % kSplits * 4) : uint4{};
        }
#pragma unroll
        for (int32_t i = 0; i < kAtOnce * kSplits; ++i) there = there && !HasEmpty(pieces[i]);
      } while (!there);
#pragma unroll
      for (int32_t i = 0; i < kAtOnce; ++i) {
        uint4 sum = pieces[i * kSplits];
        if constexpr (kSplits == 2) {
          const uint4& more = pieces[i * 2 + 1];
          sum = {AddPairs<T>(sum.x, more.x), AddPairs<T>(sum.y, more.y), AddPairs<T>(sum.z, more.z), AddPairs<T>(sum.w, more.w)};
        }
        if (there_is(i)) StoreShared(target + static_cast<uint32_t>(place(i)), sum);
      }
    }
  }

  __device__ __forceinline__ const LoraOctet& Octet(int32_t octet) const {
    return args_.tables.octets[int64_t{octet} * args_.tables.sites + args_.site];
  }
  __device__ __forceinline__ int32_t* Ready(int32_t tile) const {
    return args_.tables.ready + int64_t{tile} * args_.tables.sites + args_.site;
  }
  static __device__ __forceinline__ bool HasEmpty(const uint4& words) {
    return words.x == kLoraEmpty || words.y == kLoraEmpty || words.z == kLoraEmpty || words.w == kLoraEmpty;
  }
  // A block's part of a tile: with each of both its number grows, so that none is there twice. It has the ranks of an octet side by side, row
  // by row, octet by octet; they are added up in items, four ranks of an octet of a row that uses it.
  static constexpr int32_t kPartWords = kLoraTileColumns * kRows;
  static __device__ __forceinline__ constexpr int32_t PartWord(int32_t octet, int32_t row) { return (octet * kRows + row) * kLoraOctetRanks; }
  static constexpr int32_t kPartsAtOnce = kRows == 16 ? 4 : 8;  // that a lane asks for; with 8 the registers of 16 rows do not last
  __device__ __forceinline__ uint32_t* Part(int32_t turn, int32_t tile) const {
    return args_.v_parts + static_cast<int64_t>(turn + tile) * kPartWords;
  }
  __device__ __forceinline__ UnitRange ShareOf(int32_t total, const UnitRange& blocks, int32_t adder) const {
    const int32_t parts = (blocks.end - blocks.begin) * kAdders;
    const int32_t own = (division_.turn - blocks.begin) * kAdders + adder;
    return {total * own / parts, total * (own + 1) / parts};
  }
  static __device__ __forceinline__ int32_t ItemsOf(const uint4& rows) {
    int32_t count = __popc(rows.x);
    if constexpr (kRows > 32) count += __popc(rows.y);
    if constexpr (kRows > 64) count += __popc(rows.z) + __popc(rows.w);
    return 2 * count;
  }
  // Of the octets up to the lane's: lane j has the rows of octet j.
  static __device__ __forceinline__ int32_t ItemsUpTo(const uint4& rows) {
    int32_t up_to = ItemsOf(rows);
#pragma unroll
    for (int32_t distance = 1; distance < kLoraTileOctets; distance *= 2) {
      const int32_t before = __shfl_up_sync(0xffffffffu, up_to, distance);
      if (static_cast<int32_t>(threadIdx.x) % 32 >= distance) up_to += before;
    }
    return up_to;
  }
  static __device__ __forceinline__ uint4 RowsOf(const uint4& octet_rows, int32_t place) {
    const auto word = [&](uint32_t value) { return __shfl_sync(0xffffffffu, value, place); };
    uint4 rows = {word(octet_rows.x), 0, 0, 0};
    if constexpr (kRows > 32) rows.y = word(octet_rows.y);
    if constexpr (kRows > 64) rows.z = word(octet_rows.z), rows.w = word(octet_rows.w);
    return rows;
  }
  // kLanes lanes add an item up.
  template <int32_t kLanes>
  __device__ __forceinline__ void AddShare(int32_t tile, const LoraOctet& octets, int32_t up_to, const UnitRange& share,
                                           const UnitRange& blocks) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
#pragma unroll 1
    for (int32_t begin = share.begin; begin < share.end; begin += 32 / kLanes) {
      const int32_t item = begin + lane / kLanes;
      int32_t place = 0;  // of the first octet that ends after the item
#pragma unroll
      for (int32_t step = kLoraTileOctets / 2; step > 0; step /= 2) {
        if (item >= __shfl_sync(0xffffffffu, up_to, place + step - 1)) place += step;
      }
      const int32_t left = __shfl_sync(0xffffffffu, octets.rank - octets.rank_begin, place), first = item % 2 * 4;
      const float scale = __shfl_sync(0xffffffffu, octets.scale, place);
      const uint4 rows = RowsOf(octets.rows, place);
      const int32_t row = RowNumber(rows, (item - __shfl_sync(0xffffffffu, up_to, place) + ItemsOf(rows)) / 2);
      float4 sum = {0, 0, 0, 0};
      if (item < share.end) {
        sum = AddParts<kLanes>(Part(blocks.begin, tile) + PartWord(place, row) + first, blocks.end - blocks.begin);
      }
#pragma unroll
      for (int32_t distance = 1; distance < kLanes; distance *= 2) {
        const auto other = [&](float value) { return __shfl_xor_sync(0xffffffffu, value, distance); };
        sum = {sum.x + other(sum.x), sum.y + other(sum.y), sum.z + other(sum.z), sum.w + other(sum.w)};
      }
      if (item >= share.end || lane % kLanes != 0) continue;
      const auto column = [&](int32_t rank, float value) { return first + rank < left ? value * scale : 0.0f; };
      StoreRelaxed(SumsOf(args_.tables, args_.site) + LoraSumWord(tile * kLoraTileOctets + place, row, kRows) + first / 2,
                   {PackPair<T>(column(0, sum.x), column(1, sum.y)), PackPair<T>(column(2, sum.z), column(3, sum.w))});
    }
  }
  // The row of the bit that has so many before it.
  static __device__ __forceinline__ int32_t RowNumber(const uint4& rows, int32_t before) {
    uint32_t word = rows.x;
    int32_t row = 0;
    const auto skip = [&](uint32_t next) {
      const int32_t count = __popc(word);
      if (before >= count) before -= count, word = next, row += 32;
    };
    if constexpr (kRows > 32) skip(rows.y);
    if constexpr (kRows > 64) {
      if (row == 32) skip(rows.z);
      if (row == 64) skip(rows.w);
    }
#pragma unroll
    for (int32_t half = 16; half > 0; half /= 2) {
      const int32_t count = __popc(word & ((1u << half) - 1));
      if (before >= count) before -= count, word >>= half, row += half;
    }
    return row;
  }
  // Adds up every kLanes-th part, from the lane's on, and leaves these empty.
  template <int32_t kLanes>
  static __device__ __forceinline__ float4 AddParts(uint32_t* source, int32_t parts) {
    constexpr int32_t kStride = kLanes * kPartWords;
    const int32_t own = static_cast<int32_t>(threadIdx.x) % kLanes;
    float4 sum = {0, 0, 0, 0};
    source += own * kPartWords;
#pragma unroll 1
    for (int32_t left = parts - own; left > 0; left -= kPartsAtOnce * kLanes, source += kPartsAtOnce * kStride) {
      uint4 part[kPartsAtOnce];
      bool there;
      do {
        there = true;
#pragma unroll
        for (int32_t j = 0; j < kPartsAtOnce; ++j) part[j] = j * kLanes < left ? LoadRelaxed(source + j * kStride) : uint4{};
#pragma unroll
        for (int32_t j = 0; j < kPartsAtOnce; ++j) there = there && !HasEmpty(part[j]);
      } while (!there);
#pragma unroll
      for (int32_t j = 0; j < kPartsAtOnce; ++j) {
        sum.x += __uint_as_float(part[j].x), sum.y += __uint_as_float(part[j].y);
        sum.z += __uint_as_float(part[j].z), sum.w += __uint_as_float(part[j].w);
        if (j * kLanes < left) *reinterpret_cast<uint4*>(source + j * kStride) = {kLoraEmpty, kLoraEmpty, kLoraEmpty, kLoraEmpty};
      }
    }
    return sum;
  }

  const LoraSiteArgs& args_;
  const LoraDivision& division_;
  int32_t there_ = -1;  // the tile of which v is known to be there
};

// By all the kWarps warps that multiply: finds the block's patch, a warp for each of its units, which lie in the first stages once the barriers
// `landed` (A) and `full` (x) have passed; the first warp adds up what they find and stores it. Afterwards the stages have been read.
// per_tile: units of a tile of the product.
template <typename T, int32_t kRows, int32_t kWarps, int32_t kStages, int32_t kStage>
__device__ __forceinline__ void FindPatch(const LoraSiteArgs& site, const LoraDivision& division, int32_t units, int32_t per_tile,
                                          uint8_t (&stages)[kStages][kStage], uint64_t* landed, uint64_t* full) {
  static_assert(kLoraPatchUnitsMax <= kWarps && kLoraPatchUnitsMax < kStages);
  const LoraSums<T, kRows, true> sums(site, division);
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, warp = static_cast<int32_t>(threadIdx.x) / 32;
  constexpr int32_t kBoxes = decltype(sums)::kPatchBoxes;
  const auto found = [&](int32_t unit, int32_t box) { return reinterpret_cast<float2*>(stages[unit]) + box * 32 + lane; };
  const auto own = sums.AskOfPatch();
  if (warp < units) {
    BarrierWait(&landed[warp], 0);
    BarrierWait(&full[warp], 0);
    const uint32_t stage = SharedAddress(stages) + static_cast<uint32_t>(warp) * kStage;
    float d[2][4] = {};
    const int32_t parts = min(kLoraPatchParts, per_tile - (division.of_a.begin + warp) * kLoraPatchParts);
    MultiplyPatch<T, kBoxes>(stage, stage + kLoraPatchBytes, parts, d);
#pragma unroll
    for (int32_t box = 0; box < kBoxes; ++box) {
      *found(warp, box) = {d[0][box * 2] + d[1][box * 2], d[0][box * 2 + 1] + d[1][box * 2 + 1]};
    }
  }
  asm volatile("bar.sync 1, %0;" ::"n"(kWarps * 32) : "memory");
  if (warp == 0) {
#pragma unroll
    for (int32_t box = 0; box < kBoxes; ++box) {
      float2 sum = {0, 0};
#pragma unroll 1
      for (int32_t unit = 0; unit < units; ++unit) sum = {sum.x + found(unit, box)->x, sum.y + found(unit, box)->y};
      sums.StorePatch(own, box, sum);
    }
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // before weights come where that was kept
  __syncwarp();
}

}  // namespace chorale::cuda
