#include "backend/cuda/adapter_loader.h"

#include <algorithm>

namespace chorale::cuda {

AdapterLoader::AdapterLoader(uint8_t* pool, const PageGeometry& geometry, int32_t slots_max)
    : pool_(pool), geometry_(geometry), slots_(static_cast<size_t>(slots_max)) {
  Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream of adapters");
}

AdapterLoader::~AdapterLoader() {
  cudaStreamSynchronize(stream_);
  for (int32_t slot : loading_) {
    for (Copy& copy : slots_[slot]) cudaEventDestroy(copy.end);
  }
  for (Copy& copy : dropped_) cudaEventDestroy(copy.end);
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  cudaStreamDestroy(stream_);
}

cudaEvent_t AdapterLoader::TakeEvent() {
  cudaEvent_t event = nullptr;
  if (events_.empty()) {
    Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
  } else {
    event = events_.back();
    events_.pop_back();
  }
  return event;
}

// One piece a page. In one call where that exists: an adapter of many pages, layer group by layer group, would else take
// the engine thread longer than the copies take.
void AdapterLoader::CopyPages(const AdapterLoad& load) {
  const auto bytes = static_cast<size_t>((load.layer_end - load.layer_begin) * geometry_.slice_bytes);
  targets_.clear();
  sources_.clear();
  for (size_t i = 0; i < load.pages.size(); ++i) {
    targets_.push_back(pool_ + load.pages[i] * geometry_.page_bytes + load.layer_begin * geometry_.slice_bytes);
    sources_.push_back(load.image->slice(static_cast<int32_t>(i), load.layer_begin));
  }
#if CUDART_VERSION >= 13000
  sizes_.assign(targets_.size(), bytes);
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  attributes.flags = cudaMemcpyFlagPreferOverlapWithCompute;
  size_t first = 0;
  Check(cudaMemcpyBatchAsync(targets_.data(), sources_.data(), sizes_.data(), targets_.size(), &attributes, &first, 1,
                             stream_),
        "an adapter's load");
#else
  for (size_t i = 0; i < targets_.size(); ++i) {
    Check(cudaMemcpyAsync(targets_[i], sources_[i], bytes, cudaMemcpyHostToDevice, stream_), "an adapter's load");
  }
#endif
}

void AdapterLoader::Load(const AdapterLoad& load) {
  CopyPages(load);
  std::vector<Copy>& copies = slots_[load.slot];
  if (copies.empty()) loading_.push_back(load.slot);
  copies.push_back({TakeEvent(), load.layer_begin, load.image, false});
  Check(cudaEventRecord(copies.back().end, stream_), "an adapter's load");
}

void AdapterLoader::Drop(int32_t slot, cudaStream_t stream) {
  std::vector<Copy>& copies = slots_[slot];
  if (copies.empty()) return;
  Check(cudaStreamWaitEvent(stream, copies.back().end), "an adapter's load");
  std::move(copies.begin(), copies.end(), std::back_inserter(dropped_));
  copies.clear();
  std::erase(loading_, slot);
}

void AdapterLoader::WaitForLayer(int32_t slot, int32_t layer, cudaStream_t stream) {
  Copy* last = nullptr;  // the one that ends last of those needed: copies of a stream end in their order
  for (Copy& copy : slots_[slot]) {
    if (copy.layer_begin <= layer) last = &copy;
  }
  if (last == nullptr || last->waited) return;
  Check(cudaStreamWaitEvent(stream, last->end), "an adapter's load");
  last->waited = true;
}

bool AdapterLoader::HasEnded(const Copy& copy) const {
  const cudaError_t result = cudaEventQuery(copy.end);
  if (result != cudaSuccess && result != cudaErrorNotReady) Check(result, "an adapter's load");
  return result == cudaSuccess;
}

void AdapterLoader::RetireEnded(std::vector<Copy>& copies) {
  size_t ended = 0;
  while (ended < copies.size() && HasEnded(copies[ended])) events_.push_back(copies[ended++].end);
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(ended));
}

void AdapterLoader::Retire() {
  RetireEnded(dropped_);
  for (int32_t slot : loading_) RetireEnded(slots_[slot]);
  std::erase_if(loading_, [this](int32_t slot) { return slots_[slot].empty(); });
}

void AdapterLoader::WaitFor(cudaStream_t stream) {
  cudaEvent_t event = TakeEvent();
  Check(cudaEventRecord(event, stream), "adapters");
  Check(cudaStreamWaitEvent(stream_, event), "adapters");
  events_.push_back(event);  // the wait holds on to what was recorded
}

}  // namespace chorale::cuda
