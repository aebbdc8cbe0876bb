#include "lora/lora_batch.h"

#include <algorithm>

namespace chorale {

void LoraBatch::Clear() {
  uses.clear();
  groups.clear();
  rank_sum_max = 0;
  rank_part_max = 0;
  has_gains = false;
  has_outer = false;
}

const LoraGroup* LoraBatch::GroupOf(int32_t row) const {
  const auto after = std::upper_bound(groups.begin(), groups.end(), row,
                                      [](int32_t wanted, const LoraGroup& group) { return wanted < group.row_end; });
  return after == groups.end() || row < after->row_begin ? nullptr : &*after;
}

void LoraBatch::AddRows(int32_t row_begin, int32_t row_end, int32_t count) {
  if (count == 0) return;
  const auto use_end = static_cast<int32_t>(uses.size());
  int64_t rank_sum = 0, part_sum = 0;
  for (int32_t use = use_end - count; use < use_end; ++use) {
    rank_sum += uses[use].adapter->layout->rank_sum_max();
    part_sum += uses[use].adapter->layout->rank_part_max();
    has_gains = has_gains || uses[use].adapter->layout->has_gains();
    has_outer = has_outer || uses[use].adapter->layout->has_outer();
  }
  rank_sum_max = std::max(rank_sum_max, rank_sum);
  rank_part_max = std::max(rank_part_max, part_sum);
  for (int32_t row = row_begin; row < row_end; row += kGroupRows) {
    groups.push_back({row, std::min(row + kGroupRows, row_end), use_end - count, use_end});
  }
}

}  // namespace chorale
