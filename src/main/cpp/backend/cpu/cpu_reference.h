// ReferenceBackend: what every operation means, as plain loops on one thread. Sums are in double, in ascending order.
#pragma once

#include "backend/cpu/cpu_backend.h"

namespace chorale {

class ReferenceBackend final : public CpuBackend {
 public:
  ReferenceBackend(const BackendParams& params, PageArena arena)
      : CpuBackend(params, std::move(arena), {"cpu", "plain loops, one thread", "reference", "f32"}, 1) {}

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

 private:
  void ReadWeightRow(const Weight& weight, int64_t index, float* out) const override;
  void AddLora(const GemmParams& params);
  void Shrink(const LoraGroup& group, int32_t row, const GemmParams& params);
  void Expand(const LoraGroup& group, int32_t row, const GemmParams& params);
  void NormHead(const float* weight, float* head) const;
  void Rotate(int32_t row, float* head) const;
  void AttendHead(int32_t row, int32_t head, const AttentionParams& params);

  float LoraA(const ResidentAdapter& adapter, int32_t layer, int32_t target, int32_t j, int32_t column) const;
  float LoraB(const ResidentAdapter& adapter, int32_t layer, int32_t target, int32_t row, int32_t j) const;

  std::vector<double> scores_;
};

}  // namespace chorale
