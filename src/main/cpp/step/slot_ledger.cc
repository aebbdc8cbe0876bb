#include "step/slot_ledger.h"

#include <algorithm>

namespace chorale {
namespace {

long long Wide(int64_t value) { return value; }

Status Refuse(int64_t move_index, const std::string& what) {
  return Status::Invalid(Format("section moves[%lld]: %s", Wide(move_index), what.c_str()));
}

}  // namespace

SlotLedger::SlotLedger(int32_t slots_max, int32_t page_count, int32_t layer_groups)
    : layer_groups_(layer_groups), slots_(slots_max), page_slot_(page_count, -1) {}

Status SlotLedger::Advance(const StepView& step) {
  if (step.moves().empty()) return CheckForward(step);
  SlotLedger next = *this;  // moves are rare: a copy is the simplest way to change nothing on refusal
  CHORALE_RETURN_IF_ERROR(next.Apply(step));
  CHORALE_RETURN_IF_ERROR(next.CheckForward(step));
  *this = std::move(next);
  return Status::Ok();
}

Status SlotLedger::Apply(const StepView& step) {
  for (int64_t m = 0; m < static_cast<int64_t>(step.moves().size()); ++m) {
    const Move& move = step.moves()[m];
    switch (move.kind) {
      case kMoveLoad:
        CHORALE_RETURN_IF_ERROR(Load(step, m, move));
        break;
      case kMoveDrop:
        CHORALE_RETURN_IF_ERROR(Drop(m, move));
        break;
      case kMoveCopyPage:
        CHORALE_RETURN_IF_ERROR(CheckNoAdapterPage(m, step.PagesOf(move)[1]));
        break;
      case kMoveImportPages:
        for (int32_t page : step.PagesOf(move)) CHORALE_RETURN_IF_ERROR(CheckNoAdapterPage(m, page));
        break;
      case kMoveMerge:
        if (slots_[move.slot].groups != layer_groups_) {
          return Refuse(m, Format("MERGE of slot %d, of which %d of %d layer groups are resident", move.slot,
                                  slots_[move.slot].groups, layer_groups_));
        }
        merged_slot_ = move.slot;
        break;
      case kMoveUnmerge:
        merged_slot_ = -1;
        break;
      default:
        break;
    }
  }
  return Status::Ok();
}

Status SlotLedger::Load(const StepView& step, int64_t index, const Move& move) {
  Slot& slot = slots_[move.slot];
  auto pages = step.PagesOf(move);
  if (move.a != slot.groups) {
    return Refuse(index, Format("LOAD of slot %d from layer group %d, but %d are resident", move.slot, move.a,
                                slot.groups));
  }
  if (move.a > 0) {
    if (move.handle != slot.handle) {
      return Refuse(index, Format("LOAD of slot %d goes on with handle %lld, but began with %lld", move.slot,
                                  Wide(move.handle), Wide(slot.handle)));
    }
    if (!pages.empty() && !std::ranges::equal(pages, slot.pages)) {
      return Refuse(index, Format("LOAD of slot %d goes on with other pages than it began with", move.slot));
    }
    slot.groups = move.b;
    return Status::Ok();
  }
  for (int32_t page : pages) {
    CHORALE_RETURN_IF_ERROR(CheckNoAdapterPage(index, page));
    page_slot_[page] = move.slot;
  }
  slot = {move.b, move.handle, {pages.begin(), pages.end()}};
  return Status::Ok();
}

Status SlotLedger::Drop(int64_t index, const Move& move) {
  Slot& slot = slots_[move.slot];
  if (slot.groups == 0) return Refuse(index, Format("DROP of slot %d, which is free", move.slot));
  if (merged_slot_ == move.slot) {
    return Refuse(index, Format("DROP of slot %d, which is merged: UNMERGE comes first", move.slot));
  }
  for (int32_t page : slot.pages) page_slot_[page] = -1;
  slot = {};
  return Status::Ok();
}

Status SlotLedger::CheckNoAdapterPage(int64_t index, int32_t page) const {
  if (page_slot_[page] < 0) return Status::Ok();
  return Refuse(index, Format("writes page %d, which belongs to the adapter of slot %d", page, page_slot_[page]));
}

Status SlotLedger::CheckForward(const StepView& step) const {
  if (step.merged_slot() >= 0 && step.merged_slot() != merged_slot_) {
    return Status::Invalid(
        Format("step: merged_slot is %d, but slot %d is merged", step.merged_slot(), merged_slot_));
  }
  for (size_t i = 0; i < step.segment_slots().size(); ++i) {
    int32_t slot = step.segment_slots()[i];
    if (slots_[slot].groups != layer_groups_) {
      return Status::Invalid(Format("section segment_slots[%zu]: slot %d has %d of %d layer groups resident", i, slot,
                                    slots_[slot].groups, layer_groups_));
    }
  }
  for (size_t i = 0; i < step.page_ids().size(); ++i) {
    int32_t page = step.page_ids()[i];
    if (page >= 0 && page_slot_[page] >= 0) {
      return Status::Invalid(Format("section page_ids[%zu]: page %d belongs to the adapter of slot %d", i, page,
                                    page_slot_[page]));
    }
  }
  return Status::Ok();
}

}  // namespace chorale
