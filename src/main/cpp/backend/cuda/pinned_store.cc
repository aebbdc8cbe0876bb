#include "backend/cuda/pinned_store.h"

#include <cstring>

namespace chorale::cuda {

Result<StagingMemory> PinnedStore::Allocate(int64_t bytes) {
  PinnedMemory memory = TakeSpare(bytes);
  if (memory.data() == nullptr) {
    Check(cudaSetDevice(0), "device 0");  // a loader's thread may be new to CUDA
    Result<PinnedMemory> made = PinnedMemory::Allocate(bytes, "a staged adapter");
    if (!made.ok()) return made.status();
    memory = std::move(made).value();
  }
  std::memset(memory.data(), 0, static_cast<size_t>(bytes));
  auto held = std::make_shared<PinnedMemory>(std::move(memory));
  uint8_t* data = held->data();
  return StagingMemory(data, [store = shared_from_this(), held](uint8_t*) { store->GiveBack(std::move(*held)); });
}

PinnedMemory PinnedStore::TakeSpare(int64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto found = spare_.find(bytes);
  if (found == spare_.end()) return {};
  PinnedMemory memory = std::move(found->second.back());
  found->second.pop_back();
  if (found->second.empty()) spare_.erase(found);
  spare_bytes_ -= bytes;
  return memory;
}

void PinnedStore::GiveBack(PinnedMemory memory) {
  std::lock_guard lock(mutex_);
  if (spare_bytes_ + memory.bytes() > kSpareBytesMax) return;  // freed
  spare_bytes_ += memory.bytes();
  spare_[memory.bytes()].push_back(std::move(memory));
}

}  // namespace chorale::cuda
