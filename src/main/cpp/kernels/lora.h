// LoRA on groups of rows: v = A x, then y += B v, the weights read where they lie in the adapter's pages.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/exchange.h"
#include "kernels/launch.h"

namespace chorale::cuda {

inline constexpr int32_t kLoraGroupRows = 8;       // of a group, where there are few rows
inline constexpr int32_t kLoraGroupRowsMany = 256;  // in launches of its own, where a block has a piece of a group
inline constexpr int32_t kLoraPieceRows = 64;
inline constexpr int32_t kLoraPieces = kLoraGroupRowsMany / kLoraPieceRows;
inline constexpr int32_t kLoraGroupsMax = 128;     // within a product of few rows
inline constexpr int32_t kLoraSiteTargets = 3;
inline constexpr int32_t kLoraChunk = 16;          // ranks that are computed together

// Where A and B of one target of one layer lie: tiles of 128 columns with one row a rank (memory/page_layout.h), in
// the range of bytes that the layer's slices of the adapter's pages form, one after another.
struct LoraMatrix {
  uint32_t a_offset = 0;  // bytes from the start of the range
  uint32_t b_offset = 0;
  int32_t rank = 0;       // 0: the adapter leaves this target alone
  float scale = 0;        // alpha / r or alpha / sqrt(r)
};

// The page pool as the LoRA kernels see it.
struct LoraPool {
  const uint8_t* pages = nullptr;
  int64_t page_bytes = 0;
  uint32_t slice_bytes = 0;
};

struct LoraUse {
  const LoraMatrix* matrices = nullptr;  // [layers][7], device
  const int32_t* pages = nullptr;        // device
  float scale = 1.0f;                    // factor on the adapter's own scales
  int32_t reserved = 0;
};

// Consecutive rows that use the same adapters, at most kLoraGroupRows or kLoraGroupRowsMany.
struct LoraGroup {
  int32_t row_begin = 0;
  int32_t row_count = 0;
  int32_t use_begin = 0;
  int32_t use_end = 0;
  int32_t v_offset = 0;  // of the group's part of v, in floats; see LoraActivationFloats
  int32_t v_cols = 0;    // columns of a row: at least those that the group's adapters take at any site
};

// A rank takes its own count of columns of v, rounded up to 16.
__host__ __device__ constexpr int32_t LoraColumns(int32_t rank) { return (rank + kLoraChunk - 1) / kLoraChunk * kLoraChunk; }
// Room for a group's v in launches of its own: [row][v_cols] of 16 bits, scaled.
constexpr int64_t LoraActivationFloats(int32_t v_cols) { return int64_t{kLoraGroupRowsMany / 2} * v_cols; }

// What the adapters of a step ask of each site of each layer, as the product of few rows computes it (stream_lora.cuh): columns of v
// side by side, 8 ranks of one target of one use after another, target after target, of each target a multiple of 16. Written by
// LoraPlan.
struct alignas(16) LoraCounts {
  int32_t ends[4] = {};  // of the targets, in octets; the last: of all
};
struct alignas(16) LoraOctet {
  const int32_t* pages = nullptr;
  uint32_t a_offset = 0, b_offset = 0;
  int32_t rank = 0, rank_begin = 0;
  float scale = 0;
  int32_t reserved = 0;
  uint4 rows = {};  // bit r % 32 of word r / 32: row r uses it
};
__host__ __device__ constexpr uint32_t WordOf(const uint4& rows, int32_t row) {
  return row < 32 ? rows.x : row < 64 ? rows.y : row < 96 ? rows.z : rows.w;
}
__host__ __device__ constexpr bool HasRow(const uint4& rows, int32_t row) { return (WordOf(rows, row) >> row % 32 & 1) != 0; }

struct UnitRange {
  int32_t begin = 0, end = 0;

