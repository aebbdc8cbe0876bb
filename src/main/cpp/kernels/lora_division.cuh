// Which units of A and B within a product of few rows (stream_lora.cuh) are whose, and in which order a block does what it has.
#pragma once

#include "kernels/gemm.h"
#include "kernels/lora.h"

namespace chorale::cuda {

inline constexpr int32_t kLoraBlockOctets = 8;  // of a unit of B
inline constexpr int32_t kLoraFewTiles = 4;       // of A: fewer cost the wait for v rather than bytes
inline constexpr int32_t kLoraLateUnits = 24;     // of a block, after which v is there
inline constexpr int32_t kLoraLateUnitsFew = 48;  // of W, with few tiles

struct UnitRange {
  int32_t begin, end;

  __device__ __forceinline__ bool empty() const { return begin >= end; }
};

// What a block has of a tile of outputs: the units [begin, end) of its weights, and after these units of B, blocks of 64 columns of v.
struct LoraPart {
  int32_t tile, begin, end;
  UnitRange blocks, octets;  // octets: of the target that has the tile
};

// What a block has to do, in shared memory: units of A, tile after tile, then parts of tiles of outputs.
struct LoraDivision {
  int32_t per_tile, octets;   // units of a tile; octets of all targets
  UnitRange of_a;
  int32_t each, blocks_each;  // units of A of a block; blocks of a tile of A, if these have to do with no other
  int32_t ahead;              // units up to the first of B
  int32_t part_count;
  LoraPart parts[kStreamLoraParts];

  // The blocks that have units of a tile of A.
  __device__ __forceinline__ UnitRange BlocksOf(int32_t tile) const {
    if (blocks_each > 0) return {tile * blocks_each, (tile + 1) * blocks_each};
    return {Quotient(tile * per_tile, each), Quotient((tile + 1) * per_tile - 1, each) + 1};
  }
};

// Divides the units of a product, as one warp of each block.
class LoraDivider {
 public:
  __device__ __forceinline__ LoraDivider(const LoraSiteArgs& args, const Product& y, int32_t units)
      : args_(args), ends_(*reinterpret_cast<const int4*>(args.tables.counts + args.site)),
        per_tile_(static_cast<int32_t>(y.units_per_tile)), per_block_(static_cast<int32_t>(y.units_per_block)), units_(units),
        shares_(DivideA()), late_(HasFew() ? kLoraLateUnitsFew : kLoraLateUnits - shares_.each) {}

  __device__ __forceinline__ void Run(LoraDivision* own) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, first = static_cast<int32_t>(blockIdx.x) * per_block_;
    const int32_t end = min(first + per_block_, units_), first_tile = Quotient(first, per_tile_);
    const int32_t count = Quotient(end - 1, per_tile_) + 1 - first_tile;
    LoraPart part{};
    if (lane < count) {
      const int32_t tile = first_tile + Remainder(lane + Quotient(StartOf(first), per_tile_) - first_tile, count);
      part = {tile, max(first - tile * per_tile_, 0), min(end - tile * per_tile_, per_tile_), {}, OctetsOf(tile)};
      part.blocks = ExpandUnits(part);
      own->parts[lane] = part;
    }
    const uint32_t with_b = __ballot_sync(0xffffffffu, !part.blocks.empty());
    const bool ahead = with_b == 0 || lane < __ffs(static_cast<int32_t>(with_b));
    const uint32_t units_ahead = __reduce_add_sync(0xffffffffu, static_cast<uint32_t>(ahead ? part.end - part.begin : 0));
    if (lane != 0) return;
    own->per_tile = per_tile_, own->octets = ends_.w, own->part_count = count;
    own->of_a = OfA(), own->each = shares_.each, own->blocks_each = shares_.blocks_each;
    own->ahead = own->of_a.end - own->of_a.begin + static_cast<int32_t>(units_ahead);
  }

 private:
  struct Shares {
    int32_t each, blocks_each;  // as LoraDivision's
  };
  // A in equal parts, none of which is too short: of few tiles in more of them, as hardly any block has one.
  __device__ __forceinline__ Shares DivideA() const {
    const auto blocks = static_cast<int32_t>(gridDim.x);
    const int32_t total = Tiles() * per_tile_, least = min(per_tile_, max(HasFew() ? 2 : 4, per_tile_ / (HasFew() ? 32 : 16)));
    int32_t each = max(Quotient(total + blocks - 1, blocks), least), blocks_each = 0;
    if (Tiles() > 0 && Tiles() <= blocks) {  // so that no block has to do with two tiles, where it hardly costs balance
      const int32_t of_tile = Quotient(blocks, Tiles()), longer = max(Quotient(per_tile_ + of_tile - 1, of_tile), least);
      if (longer <= each + max(1, each / 8)) each = longer, blocks_each = Quotient(per_tile_ + each - 1, each);
    }
    return {each, blocks_each};
  }
  __device__ __forceinline__ UnitRange OfA() const {
    const auto block = static_cast<int32_t>(blockIdx.x);
    const int32_t total = Tiles() * per_tile_, each = shares_.each, blocks_each = shares_.blocks_each;
    if (blocks_each == 0) return {min(total, block * each), min(total, (block + 1) * each)};
    if (block >= Tiles() * blocks_each) return {};
    const int32_t tile = Quotient(block, blocks_each), begin = (block - tile * blocks_each) * each;
    return {tile * per_tile_ + begin, tile * per_tile_ + min(begin + each, per_tile_)};
  }

  __device__ __forceinline__ int32_t Tiles() const { return (ends_.w + kLoraTileOctets - 1) / kLoraTileOctets; }
  __device__ __forceinline__ bool HasFew() const { return Tiles() < kLoraFewTiles; }

  __device__ __forceinline__ UnitRange OctetsOf(int32_t tile) const {
    const int32_t output = tile * kProductTile, first = args_.outputs[0], second = first + args_.outputs[1];
    return output < first ? UnitRange{0, ends_.x} : output < second ? UnitRange{ends_.x, ends_.y} : UnitRange{ends_.y, ends_.z};
  }

  // The unit with which the block of `first` begins. With the end of a tile and as much of the next it begins with the next, so that it
  // may have units of B of both; with few tiles of A there is nothing to divide.
  __device__ __forceinline__ int32_t StartOf(int32_t first) const {
    const int32_t count = min(per_block_, units_ - first), rest = per_tile_ - Remainder(first, per_tile_);
    return !HasFew() && rest < per_tile_ && rest < count && min(count - rest, per_tile_) >= rest ? first + rest : first;
  }

  // Units of B are divided among those parts of a tile to which a block comes late enough, or last.
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

  const LoraSiteArgs& args_;
  const int4 ends_;
  const int32_t per_tile_, per_block_, units_;
  const Shares shares_;
  const int32_t late_;  // units of W of a block, after which v is there
};

}  // namespace chorale::cuda
