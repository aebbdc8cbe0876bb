#include "backend/cuda/upload.h"

#include <algorithm>
#include <cstring>

namespace chorale::cuda {
namespace {

constexpr size_t kAlign = 256;
constexpr int64_t kBytesLeast = 1 << 20;

template <typename Memory>
void Grow(Memory* memory, int64_t bytes) {
  if (memory->bytes() >= bytes) return;
  *memory = Memory();  // first, so that both never exist at once
  Result<Memory> grown = Memory::Allocate(std::max(2 * bytes, kBytesLeast), "step tables");
  if (!grown.ok()) throw std::runtime_error(grown.status().message());
  *memory = std::move(grown).value();
}

}  // namespace

Upload::~Upload() {
  for (Staging& staging : staging_) {
    if (staging.sent != nullptr) cudaEventDestroy(staging.sent);
  }
}

void Upload::Send(cudaStream_t stream) {
  size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += (entry.bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes == 0) return;
  Staging& staging = staging_[turn_];
  turn_ = 1 - turn_;
  if (staging.sent == nullptr) {
    Check(cudaEventCreateWithFlags(&staging.sent, cudaEventDisableTiming), "event");
  } else {
    Check(cudaEventSynchronize(staging.sent), "step tables");
  }
  Grow(&staging.memory, static_cast<int64_t>(bytes));
  if (device_.bytes() < static_cast<int64_t>(bytes)) Check(cudaStreamSynchronize(stream), "step tables");
  Grow(&device_, static_cast<int64_t>(bytes));
  size_t place = 0;
  for (const Entry& entry : entries_) {
    if (entry.bytes > 0) std::memcpy(staging.memory.data() + place, entry.source, entry.bytes);
    *entry.device = device_.data() + place;
    place += (entry.bytes + kAlign - 1) / kAlign * kAlign;
  }
  Check(cudaMemcpyAsync(device_.data(), staging.memory.data(), bytes, cudaMemcpyHostToDevice, stream), "step tables");
  Check(cudaEventRecord(staging.sent, stream), "step tables");
}

}  // namespace chorale::cuda
