// AdapterLoader: copies adapters from pinned host memory to their pages on a stream of its own, while steps run.
//
// A load's pages belong to nobody else (step_abi.h), so a copy waits for nothing. Who reads an adapter waits on the
// device, by an event, for the copies of the layers that it reads; so does whoever is given the pages of an adapter that
// is dropped. No thread of the host ever waits for a copy.
//
// Handing over a large adapter takes the engine thread about as long as the copies take: a piece for each page and group
// of layers. Where the step itself reads the adapter, its first group is handed over at once and each other while the
// layers before it are launched, so that the device computes meanwhile.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"

namespace chorale::cuda {

class AdapterLoader {
 public:
  AdapterLoader(uint8_t* pool, const PageGeometry& geometry, int32_t slots_max);
  ~AdapterLoader();
  AdapterLoader(const AdapterLoader&) = delete;
  AdapterLoader& operator=(const AdapterLoader&) = delete;

  void Load(const AdapterLoad& load);
  // The step has launched its layers: nothing is held back any longer.
  void SendRest();
  // Later work of `stream` may write the slot's pages.
  void Drop(int32_t slot, cudaStream_t stream);

  // Whether copies to the slot may still be under way.
  bool IsLoading(int32_t slot) const { return slots_[slot].is_loading(); }
  // Later work of `stream` may read the slot's layers up to this one.
  void WaitForLayer(int32_t slot, int32_t layer, cudaStream_t stream);
  // Forgets copies that have ended, and lets go of their images.
  void Retire();
  // Copies to come wait for what `stream` has been given so far.
  void WaitFor(cudaStream_t stream);

 private:
  struct Copy {
    cudaEvent_t end = nullptr;
    int32_t layer_begin = 0;
    std::shared_ptr<const AdapterImage> image;
    bool waited = false;  // by the stream of steps
  };

  struct Slot {
    std::vector<Copy> copies;
    std::shared_ptr<const AdapterImage> image;  // of a load that is not yet handed over; null: there is none
    std::vector<int32_t> pages;
    int32_t layer_begin = 0, layer_end = 0;     // what is held back
    int32_t last_begin = 0;                     // of the group handed over last

    bool is_loading() const { return !copies.empty() || image != nullptr; }
  };

  void SendGroup(Slot& slot, int32_t layers);
  void SendWhole(Slot& slot) {
    if (slot.image != nullptr) SendGroup(slot, slot.layer_end - slot.layer_begin);
  }
  void CopyPages(const Slot& slot, int32_t layer_end);
  bool HasEnded(const Copy& copy) const;
  void RetireEnded(std::vector<Copy>& copies);
  cudaEvent_t TakeEvent();

  uint8_t* const pool_;
  const PageGeometry geometry_;
  cudaStream_t stream_ = nullptr;
  const int32_t group_layers_;
  std::vector<Slot> slots_;
  std::vector<int32_t> loading_;     // slots that are
  std::vector<Copy> dropped_;       // copies to slots that have been dropped meanwhile
  std::vector<cudaEvent_t> events_;  // not in use
  std::vector<void*> targets_;       // of the copies at hand
  std::vector<const void*> sources_;
  std::vector<size_t> sizes_;
};

}  // namespace chorale::cuda
