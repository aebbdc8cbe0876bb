// CudaBackend: the operations of a layer as launches of kernels, on one device and in one stream.
//
// Nothing waits for the device but what hands numbers to the host: Sample, reading activations and pages. A failed
// launch or a device error is thrown by the next of these; the engine is dead then.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_tensors.h"
#include "backend/cuda/upload.h"
#include "kernels/attention.h"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"
#include "kernels/sample.h"
#include "model/weights.h"

namespace chorale::cuda {

class CudaBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> Create(const BackendParams& params);
  ~CudaBackend() override;

  const BackendInfo& info() const override { return info_; }
  const PageGeometry& geometry() const override { return geometry_; }
  int32_t page_count() const override { return page_count_; }

  Result<std::unique_ptr<Weight>> MakeMatrix(std::span<const HostTensor> parts) override;
  Result<std::unique_ptr<Weight>> MakeVector(std::span<const HostTensor> parts) override;
  Result<std::unique_ptr<Activation>> MakeActivation(ActivationKind kind, int64_t rows_max, int64_t cols) override;
  uint64_t Digest(const Weight& weight, uint64_t previous) const override;

  void LoadAdapter(const AdapterImage& image, std::span<const int32_t> pages, int32_t layer_begin,
                   int32_t layer_end) override;
  void PoisonPages(std::span<const int32_t> pages) override;
  void CopyPage(int32_t from, int32_t to) override;
  void ReadPage(int32_t page, uint8_t* out) override;
  void WritePage(int32_t page, const uint8_t* bytes) override;
  void ResetCounts(int32_t scratch) override;
  Result<std::unique_ptr<Weight>> Merge(const MergeParams& params) override;

  void Prepare(const StepView& step, const LoraBatch& lora) override;
  int32_t rows() const override { return rows_; }
  void Embed(const EmbedParams& params) override;
  void AddNorm(const AddNormParams& params) override;
  void Gemm(const GemmParams& params) override;
  void QkvPost(const QkvPostParams& params) override;
  void Attention(const AttentionParams& params) override;
  void SwiGlu(const SwiGluParams& params) override;
  void Gather(const GatherParams& params) override;
  void Logits(const LogitsParams& params) override;
  void Sample(const SampleStepParams& params, Drawn* drawn) override;

  void ReadActivation(const Activation& x, const Rectangle& part, float* out) override;
  void WriteActivation(Activation& x, const Rectangle& part, const float* values) override;

 private:
  // How the attention of a step's rows is cut for layers of one window.
  struct AttentionWork {
    int64_t step = -1;  // for which it is
    Upload upload;
    DecodePlan plan;
    DecodeWork decode;
    std::vector<PrefillItem> items;
    const PrefillItem* prefill = nullptr;
  };

  explicit CudaBackend(const BackendParams& params);
  Status Open(const BackendParams& params);

  uint8_t* Slice(int32_t page, int32_t layer) const {
    return pool_.data() + page * geometry_.page_bytes + layer * geometry_.slice_bytes;
  }
  KvPages Kv(int32_t layer) const;
  void PrepareRows();
  void PrepareLora(const LoraBatch& lora);
  bool LoraArgs(const LoraSite& site, const CudaActivation& x, const CudaMatrix& weight, LoraSiteArgs* args) const;
  bool CanStream(const CudaMatrix& weight, const CudaActivation& x, int32_t rows) const {
    return rows <= kStreamRowsMax && weight.mapped && x.mapped;
  }
  // y = x W^T; with `lora`, which needs CanStream, its part as well.
  Product Multiply(const CudaMatrix& weight, const CudaActivation& x, int32_t rows, CudaActivation& y, bool half,
                   const LoraSiteArgs* lora);
  void FinishMatrix(CudaMatrix* matrix) const;
  AttentionWork& WorkFor(int32_t window);
  void CountStepTokens();
  void MakeSampleRows(const LateView* late);
  void Collapse(const CudaActivation& x);
  void Finish(const char* what);  // waits for the stream

  BackendInfo info_;
  const ModelSpec spec_;
  const Element element_;
  const PageGeometry geometry_;
  const int32_t rows_max_, samples_max_, scratch_max_;
  const bool reference_;
  Launcher launcher_;
  std::unique_ptr<CublasLt> cublaslt_;  // null: own kernels only
  DeviceMemory pool_;
  int32_t page_count_ = 0;
  DeviceMemory inv_freq_, rotation_, q_;

  // Of the prepared step. Vectors keep their memory from step to step.
  const StepView* step_ = nullptr;
  int64_t steps_ = 0;
  int32_t rows_ = 0;
  bool observed_ = false;  // somebody has looked at intermediate results
  Upload upload_, gather_upload_, sample_upload_;
  std::vector<int32_t> row_sequence_, row_page_;
  StepRows step_rows_;
  const int32_t* sequence_ = nullptr;
  const int32_t* page_start_ = nullptr;
  const int32_t* page_ids_ = nullptr;
  const int32_t* seq_prompt_ = nullptr;
  const int32_t* seq_scratch_ = nullptr;

  std::vector<LoraMatrix> lora_matrices_;
  std::vector<int32_t> lora_pages_, lora_use_cols_, lora_group_count_;
  std::vector<int32_t> lora_rows_;  // [T] 1: the row uses adapters
  std::vector<chorale::cuda::LoraUse> lora_uses_;
  std::vector<chorale::cuda::LoraGroup> lora_groups_;
  const LoraMatrix* device_matrices_ = nullptr;
  const int32_t* device_lora_pages_ = nullptr;
  const chorale::cuda::LoraUse* device_uses_ = nullptr;
  const chorale::cuda::LoraGroup* device_groups_ = nullptr;
  const int32_t* device_group_count_ = nullptr;
  Upload use_upload_;  // holds addresses of what upload_ sends, so goes after it
  const int32_t* device_lora_rows_ = nullptr;
  DeviceMemory lora_v_;
  DeviceMemory lora_parts_[kSites];  // [kStreamRowsMax, stride] float32: the LoRA part of each site's product
  DeviceMemory lora_ready_;          // [layers][kSites][groups] counters, zero when a step begins

  std::map<int32_t, AttentionWork> attention_;  // by window
  DeviceMemory decode_out_, decode_stats_, decode_tickets_;

  DeviceMemory counts_;  // [scratch_max, vocab]; made when first used
  std::vector<SampleRow> sample_rows_;
  std::vector<int32_t> bias_ids_;
  std::vector<float> bias_values_;
  const SampleRow* device_sample_rows_ = nullptr;
  const uint32_t* device_masks_ = nullptr;
  const int32_t* device_bias_ids_ = nullptr;
  const float* device_bias_values_ = nullptr;
  DeviceMemory summaries_, drawn_;
  PinnedMemory drawn_host_;
  std::vector<uint8_t> staging_;
};

}  // namespace chorale::cuda
