#include "weights/merge.h"

#include "chorale/engine_c.h"
#include "shard/shard_group.h"

namespace chorale {

MergedWeights::MergedWeights(const ModelWeights& base, std::shared_ptr<const ResidentAdapter> adapter, float scale,
                             Backend& backend)
    : base_(base), adapter_(std::move(adapter)), scale_(scale), backend_(backend) {
  for (int32_t layer = 0; layer < static_cast<int32_t>(base.layers.size()); ++layer) {
    for (int32_t site = 0; site < kSites; ++site) {
      Touched touched{layer, static_cast<Site>(site), {}, nullptr};
      int64_t row_begin = 0;
      for (int32_t i = 0; i < kSiteTargets[site].count; ++i) {
        const int32_t target = kSiteTargets[site].first + i;
        if (adapter_->layout->at(layer, target).rank() > 0) touched.parts.push_back({target, row_begin});
        row_begin += OutWidth(base.spec, static_cast<Target>(target));
      }
      if (!touched.parts.empty()) touched_.push_back(std::move(touched));
    }
  }
}

MergeParams MergedWeights::ParamsOf(const Touched& touched) const {
  return {.base = base_.layers[touched.layer].linear[touched.site].get(),
          .adapter = adapter_.get(),
          .layer = touched.layer,
          .scale = scale_,
          .parts = touched.parts};
}

Result<std::unique_ptr<MergedWeights>> MergedWeights::Make(const ModelWeights& base,
                                                           std::shared_ptr<const ResidentAdapter> adapter, float scale,
                                                           MergeWay way, const Shard& shard, Backend& backend) {
  if (!adapter->layout->mergeable()) {
    return Status::Invalid("MERGE of an adapter that does more than add to the linears of the layers");
  }
  std::unique_ptr<MergedWeights> merged(new MergedWeights(base, std::move(adapter), scale, backend));
  Status made;
  if (way != MergeWay::kInPlace) {
    made = AgreeOn(shard, merged->MakeShadows());
    if (made.ok()) {
      merged->MergeIntoShadows();
      return merged;
    }
    merged->shadows_.clear();
    if (way == MergeWay::kShadow || made.code() != CH_RESOURCE_EXHAUSTED) return made;
  }
  if (const Status status = merged->PrepareMergeInPlace(shard); !status.ok()) {
    return made.ok() ? status : Status::Exhausted(made.message() + "; in place: " + status.message());
  }
  merged->MergeInPlace();
  return merged;
}

Status MergedWeights::MakeShadows() {
  shadows_.resize(base_.layers.size());
  for (const Touched& touched : touched_) {
    Result<std::unique_ptr<Weight>> made = backend_.MakeShadow(*ParamsOf(touched).base);
    if (!made.ok()) return made.status();
    shadows_[touched.layer][touched.site] = std::move(made).value();
  }
  return Status::Ok();
}

void MergedWeights::MergeIntoShadows() {
  for (const Touched& touched : touched_) backend_.Merge(ParamsOf(touched), *shadows_[touched.layer][touched.site]);
  backend_.WaitForSteps();  // it is this step's time, and its failure if it is one
}

// The shards agree on every linear: to count what is logged of one, they may have to exchange its factors, and one that has
// failed would not come to the next.
Status MergedWeights::PrepareMergeInPlace(const Shard& shard) {
  for (Touched& touched : touched_) {
    Result<std::unique_ptr<MergeUndo>> prepared = backend_.PrepareMergeInPlace(ParamsOf(touched));
    CHORALE_RETURN_IF_ERROR(AgreeOn(shard, prepared.status()));
    touched.undo = std::move(prepared).value();
  }
  return Status::Ok();
}

void MergedWeights::MergeInPlace() {
  for (const Touched& touched : touched_) backend_.MergeInPlace(ParamsOf(touched), *touched.undo);
  base_is_merged_ = true;
}

void MergedWeights::Select(bool merged) {
  if (!in_place() || merged == base_is_merged_) return;
  for (const Touched& touched : touched_) {
    if (merged) {
      backend_.MergeAgain(ParamsOf(touched));
    } else {
      backend_.Unmerge(ParamsOf(touched), *touched.undo);
    }
  }
  base_is_merged_ = merged;
}

}  // namespace chorale
