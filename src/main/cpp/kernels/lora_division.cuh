// Which units of A and B within a product of few rows (stream_lora.cuh) are whose, and in which order a block does what it has.
#pragma once

#include "kernels/common.cuh"
#include "kernels/gemm.h"
#include "kernels/lora.h"

namespace chorale::cuda {

inline constexpr int32_t kLoraFewTiles = 4;       // of A: fewer cost the wait for v rather than bytes
inline constexpr int32_t kLoraLateUnits = 24;     // of a block, after which v is there
inline constexpr int32_t kLoraLateUnitsFew = 48;  // of W, with few tiles

// By a warp: what LoraPlan has found for its block.
__device__ __forceinline__ void LoadDivision(const LoraSiteArgs& args, LoraDivision* own) {
  constexpr int32_t kPieces = sizeof(LoraDivision) / 16;
  static_assert(kPieces * 16 == sizeof(LoraDivision) && kPieces <= 32);
  const LoraDivision* planned = args.tables.divisions + (int64_t{args.site} * args.tables.blocks + blockIdx.x);
  const int32_t piece = static_cast<int32_t>(threadIdx.x) % 32;
  if (piece < kPieces) reinterpret_cast<uint4*>(own)[piece] = reinterpret_cast<const uint4*>(planned)[piece];
}

// The blocks that have units of a tile of A, by their turns.
__device__ __forceinline__ UnitRange BlocksOf(const LoraDivision& division, int32_t tile) {
  const int32_t per_tile = division.per_tile, each = division.each, blocks_each = division.blocks_each;
  if (blocks_each > 0) return {tile * blocks_each, (tile + 1) * blocks_each};
  return {Quotient(tile * per_tile, each), Quotient((tile + 1) * per_tile - 1, each) + 1};
}

// Divides the units of a product among its blocks: those of W into equal parts, whose boundaries may then be moved within their tiles, so that
// each partial sum remains who had it.
class LoraDivider {
 public:
  // apart: fewer blocks have units of A, with more of them each, and there are others between these.
  __device__ __forceinline__ LoraDivider(const LoraProduct& product, const LoraCounts& counts, bool apart)
      : product_(product), ends_(counts.ends), per_tile_(static_cast<int32_t>(product.plan.units_per_tile)),
        per_block_(static_cast<int32_t>(product.plan.units_per_block)), units_(product.plan.units), shares_(ShareA(apart)),
        late_(HasFew() ? kLoraLateUnitsFew : kLoraLateUnits - shares_.each) {}

  __device__ __forceinline__ int32_t blocks() const { return product_.plan.blocks; }
  // The first unit of an equal part of W; after the last block, the number of units.
  __device__ __forceinline__ int32_t BeginOf(int32_t block) const { return min(block * per_block_, units_); }
  // Where a block may begin instead: within the tile, nowhere else if it begins with one.
  __device__ __forceinline__ UnitRange BeginsOf(int32_t block) const {
    const int32_t begin = BeginOf(block), tile = Quotient(begin, per_tile_) * per_tile_;
    return begin == tile || begin == units_ ? UnitRange{begin, begin + 1} : UnitRange{tile + 1, min(tile + per_tile_, units_)};
  }
  // The equal part of A of a block.
  __device__ __forceinline__ UnitRange OfA(int32_t block) const {
    const int32_t total = Tiles() * per_tile_, each = shares_.each, blocks_each = shares_.blocks_each, turn = TurnOf(block);
    if (turn < 0) return {};
    if (blocks_each == 0) return {min(total, turn * each), min(total, (turn + 1) * each)};
    if (turn >= Tiles() * blocks_each) return {};
    const int32_t tile = Quotient(turn, blocks_each), begin = (turn - tile * blocks_each) * each;
    return {tile * per_tile_ + begin, tile * per_tile_ + min(begin + each, per_tile_)};
  }
  struct Expansion {
    int32_t units = 0;        // of B
    int32_t tiles_ahead = 0;  // whose units of W come before the first of B
  };
  // What a block has of each tile of outputs, W in equal parts.
  __device__ __forceinline__ Expansion DivideOutputs(int32_t block, LoraDivision* own) const {
    const int32_t begin = BeginOf(block), end = BeginOf(block + 1);
    Expansion expansion;
    int32_t count = 0;
    ForTiles(block, [&](int32_t tile) {
      LoraPart part{tile, max(begin - tile * per_tile_, 0), min(end - tile * per_tile_, per_tile_), {}, OctetsOf(tile)};
      part.blocks = ExpandUnits(part);
      own->parts[count++] = part;
      if (expansion.units == 0) expansion.tiles_ahead = count;
      expansion.units += max(part.blocks.end - part.blocks.begin, 0);
    });
    own->per_tile = per_tile_, own->octets = ends_[3], own->part_count = count;
    own->turn = TurnOf(block), own->each = shares_.each, own->blocks_each = shares_.blocks_each;
    return expansion;
  }
  // Then the rest: W is [of_w.begin, of_w.end), wherever boundaries have been moved to; A is units of the patch, where there are splits, or
  // else the equal part.
  __device__ __forceinline__ void DivideRest(int32_t block, const UnitRange& of_w, int32_t tiles_ahead, int32_t splits, const LoraPatch& patch,
                                             LoraDivision* own) const {
    const UnitRange of_a = splits > 0 ? OfPatch(splits, patch) : OfA(block);
    int32_t ahead = max(of_a.end - of_a.begin, 0), count = 0;
    ForTiles(block, [&](int32_t tile) {
      const int32_t begin = max(of_w.begin - tile * per_tile_, 0), end = min(of_w.end - tile * per_tile_, per_tile_);
      own->parts[count].begin = begin, own->parts[count].end = end;
      if (count++ < tiles_ahead) ahead += end - begin;
    });
    own->of_a = of_a, own->ahead = ahead, own->splits = splits, own->patch = patch;
  }

