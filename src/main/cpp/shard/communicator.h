// Communicator: one shard's end of the collectives that the forward pass needs. Every shard makes the same calls in the
// same order. Where a backend has a device, a call is in the order of its stream, like any operation.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "chorale/image_abi.h"

namespace chorale {

// What a collective is for; each is counted on its own.
enum Collective : int32_t {
  kSumHidden = 0,   // what o and down add to the residual, base and LoRA together: two a layer
  kGatherLogits,    // one a step; another where tokens are drawn by parts and a row needs all its logits
  kGatherRanks,     // LoraSharding::kSharded: A x of q, k and v in one, and of gate and up
  kSumRanks,        // LoraSharding::kSharded: A x of o, and of down
  kGatherFactors,   // LoraSharding::kSharded: to merge an adapter
  kCollectives
};
using CollectiveCounts = std::array<int64_t, kCollectives>;

// Rows of a matrix in the backend's memory.
struct Block {
  void* data = nullptr;
  int32_t element = kF32;  // DType
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from row to row
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  // Replaces each element by the sum over all shards: the same bits on every shard, whatever the batch.
  virtual void AllReduce(Collective what, const Block& block) = 0;
  // Columns [begins[i], begins[i + 1]) are shard i's to give; afterwards every shard has all.
  virtual void AllGather(Collective what, const Block& block, std::span<const int64_t> begins) = 0;

  const CollectiveCounts& counts() const { return counts_; }

 protected:
  void Count(Collective what) { ++counts_[what]; }
  void ResetCounts() { counts_ = {}; }

 private:
  CollectiveCounts counts_{};
};

}  // namespace chorale
