// Exchange: how the same rows on several GPUs add up, without a library and without a barrier between them.
//
// Every shard has an inbox in its own memory, with a part for each shard. A shard writes its share of a row into its
// part of every other's inbox, and reads the others' from its own. A word is empty until what belongs there has come:
// the numbers are their own flags, so nothing is fenced, and it takes one way over NVLink. Who has read a word leaves it
// empty again.
//
// Two sums in a row use two inboxes in turn. That is enough: whoever writes an inbox again has received of every shard
// its share of the sum between, and a shard sends that after it has emptied the inbox: its kernels write when the one
// before has ended (launch.h), and what that has stored is in the shard's own memory by then. So a share never comes where
// the one before it is still to be read, however late a shard is. It takes that all shards make the same sums, each of a
// row or more, and every sum that is asked for.
//
// Waiting is bounded. A shard that gives up says so in `state`, which is one for all shards, and goes on with numbers that
// have not come, as do the others then: nothing of a step may be used before the state was looked at when all have ended.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace chorale::cuda {

inline constexpr int32_t kExchangeShardsMax = 16;
inline constexpr uint32_t kEmptyWord = 0xffffffffu;  // two 16-bit NaNs that no rounding gives

// What a shard that waits says and looks at, in the host's memory: 0 all is well, else all waiting ends at once.
inline constexpr uint32_t kExchangeEnded = 1;    // by the host: a shard has failed
inline constexpr uint32_t kExchangeMissed = 16;  // and more: a shard has sent another nothing for patience_nanos

__host__ __device__ constexpr uint32_t MissedState(int32_t waiting, int32_t from) {
  return kExchangeMissed + static_cast<uint32_t>(waiting * kExchangeShardsMax + from);
}
constexpr int32_t WhoWaited(uint32_t missed) { return static_cast<int32_t>(missed - kExchangeMissed) / kExchangeShardsMax; }
constexpr int32_t WhoWasMissed(uint32_t missed) { return static_cast<int32_t>(missed - kExchangeMissed) % kExchangeShardsMax; }

struct Exchange {
  uint32_t* inboxes[kExchangeShardsMax] = {};  // of each shard: [shards][rows][cols / 2] words of two elements
  int64_t part_words = 0;                      // words of one shard's part
  int32_t shard = 0;
  int32_t shards = 1;                          // 1: there is nothing to exchange
  uint32_t* state = nullptr;                   // pinned memory of the host, the same for all
  uint64_t patience_nanos = 0;
};

}  // namespace chorale::cuda
