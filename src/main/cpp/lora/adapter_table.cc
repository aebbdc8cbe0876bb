#include "lora/adapter_table.h"

namespace chorale {

StagedAdapter AdapterTable::AddStaged(AdapterImage image) {
  StagedAdapter staged{.pages = image.layout()->page_count(), .bytes = image.bytes()};
  std::lock_guard lock(mutex_);
  staged_.emplace(++last_handle_, std::make_shared<AdapterImage>(std::move(image)));
  staged.handle = last_handle_;
  return staged;
}

Status AdapterTable::ReleaseStaged(int64_t handle) {
  std::lock_guard lock(mutex_);
  if (staged_.erase(handle) == 1) return Status::Ok();
  return Status::Invalid(Format("adapter handle %lld is not staged", static_cast<long long>(handle)));
}

Status AdapterTable::PoisonStaged(int64_t handle) {
  const std::shared_ptr<AdapterImage> image = FindStaged(handle);
  if (image == nullptr) {
    return Status::Invalid(Format("adapter handle %lld is not staged", static_cast<long long>(handle)));
  }
  image->FillWithNan();
  return Status::Ok();
}

std::shared_ptr<AdapterImage> AdapterTable::FindStaged(int64_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = staged_.find(handle);
  return found == staged_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<AdapterImage>> AdapterTable::ImageOf(const Move& move, int64_t index) {
  std::shared_ptr<AdapterImage> image = FindStaged(move.handle);
  if (image == nullptr) {
    return Status::Invalid(Format("section moves[%lld]: LOAD of slot %d: handle %lld is not staged",
                                  static_cast<long long>(index), move.slot, static_cast<long long>(move.handle)));
  }
  if (move.count != image->layout()->page_count()) {
    return Status::Invalid(Format("section moves[%lld]: LOAD of slot %d names %d pages, its adapter takes %d",
                                  static_cast<long long>(index), move.slot, move.count,
                                  image->layout()->page_count()));
  }
  return image;
}

Status AdapterTable::Advance(const StepView& step, std::vector<ResolvedMove>* moves) {
  const std::span<const Move> list = step.moves();
  std::vector<std::shared_ptr<AdapterImage>> images(list.size());
  for (size_t m = 0; m < list.size(); ++m) {
    // A load that goes on uses the image that its slot has kept: it may have been released since it began.
    if (list[m].kind != kMoveLoad || list[m].a > 0) continue;
    Result<std::shared_ptr<AdapterImage>> image = ImageOf(list[m], static_cast<int64_t>(m));
    if (!image.ok()) return image.status();
    images[m] = std::move(image).value();
  }
  CHORALE_RETURN_IF_ERROR(ledger_.Advance(step));
  moves->clear();
  for (size_t m = 0; m < list.size(); ++m) {
    ResolvedMove resolved{.move = list[m], .pages = {}, .image = nullptr, .adapter = nullptr};
    Slot* slot = list[m].kind == kMoveLoad || list[m].kind == kMoveDrop || list[m].kind == kMoveMerge
                     ? &slots_[list[m].slot]
                     : nullptr;
    switch (list[m].kind) {
      case kMoveLoad:
        if (list[m].a == 0) {
          const std::span<const int32_t> pages = step.PagesOf(list[m]);
          slot->image = images[m];
          slot->adapter = std::make_shared<const ResidentAdapter>(
              ResidentAdapter{list[m].slot, images[m]->layout(), {pages.begin(), pages.end()}});
        }
        resolved.pages = slot->adapter->pages;
        resolved.image = slot->image;
        if (list[m].b == layer_groups_) slot->image = nullptr;
        break;
      case kMoveDrop:
        resolved.pages = slot->adapter->pages;
        *slot = {};
        break;
      case kMoveMerge:
        resolved.adapter = slot->adapter;
        break;
      case kMoveCopyPage:
      case kMoveExportPages:
      case kMoveImportPages: {
        const std::span<const int32_t> pages = step.PagesOf(list[m]);
        resolved.pages.assign(pages.begin(), pages.end());
        break;
      }
      default:
        break;
    }
    moves->push_back(std::move(resolved));
  }
  return Status::Ok();
}

}  // namespace chorale
