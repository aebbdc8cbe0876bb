// HostCommunicator: shards that are threads of this process, with float32 blocks in memory that all of them see.
#pragma once

#include "shard/communicator.h"
#include "shard/shard_group.h"

namespace chorale {

class HostCommunicator final : public Communicator {
 public:
  HostCommunicator(ShardGroup& group, int32_t shard) : group_(group), shard_(shard) {}

  // Each shard sums its part of the elements, in the order of the shards, and writes the sum to all.
  void AllReduce(Collective what, const Block& block) override;
  void AllGather(Collective what, const Block& block, std::span<const int64_t> begins) override;

 private:
  ShardGroup& group_;
  const int32_t shard_;
};

}  // namespace chorale
