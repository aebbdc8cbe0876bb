// Which adapter slot holds what, as far as the moves of accepted steps have said: the half of a step's validation that
// needs memory of earlier steps. It knows page numbers and counts, not bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "step/step_view.h"

namespace chorale {

class SlotLedger {
 public:
  SlotLedger(int32_t slots_max, int32_t page_count, int32_t layer_groups);

  // Checks the moves of a step in order, then that its segments, its merged slot and its pages agree with what they
  // leave behind. A refused step changes nothing.
  Status Advance(const StepView& step);

  int32_t groups(int32_t slot) const { return slots_[slot].groups; }  // layer groups resident; 0: the slot is free
  int64_t handle(int32_t slot) const { return slots_[slot].handle; }
  std::span<const int32_t> pages(int32_t slot) const { return slots_[slot].pages; }
  int32_t merged_slot() const { return merged_slot_; }  // -1: no shadow weights

 private:
  struct Slot {
    int32_t groups = 0;
    int64_t handle = 0;
    std::vector<int32_t> pages;
  };

  Status Apply(const StepView& step);
  Status Load(const StepView& step, int64_t index, const Move& move);
  Status Drop(int64_t index, const Move& move);
  Status CheckNoAdapterPage(int64_t index, int32_t page) const;
  Status CheckForward(const StepView& step) const;

  int32_t layer_groups_;
  int32_t merged_slot_ = -1;
  std::vector<Slot> slots_;
  std::vector<int32_t> page_slot_;  // [page_count] slot that the page belongs to; -1: none
};

}  // namespace chorale
