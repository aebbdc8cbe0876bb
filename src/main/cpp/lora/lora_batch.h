// Which rows of a step use which adapters: the step's segments, cut into groups small enough for one unit of work.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lora/adapter_image.h"

namespace chorale {

inline constexpr int32_t kGroupRows = 8;  // rows of one group at most

struct LoraUse {
  std::shared_ptr<const ResidentAdapter> adapter;
  float scale = 1.0f;  // factor on the adapter's own scales
};

struct LoraGroup {  // consecutive rows that use the same adapters
  int32_t row_begin = 0;
  int32_t row_end = 0;
  int32_t use_begin = 0;  // into LoraBatch::uses
  int32_t use_end = 0;
};

struct LoraBatch {
  std::vector<LoraUse> uses;
  std::vector<LoraGroup> groups;  // only rows that use an adapter, ascending
  int64_t rank_sum_max = 0;       // of the uses of one group: how many rank activations a row may have at one site
  int64_t rank_part_max = 0;      // the same of those that one shard computes
  bool has_gains = false;         // an adapter multiplies the base's products
  bool has_outer = false;         // an adapter changes more than the layers' linears

  void Clear();
  const LoraGroup* GroupOf(int32_t row) const;  // null: the row uses the base model alone
  // Adds the rows [row_begin, row_end), which use the `count` uses that were added last.
  void AddRows(int32_t row_begin, int32_t row_end, int32_t count);
};

}  // namespace chorale
