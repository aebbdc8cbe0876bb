// What both CPU paths share: pages, vectors, what a step needs to be looked up once, token counts and sampling.
//
// ReferenceBackend (cpu_reference.h) is the specification: plain loops, one order of sums. FastBackend (cpu_fast.h) is
// what serves. In both, a row's numbers never depend on what else is in the step: every output element has its own sum,
// in an order that its own sequence fixes.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_sample.h"
#include "base/thread_pool.h"
#include "model/image_view.h"
#include "shard/host_communicator.h"

namespace chorale {

Result<std::unique_ptr<Backend>> CreateCpuBackend(const BackendParams& params);

// float32, row-major, rows without padding: vectors on both paths, and the reference path's matrices.
class DenseWeight final : public Weight {
 public:
  DenseWeight(int64_t rows, int64_t cols, AnonymousMemory memory) : Weight(rows, cols), memory_(std::move(memory)) {}
  int64_t bytes() const override { return memory_.bytes(); }
  float* data() const { return memory_.as<float>(); }
  float* row(int64_t index) const { return data() + index * cols(); }

 private:
  AnonymousMemory memory_;
};

// FNV-1a over the bits of the values: a digest to compare, not a secret.
uint64_t HashFloats(std::span<const float> values, uint64_t previous);

inline const float* Values(const Weight* vector) {  // of a vector; null stays null
  return vector == nullptr ? nullptr : static_cast<const DenseWeight*>(vector)->data();
}

class CpuActivation final : public Activation {
 public:
  CpuActivation(int64_t cols, int64_t stride, AnonymousMemory memory)
      : Activation(cols, stride), memory_(std::move(memory)) {}
  float* row(int64_t index) const { return memory_.as<float>() + index * stride(); }

 private:
  AnonymousMemory memory_;
};

inline const CpuActivation& Cpu(const Activation* x) { return *static_cast<const CpuActivation*>(x); }

// Where the rank activations of a row lie: of one use and linear after another; where the shards hold parts of the
// ranks, one such list a shard.
class RankPlaces {
 public:
  RankPlaces(int32_t parts, int64_t part_width) : parts_(parts), part_width_(part_width) {}

  // The ranks of the linear at hand that shard `part` computes, and where the first of them lies.
  Part ranks(int32_t rank, int32_t part) const { return PartOf(rank, part, parts_); }
  int64_t at(int32_t part) const { return part * part_width_ + next_[part]; }
  void Skip(int32_t rank) {
    for (int32_t part = 0; part < parts_; ++part) next_[part] += ranks(rank, part).size();
  }
  int32_t parts() const { return parts_; }

 private:
  const int32_t parts_;
  const int64_t part_width_;
  std::array<int64_t, kShardsMax> next_{};
};

// Both factors of an adapter at one linear, as far as this shard's part of the weight needs them.
struct LoraFactors {
  std::vector<float> a;  // [tiles of inputs][rank][kTileColumns]
  std::vector<float> b;  // [outputs][rank]
};

// y = gain * (y - bias) + bias: the product times its gains.
inline void MultiplyProduct(const float* gain, const float* bias, int32_t count, float* y) {
  for (int32_t i = 0; i < count; ++i) y[i] = bias == nullptr ? gain[i] * y[i] : gain[i] * (y[i] - bias[i]) + bias[i];
}

class CpuBackend : public Backend {
 public:
  const BackendInfo& info() const override { return info_; }
  const PageGeometry& geometry() const override { return arena_.geometry(); }
  int32_t page_count() const override { return arena_.page_count(); }
  int32_t top_logprobs_max() const override { return spec_.vocab; }

  Result<std::unique_ptr<Weight>> MakeVector(std::span<const HostTensor> parts) override;
  Result<std::unique_ptr<Activation>> MakeActivation(ActivationKind kind, int64_t rows_max, int64_t cols) override;

  Status AddRowSquares(const RowSquaresParams& params) override;
  Status Settle() override { return Status::Ok(); }
  Result<StagingMemory> AllocateStaging(int64_t bytes) override;

  void LoadAdapter(const AdapterLoad& load) override;
  void DropAdapter(int32_t) override {}
  void PoisonPages(std::span<const int32_t> pages) override;
  void CopyPage(int32_t from, int32_t to) override;
  void ReadPage(int32_t page, uint8_t* out) override;
  void WritePage(int32_t page, const uint8_t* bytes) override;
  void ResetCounts(int32_t scratch) override;

