// PinnedStore: pinned host memory for staged adapters. Pinning is slow and takes locks that launches take too, so what is
// given back is kept for the next adapter of its size, up to a bound.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "lora/adapter_image.h"

namespace chorale::cuda {

class PinnedStore : public std::enable_shared_from_this<PinnedStore> {
 public:
  // Zeros. Any thread; may outlive everything but the driver.
  Result<StagingMemory> Allocate(int64_t bytes);

 private:
  static constexpr int64_t kSpareBytesMax = int64_t{1} << 30;

  PinnedMemory TakeSpare(int64_t bytes);
  void GiveBack(PinnedMemory memory);

  std::mutex mutex_;
  std::map<int64_t, std::vector<PinnedMemory>> spare_;  // by size
  int64_t spare_bytes_ = 0;
};

}  // namespace chorale::cuda
