#include "backend/cuda/adapter_loader.h"

#include <algorithm>

namespace chorale::cuda {
namespace {

constexpr int32_t kGroups = 8;  // of layers, in which an adapter is handed over that is read at once

}  // namespace

AdapterLoader::AdapterLoader(uint8_t* pool, const PageGeometry& geometry, int32_t slots_max)
    : pool_(pool),
      geometry_(geometry),
      group_layers_(std::max(1, geometry.layers / kGroups)),
      slots_(static_cast<size_t>(slots_max)) {
  Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream of adapters");
}

AdapterLoader::~AdapterLoader() {
  cudaStreamSynchronize(stream_);
  for (int32_t slot : loading_) {
    for (Copy& copy : slots_[slot].copies) cudaEventDestroy(copy.end);
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

// One piece a page, all in one call where that exists.
void AdapterLoader::CopyPages(const Slot& slot, int32_t layer_end) {
  const auto bytes = static_cast<size_t>((layer_end - slot.layer_begin) * geometry_.slice_bytes);
  targets_.clear();
  sources_.clear();
  for (size_t i = 0; i < slot.pages.size(); ++i) {
    targets_.push_back(pool_ + slot.pages[i] * geometry_.page_bytes + slot.layer_begin * geometry_.slice_bytes);
    sources_.push_back(slot.image->slice(static_cast<int32_t>(i), slot.layer_begin));
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
  Slot& slot = slots_[load.slot];
  if (!slot.is_loading()) loading_.push_back(load.slot);
  SendWhole(slot);  // of an earlier step
  slot.image = load.image;
  slot.pages.assign(load.pages.begin(), load.pages.end());
  slot.layer_begin = load.layer_begin;
  slot.layer_end = load.layer_end;
  if (load.read_now) {
    SendGroup(slot, group_layers_);
  } else {
    SendWhole(slot);
  }
}

void AdapterLoader::SendGroup(Slot& slot, int32_t layers) {
  const int32_t end = std::min(slot.layer_begin + layers, slot.layer_end);
  CopyPages(slot, end);
  slot.copies.push_back({TakeEvent(), slot.layer_begin, slot.image, false});
  Check(cudaEventRecord(slot.copies.back().end, stream_), "an adapter's load");
  slot.last_begin = slot.layer_begin;
  slot.layer_begin = end;
  if (end == slot.layer_end) slot.image = nullptr;
}

void AdapterLoader::SendRest() {
  for (int32_t slot : loading_) SendWhole(slots_[slot]);
}

void AdapterLoader::Drop(int32_t slot, cudaStream_t stream) {
  Slot& dropped = slots_[slot];
  if (!dropped.is_loading()) return;
  std::vector<Copy>& copies = dropped.copies;
  if (!copies.empty()) Check(cudaStreamWaitEvent(stream, copies.back().end), "an adapter's load");
  std::move(copies.begin(), copies.end(), std::back_inserter(dropped_));
  copies.clear();
  dropped.image = nullptr;
  std::erase(loading_, slot);
}

void AdapterLoader::WaitForLayer(int32_t slot, int32_t layer, cudaStream_t stream) {
  Slot& read = slots_[slot];
  while (read.image != nullptr && read.layer_begin <= layer) SendGroup(read, group_layers_);
  // Once the first layer of a group is launched the next group follows, so that the copies do not pause.
  if (read.image != nullptr && read.last_begin < layer) SendGroup(read, group_layers_);
  Copy* last = nullptr;  // the one that ends last of those needed: copies of a stream end in their order
  for (Copy& copy : read.copies) {
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
  for (int32_t slot : loading_) RetireEnded(slots_[slot].copies);
  std::erase_if(loading_, [this](int32_t slot) { return !slots_[slot].is_loading(); });
}

void AdapterLoader::WaitFor(cudaStream_t stream) {
  cudaEvent_t event = TakeEvent();
  Check(cudaEventRecord(event, stream), "adapters");
  Check(cudaStreamWaitEvent(stream_, event), "adapters");
  events_.push_back(event);  // the wait holds on to what was recorded
}

}  // namespace chorale::cuda
