#include <algorithm>

#include "kernels/attention.h"

namespace chorale::cuda {

void PlanDecode(const std::vector<DecodeRow>& rows, int32_t heads, int32_t kv_heads, int32_t window,
                int32_t sm_count, DecodePlan* plan) {
  plan->items.clear();
  plan->partials = 0;
  plan->tickets = 0;
  const int32_t group = heads / kv_heads;
  const int32_t head_blocks = kv_heads * ((group + kDecodeHeads - 1) / kDecodeHeads);
  const auto keys_of = [window](const DecodeRow& row) {  // rounded to whole tiles of 16
    const int32_t first = window > 0 ? std::max(0, row.position + 1 - window) / 16 * 16 : 0;
    return (row.position + 1 - first + 15) / 16 * 16;
  };
  int64_t total = 0;
  for (const DecodeRow& row : rows) total += int64_t{keys_of(row)} * head_blocks;
  // One wave of blocks, each with the same number of keys, if that number is large enough to be worth a block.
  const int64_t blocks = int64_t{sm_count} * kDecodeBlocksPerSm;
  const int64_t share = std::max<int64_t>((total + blocks - 1) / blocks, kDecodeKeysMin);
  for (const DecodeRow& row : rows) {
    const int32_t keys = keys_of(row);
    const auto wanted = static_cast<int32_t>(std::min<int64_t>((keys + share - 1) / share, kDecodeSplitsMax));
    const int32_t keys_per_split = ((keys + wanted - 1) / wanted + 15) / 16 * 16;
    const int32_t splits = (keys + keys_per_split - 1) / keys_per_split;
    for (int32_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
      for (int32_t head = 0; head < group; head += kDecodeHeads) {
        for (int32_t split = 0; split < splits; ++split) {
          plan->items.push_back({row.row, kv_head * group + head, split, splits, keys_per_split,
                                 plan->partials, plan->tickets, 0});
        }
        if (splits == 1) continue;
        plan->partials += splits;
        ++plan->tickets;
      }
    }
  }
  // Long items first: what is left at the end is then short.
  std::stable_sort(plan->items.begin(), plan->items.end(),
                   [](const DecodeItem& a, const DecodeItem& b) { return a.keys > b.keys; });
}

void PlanPrefill(const std::vector<PrefillSequence>& sequences, int32_t heads, int32_t kv_heads,
                 std::vector<PrefillItem>* items) {
  items->clear();
  struct Ordered {
    int32_t last_position;
    PrefillItem item;
  };
  std::vector<Ordered> ordered;
  const int32_t group = heads / kv_heads;
  for (const PrefillSequence& sequence : sequences) {
    const int32_t tiles = (sequence.row_count * group + kPrefillTile - 1) / kPrefillTile;
    for (int32_t tile = 0; tile < tiles; ++tile) {
      const int32_t last_row = std::min(((tile + 1) * kPrefillTile - 1) / group, sequence.row_count - 1);
      for (int32_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
        ordered.push_back({sequence.position_begin + last_row,
                           {sequence.row_begin, sequence.row_count, kv_head, tile}});
      }
    }
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Ordered& a, const Ordered& b) { return a.last_position > b.last_position; });
  for (const Ordered& entry : ordered) items->push_back(entry.item);
}

}  // namespace chorale::cuda