  __host__ __device__ constexpr bool empty() const { return begin >= end; }
};
// What a block has of a tile of outputs: the units [begin, end) of its weights, and after these units of B, blocks of 64 columns of v.
struct LoraPart {
  int32_t tile = 0, begin = 0, end = 0;
  UnitRange blocks, octets;  // octets: of the target that has the tile
};
// In short products v may consist of patches, LoraPatchRows rows from `row` on of one octet, as far as they use it. A block has at most one,
// of all inputs or of one of the division's splits of them; who needs v adds these up, so that nobody waits for parts to be added up first.
struct LoraPatch {
  int32_t octet = -1;  // negative: none
  int32_t row = 0;
  int32_t split = 0;   // which share of the inputs
};
// With so many rows in a step's box; 0: no patches, as they do not pay there (docs/KERNELS.md).
__host__ __device__ constexpr int32_t LoraPatchRows(int32_t box_rows) { return box_rows == 32 ? 8 : box_rows == 128 ? 16 : 0; }
inline constexpr int32_t kLoraPatchBoxRows = 8;             // of x, that come in one box
inline constexpr int32_t kLoraPatchParts = 8;               // of kUnitInputs inputs each, in a unit of A of a patch
inline constexpr int32_t kLoraPatchUnitsMax = 4;            // of a block, so that there are stages left for weights
inline constexpr int32_t kLoraSplitsMax = 2;
inline constexpr int32_t kLoraPatchesMax = kLoraGroupsMax;  // of a site, times the splits
// Of W, of a block. Shorter products end when v is there; in longer ones a block with a patch would end late.
inline constexpr uint32_t kLoraShortProductUnits = 14;
__host__ __device__ constexpr bool IsLong(const ProductPlan& plan) { return plan.units_per_block > kLoraShortProductUnits; }
__host__ __device__ constexpr int32_t LoraPatchUnits(uint32_t units_per_tile) {
  return (static_cast<int32_t>(units_per_tile) + kLoraPatchParts - 1) / kLoraPatchParts;
}
inline constexpr int32_t kLoraBlocksMax = 2 * kLoraGroupsMax;  // of a product
inline constexpr int32_t kStreamLoraParts = 16;  // with LoRA a block has some of at most so many tiles
// What a block of a product of few rows has to do (lora_division.cuh): units of A, tile after tile, then parts of tiles of outputs. Written
// by LoraPlan, so that no product has to find it out before it asks for anything.
struct alignas(16) LoraDivision {
  int32_t per_tile = 0, octets = 0;   // units of a tile; octets of all targets
  UnitRange of_a;
  int32_t turn = 0;                   // of the block among those with units of A; negative: it has none
  int32_t each = 0, blocks_each = 0;  // units of A of a block; blocks of a tile of A, if these have to do with no other
  int32_t ahead = 0;                  // units up to the first of B
  int32_t part_count = 0;
  LoraPart parts[kStreamLoraParts];
  int32_t splits = 0;                 // of a patch, whose units of_a are then; 0: v does not consist of patches
  LoraPatch patch;
};
// With more rows in a step's box a block with units of A ends later than others, by their number and so many units of W more, or with a
// patch by so many: there it has fewer of W and its neighbours have more.
inline constexpr int32_t kLoraLevelRows = 32, kLoraPartsCost = 5, kLoraPatchCost = 3;
// The product of a site; no blocks where LoRA is not within it.
struct LoraProduct {
  ProductPlan plan;
  int32_t outputs[kLoraSiteTargets] = {};  // of each target

