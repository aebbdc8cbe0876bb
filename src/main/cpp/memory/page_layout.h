// What lies where within a slice: keys and values, and the matrices of adapters.
//
// KV slice of the CPU:         K [kv_head][head_dim][page_tokens] | V [kv_head][page_tokens][head_dim]
//   Keys are stored with tokens innermost, so that the scores of a page's tokens are computed side by side, each with
//   its own sum over head_dim; values with head_dim innermost, for the same reason. A device has its own order, in as
//   many bytes.
//
// Adapter, layer l: slice l of the adapter's pages, one after another, is one range of bytes. In it, for every target
//   that has a rank: A as tiles of 128 input columns, then B as tiles of 128 output rows. Both kinds of tile hold one
//   row of `width` elements for each rank:
//     A tile c: [rank][width]  A[j][128c + i]        B tile c: [rank][width]  B[128c + i][j]
//   width is 128, but in the last tile the least power of two >= 16 that holds the rest; the rest is zero. Matrices
//   start at multiples of 512 bytes and so do slices: a rank row never straddles two slices, though a tile may.
//   Ranks are stored exactly.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "chorale/image_abi.h"
#include "memory/page_arena.h"

namespace chorale {

inline constexpr int32_t kTileColumns = 128;

inline int64_t KeyOffset(const PageGeometry& g, int32_t kv_head) {  // in elements from the slice's start
  return static_cast<int64_t>(kv_head) * g.head_dim * g.page_tokens;
}
inline int64_t ValueOffset(const PageGeometry& g, int32_t kv_head) {
  return KeyOffset(g, g.kv_heads) + KeyOffset(g, kv_head);
}

// The 128-column tiles of a matrix side with `columns` columns and one row a rank.
struct TiledRows {
  int64_t offset = 0;  // bytes from the start of the layer's range
  int32_t rank = 0;
  int32_t columns = 0;
  int32_t element_bytes = 4;

  int32_t tiles() const { return (columns + kTileColumns - 1) / kTileColumns; }
  int32_t used(int32_t tile) const { return std::min(kTileColumns, columns - tile * kTileColumns); }
  int32_t width(int32_t tile) const {
    return static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(std::max(16, used(tile)))));
  }
  int64_t row_bytes(int32_t tile) const { return int64_t{width(tile)} * element_bytes; }
  int64_t row_offset(int32_t tile, int32_t j) const {  // bytes from the start of the layer's range
    return offset + int64_t{tile} * kTileColumns * rank * element_bytes + j * row_bytes(tile);
  }
  int64_t bytes() const { return columns == 0 ? 0 : row_offset(tiles() - 1, rank) - offset; }
};

struct LoraMatrices {
  TiledRows a;        // columns: inputs
  TiledRows b;        // columns: outputs
  float scale = 0.0f;  // alpha / r or alpha / sqrt(r)
  int32_t rank() const { return a.rank; }
};

// The shapes of the base model's linears: what an adapter must fit.
struct LinearShapes {
  int32_t layers = 0;
  int32_t in[kTargets] = {};
  int32_t out[kTargets] = {};
};

// Where the matrices of one adapter lie in its pages; the same in the host image and in the pool.
class AdapterLayout {
 public:
  // ranks[layer * kTargets + target]; 0: the adapter leaves this linear alone.
  AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry, const std::vector<int32_t>& ranks,
                const std::vector<float>& scales);

  const LoraMatrices& at(int32_t layer, int32_t target) const { return matrices_[layer * kTargets + target]; }
  int32_t layers() const { return static_cast<int32_t>(matrices_.size()) / kTargets; }
  int32_t page_count() const { return page_count_; }
  int64_t slice_bytes() const { return slice_bytes_; }
  int32_t rank_sum_max() const { return rank_sum_max_; }  // of the targets of one site (backend.h) of any layer

 private:
  std::vector<LoraMatrices> matrices_;
  int64_t slice_bytes_ = 0;
  int32_t page_count_ = 0;
  int32_t rank_sum_max_ = 0;
};

}  // namespace chorale
