// What a step does before its forward pass: adapters, pages, merged weights, token counts.
#include <algorithm>

#include "engine/engine.h"
#include "engine/step_job.h"
#include "shard/shard_group.h"

namespace chorale {
namespace {

int32_t LayerOfGroup(int32_t group, int32_t groups, int32_t layers) {
  return static_cast<int32_t>(int64_t{group} * layers / groups);
}

}  // namespace

Status Engine::RunMoves(StepJob* job) {
  Status first_failure;
  for (const ResolvedMove& resolved : job->moves) {
    // Java has taken note of every move, so the others happen though one has failed.
    Status status = RunMove(resolved, job);
    if (first_failure.ok()) first_failure = status;
  }
  job->moves.clear();  // lets go of the images
  return first_failure;
}

void Engine::Unmerge() {
  merged_slot_ = -1;
  if (merged_ == nullptr) return;
  merged_->Select(false);
  backend_->WaitForSteps();  // they may still read what is freed
  merged_.reset();
}

void Engine::Load(const ResolvedMove& resolved, const StepJob& job) {
  const Move& move = resolved.move;
  backend_->LoadAdapter({.slot = move.slot,
                         .image = resolved.image,
                         .pages = resolved.pages,
                         .layer_begin = LayerOfGroup(move.a, layer_groups_, spec().layers),
                         .layer_end = LayerOfGroup(move.b, layer_groups_, spec().layers),
                         .read_now = std::any_of(job.lora.uses.begin(), job.lora.uses.end(), [&](const LoraUse& use) {
                           return use.adapter->slot == move.slot;
                         })});
}

Status Engine::RunMove(const ResolvedMove& resolved, StepJob* job) {
  const Move& move = resolved.move;
  switch (move.kind) {
    case kMoveLoad:
      Load(resolved, *job);
      job->completed_loads.insert(job->completed_loads.end(), {move.slot, move.b});
      return Status::Ok();
    case kMoveDrop:
      backend_->DropAdapter(move.slot);
      if (config_.poison != 0) backend_->PoisonPages(resolved.pages);
      return Status::Ok();
    case kMoveCopyPage:
      backend_->CopyPage(resolved.pages[0], resolved.pages[1]);
      return Status::Ok();
    case kMoveExportPages:
      for (int32_t page : resolved.pages) ExportPage(page, job);
      return Status::Ok();
    case kMoveImportPages: {
      const uint8_t* bytes = job->view->move_bytes().data() + move.handle;
      for (int32_t page : resolved.pages) {
        backend_->WritePage(page, bytes + shard_.index * geometry().page_bytes);
        bytes += page_bytes();
      }
      return Status::Ok();
    }
    case kMoveMerge: {
      Unmerge();  // first, so that two sets of merged weights never exist at once
      Result<std::unique_ptr<MergedWeights>> made =
          MergedWeights::Make(weights_, resolved.adapter, move.scale, config_.merge_way(), shard_, *backend_);
      if (!made.ok()) return made.status();
      merged_ = std::move(made).value();
      ++merges_;
      merged_slot_ = move.slot;
      return Status::Ok();
    }
    case kMoveUnmerge:
      Unmerge();
      return Status::Ok();
    case kMoveResetSequence:
      backend_->ResetCounts(move.a);
      return Status::Ok();
    default:
      return Status::Invalid(Format("move of kind %d is not built", move.kind));
  }
}

// The shards' parts of a page, one after another; the first shard puts them together.
void Engine::ExportPage(int32_t page, StepJob* job) {
  page_part_.resize(static_cast<size_t>(geometry().page_bytes));
  backend_->ReadPage(page, page_part_.data());
  std::vector<uint8_t>& out = job->page_bytes;
  if (shard_.count == 1) {
    out.insert(out.end(), page_part_.begin(), page_part_.end());
    return;
  }
  for (const void* part : shard_.group->Meet(shard_.index, page_part_.data())) {
    const auto* bytes = static_cast<const uint8_t*>(part);
    if (shard_.index == 0) out.insert(out.end(), bytes, bytes + geometry().page_bytes);
  }
  shard_.group->Meet(shard_.index, nullptr);
}

}  // namespace chorale
