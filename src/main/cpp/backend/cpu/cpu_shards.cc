// What the CPU backends do together with the other shards.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "shard/shard_cut.h"

namespace chorale {
namespace {

Block BlockOf(Activation* x, int64_t rows) {
  return {.data = Cpu(x).row(0), .element = kF32, .rows = rows, .cols = x->cols(), .stride = x->stride()};
}

}  // namespace

void CpuBackend::AllReduce(const AllReduceParams& params) {
  communicator_->AllReduce(kSumHidden, BlockOf(params.x, rows()));
}

void CpuBackend::AllGather(const AllGatherParams& params) {
  communicator_->AllGather(kGatherLogits, BlockOf(params.x, params.count), params.begins);
}

CollectiveCounts CpuBackend::collectives() const {
  return communicator_ == nullptr ? CollectiveCounts{} : communicator_->counts();
}

void CpuBackend::BeginSite(const LoraSite& site) {
  rank_parts_ = shard_.cuts_both_factors() && !SumsProducts(static_cast<Target>(site.first)) ? shard_.count : 1;
  rank_stride_ = rank_parts_ > 1 ? rank_parts_ * lora_->rank_part_max : lora_->rank_sum_max;
}

bool CpuBackend::IsTouched(const LoraSite& site) const {
  return std::any_of(lora_->uses.begin(), lora_->uses.end(), [&](const LoraUse& use) {
    for (int32_t target = site.first; target < site.first + site.count; ++target) {
      if (use.adapter->layout->at(site.layer, target).rank() > 0) return true;
    }
    return false;
  });
}

void CpuBackend::ExchangeRanks(const LoraSite& site) {
  if (!shard_.cuts_both_factors() || !IsTouched(site)) return;
  const Block block{.data = rank_activations_.data(), .rows = rows(), .cols = rank_stride_, .stride = rank_stride_};
  if (rank_parts_ == 1) {
    communicator_->AllReduce(kSumRanks, block);
    return;
  }
  std::array<int64_t, kShardsMax + 1> begins;
  for (int32_t part = 0; part <= rank_parts_; ++part) begins[part] = part * lora_->rank_part_max;
  communicator_->AllGather(kGatherRanks, block, {begins.data(), static_cast<size_t>(rank_parts_ + 1)});
}

LoraFactors CpuBackend::ReadFactors(const MergeParams& params, int32_t target) {
  const ResidentAdapter& adapter = *params.adapter;
  const LoraMatrices& lora = adapter.layout->at(params.layer, target);
  const int64_t rank = lora.rank(), outputs = OutputsOf(target);
  LoraFactors factors{.a = std::vector<float>(lora.a.tiles() * rank * kTileColumns), .b = std::vector<float>(outputs * rank)};
  for (int32_t tile = 0; tile < lora.a.tiles(); ++tile) {
    for (int32_t j = 0; j < lora.a.rank; ++j) {
      const auto* row = reinterpret_cast<const float*>(LoraRow(adapter, params.layer, lora.a.row_offset(tile, j)));
      std::copy_n(row, lora.a.used(tile), factors.a.begin() + (tile * rank + lora.rank_begin + j) * kTileColumns);
    }
  }
  for (int32_t tile = 0; tile < lora.b.tiles(); ++tile) {
    for (int32_t j = 0; j < rank; ++j) {
      const auto* row = reinterpret_cast<const float*>(LoraRow(adapter, params.layer, lora.b.row_offset(tile, j)));
      float* out = factors.b.data() + (lora.first_output + int64_t{tile} * kTileColumns) * rank + j;
      for (int32_t i = 0; i < lora.b.used(tile); ++i) out[i * rank] = row[i];
    }
  }
  if (!shard_.cuts_both_factors()) return factors;
  const bool cuts_outputs = SumsProducts(static_cast<Target>(target));
  std::array<int64_t, kShardsMax + 1> begins;
  for (int32_t i = 0; i <= shard_.count; ++i) {
    begins[i] = cuts_outputs ? PartOf(outputs, i, shard_.count).begin * rank
                             : PartOf(rank, i, shard_.count).begin * kTileColumns;
  }
  std::vector<float>& cut = cuts_outputs ? factors.b : factors.a;
  const int64_t rows = cuts_outputs ? 1 : lora.a.tiles(), cols = static_cast<int64_t>(cut.size()) / rows;
  communicator_->AllGather(kGatherFactors, {.data = cut.data(), .rows = rows, .cols = cols, .stride = cols},
                           {begins.data(), static_cast<size_t>(shard_.count + 1)});
  return factors;
}

}  // namespace chorale
