// AdapterTable: the adapters that are staged, and which slot holds which. Staging happens on any thread; slots belong to
// the thread that begins steps.
//
// A step gets what it needs from here when it is begun (shared pointers), so that slots may change for the next step
// while it runs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "lora/adapter_image.h"
#include "step/slot_ledger.h"
#include "step/step_view.h"

namespace chorale {

struct StagedAdapter {
  int64_t handle = 0;
  int64_t pages = 0;
  int64_t bytes = 0;
};

// A move with everything it refers to.
struct ResolvedMove {
  Move move;
  std::vector<int32_t> pages;                         // LOAD, DROP: of the adapter; else those the move names
  std::shared_ptr<const AdapterImage> image;          // LOAD
  std::shared_ptr<const ResidentAdapter> adapter;     // MERGE
};

class AdapterTable {
 public:
  AdapterTable(int32_t slots_max, int32_t page_count, int32_t layer_groups)
      : ledger_(slots_max, page_count, layer_groups), layer_groups_(layer_groups), slots_(slots_max) {}

  // Any thread.
  StagedAdapter AddStaged(AdapterImage image);
  Status ReleaseStaged(int64_t handle);
  Status PoisonStaged(int64_t handle);

  // Checks the step's moves and slots and takes note of them; a refused step changes nothing.
  Status Advance(const StepView& step, std::vector<ResolvedMove>* moves);
  const std::shared_ptr<const ResidentAdapter>& resident(int32_t slot) const { return slots_[slot].adapter; }

 private:
  struct Slot {
    std::shared_ptr<const ResidentAdapter> adapter;
    std::shared_ptr<const AdapterImage> image;  // until its last layer group is loaded
  };

  std::shared_ptr<AdapterImage> FindStaged(int64_t handle);
  Result<std::shared_ptr<AdapterImage>> ImageOf(const Move& move, int64_t index);

  SlotLedger ledger_;
  const int32_t layer_groups_;
  std::vector<Slot> slots_;
  std::mutex mutex_;  // guards what follows
  std::map<int64_t, std::shared_ptr<AdapterImage>> staged_;
  int64_t last_handle_ = 0;
};

}  // namespace chorale