  bool operator==(const LoraProduct&) const = default;
};

// Entry i of a site lies at [i * sites + site], site = layer * kLoraSites + its number in the layer: so nothing moves when
// there is room for more.
inline constexpr int32_t kLoraSites = 4;
struct LoraTables {
  LoraCounts* counts = nullptr;
  LoraOctet* octets = nullptr;
  int32_t* ready = nullptr;  // of each tile of octets: the shares of v that are there, where it is counted
  uint8_t* sums = nullptr;   // v: LoraSumBytes of each of kLoraSumSites
  int64_t sum_bytes = 0;     // of one
  int32_t sites = 0;
  LoraDivision* divisions = nullptr;  // that of a block at [site * blocks + block]
  int32_t blocks = 0;                 // of any product
};
inline constexpr int32_t kLoraOctetRanks = 8;
inline constexpr int32_t kLoraTileOctets = 16;  // 128 columns of v
inline constexpr int32_t kLoraBlockOctets = 8;   // 64 columns, of a unit of B
inline constexpr int32_t kLoraTileColumns = kLoraTileOctets * kLoraOctetRanks;
__host__ __device__ constexpr int64_t LoraTileCount(int64_t octets) { return (octets + kLoraTileOctets - 1) / kLoraTileOctets; }
// What a product of few rows keeps of v: sums over parts of the inputs, in float32, kLoraEmpty between launches; and v itself.
inline constexpr uint32_t kLoraEmpty = 0xffffffffu;  // NaNs that no sum gives, neither in 32 bits nor in 16
// Layers take turns at two places for the v of a site.
inline constexpr int32_t kLoraSumSites = 2 * kLoraSites;
// Whether those who need v of a site ask for it until each word is there (polled), rather than for how much of it is (counted): sooner,
// but one block of it after another, so that it pays up to so many octets and rows. Polled it is empty before: LoraPlan empties the place
// of the first layer, and each product that of the next. v in patches is polled always.
inline constexpr int32_t kLoraPolledOctets = 192, kLoraPolledRows = 64;
__host__ __device__ constexpr bool PollsSums(int32_t octets, int32_t box_rows) {
  return octets <= kLoraPolledOctets && box_rows <= kLoraPolledRows;
}
__host__ __device__ constexpr bool CanHavePatches(const ProductPlan& plan, int32_t box_rows) {
  return LoraPatchRows(box_rows) > 0 && plan.blocks > 0 && !IsLong(plan) &&
         LoraPatchUnits(plan.units_per_tile) <= kLoraSplitsMax * kLoraPatchUnitsMax;
}
constexpr bool CanHavePatches(std::span<const LoraProduct> of_layer, int32_t box_rows) {
  return std::ranges::any_of(of_layer, [&](const LoraProduct& product) { return CanHavePatches(product.plan, box_rows); });
}
constexpr int64_t LoraPartWords(int64_t octets, int64_t blocks, int64_t box_rows) {
  return (blocks + LoraTileCount(octets)) * kLoraTileColumns * box_rows;
}
constexpr int64_t LoraSumBytes(int64_t octets, int64_t box_rows) {
  const auto bytes = [](int64_t of_octets, int64_t rows) { return (of_octets + kLoraBlockOctets - 1) / kLoraBlockOctets * rows * 128; };
  const int64_t patched = bytes(std::min<int64_t>(octets, kLoraPolledOctets), box_rows);
  return std::max(bytes(octets, box_rows), kLoraSplitsMax * patched);
}
// Where the 16 bytes of an octet of a row lie in it, in words: as a box of 64 columns does in shared memory. Those of all splits of a patch
// lie side by side, so that all is that many times as far from the beginning.
__host__ __device__ constexpr int32_t LoraSumWord(int32_t octet, int32_t row, int32_t box_rows) {
  return (octet / kLoraBlockOctets * box_rows + row) * 32 + (octet % kLoraBlockOctets ^ row % 8) * 4;
}

// For kLoraGroupsMax groups and as many uses there is room, which may be read before the counts are known.
struct LoraPlanArgs {
  const LoraGroup* groups = nullptr;     // device, at most kLoraGroupsMax
  const int32_t* group_count = nullptr;  // device
  const LoraUse* uses = nullptr;         // device, any number, each of some group
  const int32_t* use_count = nullptr;    // device
  LoraTables tables;
  int32_t box_rows = 0;                  // StreamBox of the step's rows
  LoraProduct products[kLoraSites];      // of a layer
};
// The first launch of a step, and Embed (beside_plan) the second: products read the tables before they wait for anything.
void LoraPlan(Launcher& launcher, const LoraPlanArgs& args);

struct LoraSiteArgs {
  const LoraGroup* groups = nullptr;      // device
  const int32_t* group_count = nullptr;   // device
  const LoraUse* uses = nullptr;          // device
  LoraPool pool;
  int32_t layer = 0;
  int32_t targets = 0;                    // of the site
  int32_t first_target = 0;
  int32_t inputs = 0;                     // elements of a row of x, a multiple of 8; zero from `columns` on
  int32_t columns = 0;                    // of A
  int32_t outputs[kLoraSiteTargets] = {};  // of each target; side by side in y
  int32_t first_output = 0;               // in launches of its own: of the columns of y, the first that B has
  int32_t pieces = kLoraPieces;           // in launches of its own: of the largest group
  int32_t rank_part = 0, rank_parts = 1;  // in launches of its own: A has this one of so many equal parts of the ranks
  const void* x = nullptr;                // [T, inputs]
  float* v = nullptr;                     // in launches of its own: of all groups
  Product y;                              // in launches of its own: partial 0 is added to
  LoraTables tables;                      // within a product of few rows, as all that follows
  int32_t site = 0;                       // in the tables
  uint32_t* v_parts = nullptr;            // LoraPartWords, of floats
};

// Two launches: v = A x, then y += B v. groups_max: how many blocks to launch for the groups; with more groups than that,
// blocks take several in turn. The same within the base product: gemm.h.
void LoraShrink(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args);
void LoraExpand(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args);

// Between the two, of shards that have A in parts: v is summed over them, in 16 bits (exchange.h). A row's v_cols are at
// most twice as many as a row of an inbox has words.
void SumRanks(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args, const Exchange& exchange,
              int32_t row_words);

// What is done to the weights: see lora_merge.cu.
enum class MergeMode : int32_t { kMerge, kCount, kLog, kUnmerge };

struct LoraMergeArgs {
  LoraPool pool;
  const int32_t* pages = nullptr;  // of the adapter, device
  int32_t layer = 0;
  LoraMatrix matrix;
  float scale = 1.0f;              // factor on the matrix's own
  void* weight = nullptr;          // [rows, stride], of which `outputs` from row_begin on are changed in place
  int64_t row_begin = 0;
  int64_t stride = 0;
  int32_t inputs = 0;
  int32_t outputs = 0;
  MergeMode mode = MergeMode::kMerge;
  uint32_t* log_count = nullptr;   // kCount, kLog: added to
  uint32_t* log_places = nullptr;  // kLog: elements from `weight` on, which has fewer than 2^32
  uint16_t* log_bits = nullptr;    // kLog: what was there
};
// weight += scale * B A, each sum in float32 and rounded once, or the other way.
void LoraMerge(Launcher& launcher, Element element, const LoraMergeArgs& args);
// Puts back what a log holds.
void RestoreWeights(Launcher& launcher, void* weight, const uint32_t* places, const uint16_t* bits, int64_t count);

}  // namespace chorale::cuda
