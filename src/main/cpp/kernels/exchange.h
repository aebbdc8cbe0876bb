// Exchange: how the same rows on several GPUs add up, without a library and without a barrier between them.
//
// Every shard has an inbox in its own memory, with a part for each shard. A shard writes its share of a row into its
// part of every other's inbox, and reads the others' from its own. A word is empty until what belongs there has come:
// the numbers are their own flags, so nothing is fenced, and it takes one way over NVLink. Who has read a word leaves it
// empty again.
//
// Two sums in a row use two inboxes in turn. That is enough: whoever writes an inbox again has received of every shard
// its share of the sum between, which that shard has sent after it emptied the inbox.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace chorale::cuda {

inline constexpr int32_t kExchangeShardsMax = 16;
inline constexpr uint32_t kEmptyWord = 0xffffffffu;  // two 16-bit NaNs that no rounding gives

// What a shard that waits says and looks at, in the host's memory: 0 all is well, else the waiting ends at once.
inline constexpr uint32_t kExchangeEnded = 1;    // by the host: a shard has failed
inline constexpr uint32_t kExchangeMissed = 16;  // kExchangeMissed + i: shard i has sent nothing for patience_nanos

struct Exchange {
  uint32_t* inboxes[kExchangeShardsMax] = {};  // of each shard: [shards][rows][cols / 2] words of two elements
  int64_t part_words = 0;                      // words of one shard's part
  int32_t shard = 0;
  int32_t shards = 1;                          // 1: there is nothing to exchange
  uint32_t* state = nullptr;                   // pinned memory of the host
  uint64_t patience_nanos = 0;
};

}  // namespace chorale::cuda
