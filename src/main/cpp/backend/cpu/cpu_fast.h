// FastBackend: the CPU path that serves. float32, weights in panels of 32 outputs so that vectors run over outputs and
// every sum keeps its own order, threads by outputs or rows and never within a sum.
#pragma once

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels.h"

namespace chorale {

// [panels][cols][32]: panel p holds rows 32 p .. 32 p + 31 of the matrix, side by side; rows beyond the last are zero.
class PackedWeight final : public Weight {
 public:
  static Result<std::unique_ptr<PackedWeight>> Allocate(int64_t rows, int64_t cols, const char* purpose);

  int64_t bytes() const override { return memory_.bytes(); }
  int64_t panels() const { return (rows() + kPanelRows - 1) / kPanelRows; }
  int64_t panel_floats() const { return cols() * kPanelRows; }
  float* panel(int64_t index) const { return memory_.as<float>() + index * panel_floats(); }
  // Element (row, 0); the next column is kPanelRows further.
  float* column_zero(int64_t row) const { return panel(row / kPanelRows) + row % kPanelRows; }

 private:
  PackedWeight(int64_t rows, int64_t cols, AnonymousMemory memory) : Weight(rows, cols), memory_(std::move(memory)) {}
  AnonymousMemory memory_;
};

class FastBackend : public CpuBackend {
 public:
  static Result<std::unique_ptr<Backend>> Create(const BackendParams& params, PageArena arena);

  Result<std::unique_ptr<Weight>> MakeMatrix(std::span<const HostTensor> parts) override;
  uint64_t Digest(const Weight& weight, uint64_t previous) const override;
  Result<std::unique_ptr<Weight>> MakeShadow(const Weight& base) override;
  void Merge(const MergeParams& params, Weight& shadow) override;

  void Embed(const EmbedParams& params) override;
  void AddNorm(const AddNormParams& params) override;
  void Gemm(const GemmParams& params) override;
  void QkvPost(const QkvPostParams& params) override;
  void Attention(const AttentionParams& params) override;
  void SwiGlu(const SwiGluParams& params) override;
  void Logits(const LogitsParams& params) override;

 protected:
  FastBackend(const BackendParams& params, PageArena arena);
  Status Open();

 private:
  // A x of one group, use and target, for the ranks [rank_begin, rank_end).
  struct ShrinkItem {
    const LoraGroup* group;
    const ResidentAdapter* adapter;
    const LoraMatrices* lora;
    int64_t v_offset;  // of rank 0 in the row's rank activations
    int32_t rank_begin, rank_end;
  };
  // One tile of outputs of one group and target: all uses, in order.
  struct ExpandItem {
    const LoraGroup* group;
    int32_t target;
    int32_t tile;
    int64_t column;  // of the target's first output in y
  };

  void ReadWeightRow(const Weight& weight, int64_t index, float* out) const override;
  template <typename Body>
  void Parallel(int64_t slices, int64_t operations, const Body& body);
  void PlanLora(const LoraSite& site);
  void RunShrink(const ShrinkItem& item, const GemmParams& params);
  void RunExpand(const ExpandItem& item, const GemmParams& params);
  void MultiplyByGains(const LoraGroup& group, const GemmParams& params);
  void MergeOutput(const LoraFactors& factors, const LoraMatrices& lora, double scale, int64_t n,
                   float* column_zero) const;
  void PostRow(const QkvPostParams& params, int32_t row);
  void AttendRow(const AttentionParams& params, int32_t row, int32_t kv_head, int32_t thread);
  template <typename Body>
  void ForRuns(const ResidentAdapter& adapter, int32_t layer, const TiledRows& rows, int32_t tile, int32_t rank_begin,
               int32_t rank_end, const Body& body) const;

  const CpuKernels& kernels_;
  const int64_t score_stride_;
  std::vector<AnonymousMemory> scores_;                  // one a thread: [query heads of a kv head][score_stride]
  std::vector<std::vector<const float*>> slices_;        // one a thread
  std::vector<ShrinkItem> shrinks_;                      // of the site at hand
  std::vector<ExpandItem> expands_;
  int64_t lora_operations_ = 0;
};

}  // namespace chorale
