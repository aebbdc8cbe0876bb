// Attention over keys and values in pages: three kernels that share their inputs, and how their work is cut.
#pragma once

#include <vector>

#include "kernels/launch.h"

namespace chorale::cuda {

struct AttentionArgs {
  const void* q = nullptr;              // [T, heads * head_dim], as QkvPost left it
  void* out = nullptr;                  // [T, out_stride]
  int32_t out_stride = 0;               // even
  int32_t heads = 0;
  float scale = 0;                      // of q.k
  int32_t window = 0;                   // 0: none; else a query at p sees the keys in (p - window, p]
  const int32_t* positions = nullptr;   // [T]
  const int32_t* sequence = nullptr;    // [T]
  const int32_t* page_start = nullptr;  // [S+1]
  const int32_t* page_ids = nullptr;    // [P]; -1 where no query of the step looks
  KvPages kv;
};

// ---- a row at a time, the keys split over blocks (decode) ---------------------------------------------------------

inline constexpr int32_t kDecodeHeads = 8;       // query heads of one kv head that a block takes at once
inline constexpr int32_t kDecodeKeysMin = 64;  // of a block: its 4 warps take 16 keys each at a time

// A part of the keys that one row sees, for one block of its query heads.
struct DecodeItem {
  int32_t row = 0;
  int32_t head = 0;       // first query head
  int32_t key_begin = 0;  // a multiple of 16
  int32_t key_end = 0;
  int32_t split = 0;
  int32_t splits = 0;
  int32_t partial = 0;    // index of split 0's partial result; those of one row and head block are consecutive
  int32_t ticket = 0;     // which counter the splits of one row and head block share
};

struct DecodePlan {
  std::vector<DecodeItem> items;
  std::vector<int32_t> block_start;  // [blocks + 1]: block b computes the items [block_start[b], block_start[b + 1])
  int32_t partials = 0;
  int32_t tickets = 0;
};

struct DecodeRow {
  int32_t row = 0;
  int32_t position = 0;
};

// Cuts the rows' keys so that every block that fits on the device at once has the same number of them: the keys of all
// rows and head blocks, one after another, in equal parts. Blocks beyond those that are needed have no items.
void PlanDecode(const std::vector<DecodeRow>& rows, int32_t heads, int32_t kv_heads, int32_t window,
                int32_t sm_count, DecodePlan* plan);

struct DecodeWork {
  const DecodeItem* items = nullptr;      // device
  const int32_t* block_start = nullptr;   // device
  float* partial_out = nullptr;        // [partials][kDecodeHeads][head_dim]
  float2* partial_stats = nullptr;     // [partials][kDecodeHeads] (largest logit, sum of exponentials), base 2
  int32_t* tickets = nullptr;          // [tickets], zero before the first launch; every launch leaves them zero
};
inline constexpr int32_t kDecodeBlocksPerSm = 3;
inline constexpr int32_t kDecodePadding = 8;  // floats after a head's in shared memory, to spread the banks
// Dynamic shared memory of a block, for what half of its warps hand to the other half: for each head the largest logit (base 2), the sum
// of exponentials relative to it, and the weighted sum of values, of two warps. A group may have fewer than 8 heads, and a product is to
// be resident beside these blocks, so it is no more than that.
constexpr size_t DecodeSharedBytes(int32_t heads, int32_t head_dim) {
  return sizeof(float) * 2 * heads * (head_dim + kDecodePadding + 2);
}

inline bool HasFastAttention(int32_t head_dim) { return head_dim == 64 || head_dim == 128; }
// head_dim 64 or 128.
void AttentionDecode(Launcher& launcher, Element element, const AttentionArgs& args, const DecodeWork& work);

// ---- many rows of one sequence (prefill) ----------------------------------------------------------------------------

inline constexpr int32_t kPrefillTile = 128;  // (row, query head of one kv head) pairs of a block

struct PrefillItem {
  int32_t row_begin = 0;   // of the sequence in the step
  int32_t row_count = 0;
  int32_t kv_head = 0;
  int32_t tile = 0;        // pairs [tile * 128, (tile + 1) * 128), pair = row * group + head of the group
};
// Appends the items of one sequence's rows. Sort by falling length: PlanPrefill does so for what it is given.
struct PrefillSequence {
  int32_t row_begin = 0;
  int32_t row_count = 0;
  int32_t position_begin = 0;
};
void PlanPrefill(const std::vector<PrefillSequence>& sequences, int32_t heads, int32_t kv_heads,
                 std::vector<PrefillItem>* items);

// head_dim 64 or 128, at most kPrefillTile query heads for each kv head.
void AttentionPrefill(Launcher& launcher, Element element, int32_t item_count, const AttentionArgs& args,
                      const PrefillItem* items);
// The same with warpgroup matrix instructions: what AttentionPrefill takes on sm_90.
void AttentionPrefillWgmma(Launcher& launcher, Element element, int32_t item_count, const AttentionArgs& args,
                           const PrefillItem* items);

// ---- any head size ----------------------------------------------------------------------------------------------------

void AttentionPlain(Launcher& launcher, Element element, int32_t rows, const AttentionArgs& args);

}  // namespace chorale::cuda
