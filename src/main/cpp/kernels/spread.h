// Spread: every shard writes its columns of a matrix into the memory of all, and waits until all have.
//
// Whoever writes a second time has in between received something of every other shard that was sent after it had read
// the first: there is a sum over shards (exchange.h) in every layer of a pass.
#pragma once

#include "kernels/exchange.h"
#include "kernels/launch.h"

namespace chorale::cuda {

struct SpreadArgs {
  Product own;                                  // [T, cols] float32
  int32_t cols = 0;                             // 0: has none to give
  int64_t first = 0;                            // where they go in a row of the whole
  int64_t stride = 0;                           // of the whole
  float* whole[kExchangeShardsMax] = {};        // of each shard
  uint32_t* arrivals[kExchangeShardsMax] = {};  // of each shard: [shards] counts, 0 between two of these
  uint32_t expected[kExchangeShardsMax] = {};   // of each shard: rows times SpreadBlocks of its columns
  int32_t shard = 0;
  int32_t shards = 1;
  uint32_t* state = nullptr;                    // as in Exchange
  uint64_t patience_nanos = 0;
};

int32_t SpreadBlocks(int64_t cols);  // of a row
void Spread(Launcher& launcher, int32_t rows, const SpreadArgs& args);

}  // namespace chorale::cuda