  Status Prepare(const StepPlan& plan) override;
  int32_t rows() const override { return step_->rows(); }
  void Gather(const GatherParams& params) override;
  Status Sample(const SampleStepParams& params) override;
  void Collect(int32_t turn, Drawn* drawn, StepTimes* times) override;
  void AllReduce(const AllReduceParams& params) override;
  void AllGather(const AllGatherParams& params) override;
  CollectiveCounts collectives() const override;
  void ReadActivation(const Activation& x, const Rectangle& part, float* out) override;
  void WriteActivation(Activation& x, const Rectangle& part, const float* values) override;

 protected:
  CpuBackend(const BackendParams& params, PageArena arena, BackendInfo info, int32_t threads);  // 0: one a core

  virtual void ReadWeightRow(const Weight& weight, int64_t index, float* out) const = 0;
  int64_t OutputsOf(int32_t target) const { return OutWidth(spec_, static_cast<Target>(target)); }
  const uint8_t* LoraRow(const ResidentAdapter& adapter, int32_t layer, int64_t offset) const {
    if (layer == kOuterLayer) {
      const int64_t page_bytes = arena_.geometry().page_bytes;
      return arena_.page(adapter.pages[adapter.layout->outer_page() + offset / page_bytes]) + offset % page_bytes;
    }
    const int64_t slice_bytes = arena_.geometry().slice_bytes;
    return arena_.slice(adapter.pages[offset / slice_bytes], layer) + offset % slice_bytes;
  }
  // Of the outputs of a tile; null where the adapter has none.
  const float* GainsOf(const ResidentAdapter& adapter, int32_t layer, const LoraMatrices& lora, int32_t tile) const {
    if (!lora.has_gain()) return nullptr;
    return reinterpret_cast<const float*>(LoraRow(adapter, layer, lora.gain.row_offset(tile, 0)));
  }
  const float* cosines(int32_t row) const { return angles_.data() + int64_t{row} * spec_.rotary_dims; }
  const float* sines(int32_t row) const { return cosines(row) + spec_.rotary_dims / 2; }
  float* rank_activations(int32_t row) { return rank_activations_.data() + row * rank_stride_; }
  int64_t rank_stride() const { return rank_stride_; }
  void BeginSite(const LoraSite& site);
  RankPlaces rank_places() const { return {rank_parts_, lora_->rank_part_max}; }
  int32_t own_part() const { return rank_parts_ > 1 ? shard_.index : 0; }
  // Between A x and B (A x), where each shard has computed a part of the former.
  void ExchangeRanks(const LoraSite& site);
  LoraFactors ReadFactors(const MergeParams& params, int32_t target);
  // What adapters do outside the layers, after the base has done its part. Sums are in double on both paths.
  void AddToEmbedded(const EmbedParams& params);
  void AddToLogits(const LogitsParams& params);

  BackendInfo info_;
  const Shard shard_;
  const ModelSpec spec_;
  const PageArena arena_;
  ThreadPool pool_;
  const StepView* step_ = nullptr;
  const LoraBatch* lora_ = nullptr;
  std::vector<int32_t> token_ids_;     // [T] of this step, resolved
  std::vector<int32_t> row_sequence_;  // [T]

 private:
  bool IsTouched(const LoraSite& site) const;
  const float* OuterRow(const ResidentAdapter& adapter, const TiledRows& rows, int32_t tile, int32_t j) const {
    return reinterpret_cast<const float*>(LoraRow(adapter, kOuterLayer, rows.row_offset(tile, j)));
  }
  double OuterDot(const ResidentAdapter& adapter, const TiledRows& rows, int32_t j, const float* x) const;
  void AddOuterOutputs(const ResidentAdapter& adapter, const TiledRows& rows, int32_t tile, std::span<const double> v,
                       double scale, float* y) const;
  void SampleSequence(int32_t sequence, const SampleStepParams& params, Drawn* drawn, Sampler* sampler);

  const std::vector<float> inv_freq_;
  std::vector<float> angles_;            // [T][2][rotary_dims / 2]: cosines, sines
  std::unique_ptr<HostCommunicator> communicator_;  // null: one shard
  std::vector<float> rank_activations_;  // [T][rank_stride]: A x of the site at hand
  int64_t rank_stride_ = 0;
  int32_t rank_parts_ = 1;               // how many shards hold ranks of A at the site at hand
  int32_t turn_ = 0;
  Drawn drawn_[2];                       // by turn
  std::vector<int32_t> drawn_before_;    // what the step before drew
  std::vector<int32_t> sample_begin_;    // [S+1]
  std::vector<int32_t> top_count_;       // [K]
  std::vector<std::unique_ptr<TokenCounts>> counts_;  // [scratch_max], made when first fed
  std::vector<Sampler> samplers_;                     // one a thread
};

}  // namespace chorale
