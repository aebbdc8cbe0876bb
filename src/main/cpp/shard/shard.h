// Shard: one of the equal parts that a model is cut into, each computed by an engine of its own on its own device. All
// shards see the same steps and page tables; each has its part of the heads, of the MLP and of the adapters.
#pragma once

#include <cstdint>

#include "base/part.h"

namespace chorale {

class ShardGroup;

inline constexpr int32_t kShardsMax = 16;

// How the two factors of an adapter are cut (shard_cut.h).
enum class LoraSharding {
  // The factor that meets whole activations is kept whole, the other is cut as the base matrix is. Every shard's share
  // of B (A x) joins its share of the base product: no collective beyond those of the base model.
  kReplicate,
  // S-LoRA's: both factors are cut, so that an adapter takes a shard 1/count of its bytes; the rank activations A x are
  // gathered or summed in between.
  kSharded,
};

struct Shard {
  int32_t index = 0;
  int32_t count = 1;
  LoraSharding lora = LoraSharding::kReplicate;
  ShardGroup* group = nullptr;  // null: there is one shard only

  bool cuts_both_factors() const { return count > 1 && lora == LoraSharding::kSharded; }
};

}  // namespace chorale
