#include <algorithm>

#include "kernels/attention.h"

namespace chorale::cuda {

void PlanDecode(const std::vector<DecodeRow>& rows, int32_t heads, int32_t kv_heads, int32_t window,
                int32_t sm_count, DecodePlan* plan) {
  plan->items.clear();
  plan->block_start.assign(1, 0);
  plan->partials = 0;
  plan->tickets = 0;
  const int32_t group = heads / kv_heads;
  const int32_t head_blocks = kv_heads * ((group + kDecodeHeads - 1) / kDecodeHeads);
  const auto first_tile_of = [window](const DecodeRow& row) {  // tiles of 16 keys
    return window > 0 ? std::max(0, row.position + 1 - window) / 16 : 0;
  };
  int64_t total = 0;
  for (const DecodeRow& row : rows) total += int64_t{row.position / 16 + 1 - first_tile_of(row)} * head_blocks;
  const int64_t blocks = int64_t{sm_count} * kDecodeBlocksPerSm;
  const int64_t share = std::max<int64_t>((total + blocks - 1) / blocks, kDecodeKeysMin / 16);

  int64_t left = share;  // tiles that the block at hand still takes
  const auto close_block = [&] {
    plan->block_start.push_back(static_cast<int32_t>(plan->items.size()));
    left = share;
  };
  for (const DecodeRow& row : rows) {
    for (int32_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
      for (int32_t head = 0; head < group; head += kDecodeHeads) {
        const size_t first_item = plan->items.size();
        int32_t tile = first_tile_of(row);
        for (const int32_t tile_end = row.position / 16 + 1; tile < tile_end;) {
          const auto taken = static_cast<int32_t>(std::min<int64_t>(left, tile_end - tile));
          plan->items.push_back({row.row, kv_head * group + head, tile * 16, std::min((tile + taken) * 16, row.position + 1),
                                 static_cast<int32_t>(plan->items.size() - first_item), 0, plan->partials, plan->tickets});
          tile += taken;
          left -= taken;
          if (left == 0) close_block();
        }
        const auto splits = static_cast<int32_t>(plan->items.size() - first_item);
        for (size_t i = first_item; i < plan->items.size(); ++i) plan->items[i].splits = splits;
        if (splits == 1) continue;
        plan->partials += splits;
        ++plan->tickets;
      }
    }
  }
  while (static_cast<int64_t>(plan->block_start.size()) <= blocks) close_block();
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