 private:
  struct Shares {
    int32_t each, blocks_each;  // as LoraDivision's
    int32_t stride;             // of the blocks with units of A
  };
  // A in equal parts, none of which is too short, as each costs its block as much again: of few tiles in more of them, as hardly any block
  // has one. Blocks apart lose less by it, so that there parts are twice as long.
  __device__ __forceinline__ Shares ShareA(bool apart) const {
    const int32_t blocks = product_.plan.blocks, total = Tiles() * per_tile_;
    const int32_t of_few = max(apart ? 4 : 2, (per_tile_ + (apart ? 31 : 0)) / 32), of_many = max(apart ? 8 : 4, per_tile_ / 16);
    const int32_t least = min(per_tile_, HasFew() ? of_few : of_many);
    int32_t each = max(Quotient(total + blocks - 1, blocks), least), blocks_each = 0;
    if (Tiles() > 0 && Tiles() <= blocks) {  // so that no block has to do with two tiles, where it hardly costs balance
      const int32_t of_tile = Quotient(blocks, Tiles()), longer = max(Quotient(per_tile_ + of_tile - 1, of_tile), least);
      if (longer <= each + max(1, each / 8)) each = longer, blocks_each = Quotient(per_tile_ + each - 1, each);
    }
    int32_t stride = 1;
    if (apart && total > 0) {
      stride = Quotient(blocks, blocks_each > 0 ? Tiles() * blocks_each : Quotient(total + each - 1, each));
      // As many of them in each tile, where blocks end where tiles end.
      const int32_t of_tile = Quotient(per_tile_, per_block_);
      if (of_tile * per_block_ == per_tile_) {
        while (Remainder(of_tile, stride) != 0 && Remainder(stride, of_tile) != 0) --stride;
      }
    }
    return {each, blocks_each, stride};
  }
  __device__ __forceinline__ int32_t TurnOf(int32_t block) const {
    const int32_t turn = Quotient(block, shares_.stride);
    return turn * shares_.stride == block ? turn : -1;
  }
  __device__ __forceinline__ UnitRange OfPatch(int32_t splits, const LoraPatch& patch) const {
    const int32_t units = patch.octet < 0 ? 0 : LoraPatchUnits(per_tile_);
    return {Quotient(units * patch.split, splits), Quotient(units * (patch.split + 1), splits)};
  }

  __device__ __forceinline__ int32_t Tiles() const { return (ends_[3] + kLoraTileOctets - 1) / kLoraTileOctets; }
  __device__ __forceinline__ bool HasFew() const { return Tiles() < kLoraFewTiles; }

  __device__ __forceinline__ UnitRange OctetsOf(int32_t tile) const {
    const int32_t output = tile * kProductTile, first = product_.outputs[0], second = first + product_.outputs[1];
    return output < first ? UnitRange{0, ends_[0]} : output < second ? UnitRange{ends_[0], ends_[1]} : UnitRange{ends_[1], ends_[2]};
  }

  // Calls f(tile) for those that a block has some units of, in its order.
  template <typename F>
  __device__ __forceinline__ void ForTiles(int32_t block, F&& f) const {
    const int32_t first = BeginOf(block), first_tile = Quotient(first, per_tile_);
    const int32_t count = Quotient(BeginOf(block + 1) - 1, per_tile_) + 1 - first_tile, turn = Quotient(StartOf(first), per_tile_) - first_tile;
#pragma unroll 1
    for (int32_t i = 0; i < count; ++i) f(first_tile + Remainder(i + turn, count));
  }
  // The unit with which the block of `first` begins, of equal parts. With the end of a tile and as much of the next it begins with the next, so
  // that it may have units of B of both; with few tiles of A there is nothing to divide.
  __device__ __forceinline__ int32_t StartOf(int32_t first) const {
    const int32_t count = min(per_block_, units_ - first), rest = per_tile_ - Remainder(first, per_tile_);
    return !HasFew() && rest < per_tile_ && rest < count && min(count - rest, per_tile_) >= rest ? first + rest : first;
  }

  // Units of B are divided among those equal parts of a tile to which a block comes late enough, or last.
  __device__ __forceinline__ UnitRange ExpandUnits(const LoraPart& part) const {
    if (part.octets.empty()) return {};
    const int32_t tile_begin = part.tile * per_tile_, tile_end = tile_begin + per_tile_;
    // First units of the blocks that have the first and the last of the tile.
    const int32_t head = Quotient(tile_begin, per_block_) * per_block_, tail = Quotient(tile_end - 1, per_block_) * per_block_;
    int32_t from = 0, to = per_tile_;
    if (head < tile_begin && head + per_block_ < tile_end) {
      const int32_t start = StartOf(head);
      if (start > head && head + per_block_ - start < late_) from = head + per_block_ - tile_begin;
    }
    if (tail > tile_begin && tile_end < min(tail + per_block_, units_)) {
      if (StartOf(tail) == tail && tile_end - tail < late_) to = tail - tile_begin;
    }
    if (from >= to) from = 0, to = per_tile_;
    const int32_t begin = max(part.begin, from), end = min(part.end, to);
    if (begin >= end) return {};
    const int32_t first = part.octets.begin / kLoraBlockOctets, count = (part.octets.end - 1) / kLoraBlockOctets + 1 - first;
    return {first + Quotient(count * (begin - from), to - from), first + Quotient(count * (end - from), to - from)};
  }

  const LoraProduct& product_;
  const int32_t (&ends_)[4];
  const int32_t per_tile_, per_block_, units_;
  const Shares shares_;
  const int32_t late_;  // units of W of a block, after which v is there
};

}  // namespace chorale::cuda
