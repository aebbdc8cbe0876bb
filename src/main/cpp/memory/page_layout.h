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
//   The gains of a DoRA target are a matrix of one rank row beside its B.
//   Ranks are stored exactly. A shard (shard/) stores its part of A and B, but where that is a part of the ranks, which
//   need not divide, it leaves room for the largest: matrices lie at the same places on every shard. So it does outside
//   the layers, where the words of a head are cut.
//
// What an adapter has outside the layers lies in pages of its own behind those of the layers: whole pages, one after
//   another, are one range of bytes. In it, in the same tiles: A and B of the LM head, A and B of the embedding, and an LM
//   head of its own as a matrix with one rank row a word.
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
  TiledRows a;        // columns: inputs; its rank is that of the shard's part
  TiledRows b;        // columns: outputs
  TiledRows gain;     // DoRA: factors on the base's product, columns: its outputs here; else nothing
  float scale = 0.0f;  // alpha / r or alpha / sqrt(r)
  int32_t rank_begin = 0;    // of the ranks, the first that A holds
  int32_t first_output = 0;  // of the linear's outputs here, the first that B holds
  int32_t rank() const { return b.rank; }
  bool has_gain() const { return gain.columns > 0; }
};

// The place of what is not of a layer, wherever a layer is asked for.
inline constexpr int32_t kOuterLayer = -1;

// What an adapter has outside the layers.
enum Outer : int32_t { kOuterHead = 0, kOuterEmbed, kOuters };

// The shapes of the base model's linears: what an adapter must fit. With several shards: what one shard holds of them.
struct LinearShapes {
  int32_t layers = 0;
  int32_t in[kTargets] = {};   // columns of A
  int32_t out[kTargets] = {};  // rows of B
  int32_t shard = 0;
  int32_t shards = 1;
  int32_t in_begin[kTargets] = {};   // of the whole A's columns, the first
  int32_t out_begin[kTargets] = {};  // of the whole B's rows, the first
  int32_t first_output[kTargets] = {};  // see LoraMatrices
  bool cuts_rank[kTargets] = {};        // A holds a part of the ranks, B all
  int32_t base_out[kTargets] = {};      // rows of the base's weight here, which are more than B's where both are cut
  int32_t base_begin[kTargets] = {};    // of the whole weight's rows, the first
  int32_t hidden = 0;
  int32_t vocab = 0;
  int32_t head = 0;        // rows of the LM head here
  int32_t head_begin = 0;  // of the whole head's, the first
  int32_t head_most = 0;   // that any shard holds
};

// What an adapter consists of.
struct AdapterParts {
  struct Pair {
    int32_t rank = 0;  // 0: there is none
    float scale = 0.0f;
    bool has_gain = false;
  };
  std::vector<Pair> linears;  // [layers * kTargets]
  Pair outer[kOuters];
  bool has_head = false;      // of its own, instead of the base's
};

// Where the matrices of one adapter lie in its pages; the same in the host image and in the pool.
class AdapterLayout {
 public:
  AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry, const AdapterParts& parts);
  // A and B of linears alone, with ranks[layer * kTargets + target].
  AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry, const std::vector<int32_t>& ranks,
                const std::vector<float>& scales);

  const LoraMatrices& at(int32_t layer, int32_t target) const { return matrices_[layer * kTargets + target]; }
  const LoraMatrices& outer(Outer which) const { return outer_[which]; }
  const TiledRows& own_head() const { return own_head_; }  // rank: words, columns: inputs; rank 0: none
  // Whether it changes the linears of the layers and nothing else, by adding to what they compute: such a one can be merged.
  bool mergeable() const { return !has_gains_ && !has_outer(); }
  bool has_gains() const { return has_gains_; }
  bool has_outer() const { return page_count_ > outer_page_; }
  int32_t layers() const { return static_cast<int32_t>(matrices_.size()) / kTargets; }
  int32_t page_count() const { return page_count_; }
  int64_t slice_bytes() const { return slice_bytes_; }
  int32_t outer_page() const { return outer_page_; }  // the first of those behind the layers'
  int32_t rank_sum_max() const { return rank_sum_max_; }  // of the targets of one site (backend.h) of any layer
  int32_t rank_part_max() const { return rank_part_max_; }  // the same of the ranks that one shard holds of A

 private:
  std::vector<LoraMatrices> matrices_;
  LoraMatrices outer_[kOuters];
  TiledRows own_head_;
  bool has_gains_ = false;
  int64_t slice_bytes_ = 0;
  int32_t page_count_ = 0;
  int32_t outer_page_ = 0;
  int32_t rank_sum_max_ = 0;
  int32_t rank_part_max_ = 0;
};

}  // namespace chorale
