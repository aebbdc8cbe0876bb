// PeerExchange: what the kernels of one shard need to add up rows and to hand out logits directly over NVLink or PCIe
// (kernels/exchange.h, kernels/spread.h): memory that the other GPUs may write, and a word of the host's memory by which
// waiting ends on all shards.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <span>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "kernels/exchange.h"
#include "kernels/sample.h"
#include "kernels/spread.h"
#include "shard/communicator.h"
#include "shard/shard.h"

namespace chorale::cuda {

// Memory of one device that others may write. Nothing else of the device is open to them, so that allocating and freeing
// concerns this device alone.
class SharedMemory {
 public:
  // On the current device, which has this number.
  static Result<std::shared_ptr<SharedMemory>> Allocate(int32_t device, int32_t devices, int64_t bytes, cudaStream_t stream);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  uint8_t* data() const { return static_cast<uint8_t*>(data_); }

 private:
  SharedMemory() = default;
  cudaMemPool_t pool_ = nullptr;
  void* data_ = nullptr;
};

class PeerExchange {
 public:
  struct Sizes {
    int64_t sum_rows = 0, sum_cols = 0;        // of the largest sum; cols even
    int64_t rank_cols = 0;                     // of a row of rank activations, of which there are sum_rows; 0: none are summed
    int64_t whole_rows = 0, whole_stride = 0;  // of the matrix that is spread
    int64_t chunks = 0;                        // of the vocabulary, of whole_rows rows; 0: nothing is drawn
  };
  // With all shards at once, each on the device of its number. Null on every shard where some GPU cannot reach another.
  static Result<std::unique_ptr<PeerExchange>> Connect(const Shard& shard, const Sizes& sizes, cudaStream_t stream);
  ~PeerExchange();

  // For the next sum of a pass; every shard asks in the same order. A pass has an even number of sums.
  Exchange NextSum();
  void BeginPass() { turn_ = 0; }
  // For the rank activations of a site. Between two sites with the same `turn` there is a sum.
  Exchange RankSum(Collective what, int32_t turn);
  int32_t rank_cols() const { return static_cast<int32_t>(sizes_.rank_cols); }
  // Of rows of logits, of which words[i] are shard i's; the caller adds its own.
  SpreadArgs NextSpread(int32_t rows, std::span<const SampleWords> words);
  float* whole() const;
  // For the next draw, of which words[i] are shard i's.
  SampleExchange NextDraw(std::span<const SampleWords> words);
  SampleSummary* summaries() const { return Summaries(shard_.index); }
  void Count(Collective what) { ++counts_[what]; }
  // Throws when a kernel of any shard has given up waiting.
  void Check() const;
  const CollectiveCounts& collectives() const { return counts_; }

 private:
  PeerExchange(const Shard& shard, const Sizes& sizes) : shard_(shard), sizes_(sizes) {}
  Status Open(cudaStream_t stream);
  uint32_t* State() const { return state_->as<uint32_t>(); }
  int64_t PartWords() const { return sizes_.sum_rows * sizes_.sum_cols / 2; }
  int64_t RankWords() const { return sizes_.sum_rows * sizes_.rank_cols / 2; }
  Exchange MakeExchange(int64_t part_words, int64_t first_word) const;
  uint32_t* Inboxes(int32_t shard) const { return reinterpret_cast<uint32_t*>(memories_[shard]->data()); }
  int64_t InboxWords() const { return 2 * shard_.count * (PartWords() + RankWords()); }
  float* Whole(int32_t shard) const;
  SampleSummary* Summaries(int32_t shard) const;
  uint32_t* Arrivals(int32_t shard) const;
  uint32_t* DrawArrivals(int32_t shard) const { return Arrivals(shard) + shard_.count; }
  int64_t SummaryWords() const { return sizes_.whole_rows * sizes_.chunks * int64_t{sizeof(SampleSummary) / 4}; }

  const Shard shard_;
  const Sizes sizes_;
  std::vector<std::shared_ptr<SharedMemory>> memories_;  // of all shards, in which the last that goes frees them
  std::shared_ptr<PinnedMemory> state_;  // of the first shard, for all
  CollectiveCounts counts_{};
  int32_t turn_ = 0;
};

}  // namespace chorale::cuda
