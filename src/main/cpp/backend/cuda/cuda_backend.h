// CudaBackend: the operations of a layer as launches of kernels, on one device and in one stream; adapters come on another.
//
// Nothing waits for the device but Collect, once a step, and what hands intermediate numbers to the host. A failed launch
// or a device error is thrown by the next call that looks; the engine is dead then.
//
//   cuda_backend.cc  the device, weights and activations      cuda_tables.cc  a step's tables
//   cuda_moves.cc    pages and token counts                   cuda_step.cc    its operations
//   cuda_sample.cc   drawing tokens and handing them out      cuda_look.cc    looking at results
//   cuda_roofs.cc    what the device can do at best           cuda_shards.cc  what shards do together
//   cuda_merge.cc    merging adapters into weights            cuda_forms.cc   DoRA, LoRA of embedding and head, own heads
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/adapter_loader.h"
#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_tensors.h"
#include "backend/cuda/merge_log.h"
#include "backend/cuda/nccl.h"
#include "backend/cuda/peer_exchange.h"
#include "backend/cuda/pinned_store.h"
#include "backend/cuda/row_measure.h"
#include "backend/cuda/step_graphs.h"
#include "backend/cuda/step_tables.h"
#include "backend/cuda/weight_uploader.h"
#include "kernels/attention.h"
#include "kernels/forms.h"
#include "kernels/gemm_many.h"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"
#include "kernels/sample.h"
#include "model/site.h"

namespace chorale::cuda {

inline constexpr int32_t kLibraryRowsLeast = 65;  // of a product by the library, where there is one
inline constexpr int32_t kHalfProductRowsLeast = 129;
inline constexpr double kManyFillLeast = 0.8;           // of a product of many rows by the own kernel, where there is a library
inline constexpr int32_t kNarrowRowsLeast = 4;          // for each row that is left of a step: so many
inline constexpr int32_t kManyChunksMost = 24;          // of 16 ranks, for the rows of a tile of such a product

class CudaBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> Create(const BackendParams& params);
  ~CudaBackend() override;

  const BackendInfo& info() const override { return info_; }
  const PageGeometry& geometry() const override { return geometry_; }
  int32_t page_count() const override { return page_count_; }
  int32_t top_logprobs_max() const override { return std::min(kTopLogprobsMax, spec_.vocab); }

  Result<std::unique_ptr<Weight>> MakeMatrix(std::span<const HostTensor> parts) override;
  Result<std::unique_ptr<Weight>> MakeVector(std::span<const HostTensor> parts) override;
  Result<std::unique_ptr<Activation>> MakeActivation(ActivationKind kind, int64_t rows_max, int64_t cols) override;
  uint64_t Digest(const Weight& weight, uint64_t previous) const override;
  Status AwaitWeights() override;
  Status Settle() override;
  Result<StagingMemory> AllocateStaging(int64_t bytes) override { return pinned_->Allocate(bytes); }

  Status AddRowSquares(const RowSquaresParams& params) override { return measure_->AddSquares(params); }
  void LoadAdapter(const AdapterLoad& load) override { loader_->Load(load); }
  void DropAdapter(int32_t slot) override { loader_->Drop(slot, launcher_.stream); }
  void PoisonPages(std::span<const int32_t> pages) override;
  void CopyPage(int32_t from, int32_t to) override;
  void ReadPage(int32_t page, uint8_t* out) override;
  void WritePage(int32_t page, const uint8_t* bytes) override;
  void ResetCounts(int32_t scratch) override;
  Result<std::unique_ptr<Weight>> MakeShadow(const Weight& base) override;
  void Merge(const MergeParams& params, Weight& shadow) override;
  Result<std::unique_ptr<MergeUndo>> PrepareMergeInPlace(const MergeParams& params) override;
  void MergeInPlace(const MergeParams& params, const MergeUndo& undo) override;
  void Unmerge(const MergeParams& params, const MergeUndo& undo) override;
  void MergeAgain(const MergeParams& params) override;
  void WaitForSteps() override { Finish("steps"); }

  Status Prepare(const StepPlan& plan) override;
  bool Replay() override;
  void EndForward() override;
  int32_t rows() const override { return rows_; }
  void Embed(const EmbedParams& params) override;
  void AddNorm(const AddNormParams& params) override;
  void Gemm(const GemmParams& params) override;
  void QkvPost(const QkvPostParams& params) override;
  void Attention(const AttentionParams& params) override;
  void SwiGlu(const SwiGluParams& params) override;
  void Narrow(const NarrowParams& params) override;
  void Gather(const GatherParams& params) override;
  void Logits(const LogitsParams& params) override;
  Status Sample(const SampleStepParams& params) override;
  void Collect(int32_t turn, Drawn* drawn, StepTimes* times) override;
  BackendCounters counters() const override;
  MemoryRoofs MeasureRoofs() override;
  void Bind() override { Check(cudaSetDevice(shard_.index), "the shard's device"); }
  void AllReduce(const AllReduceParams& params) override;
  void AllGather(const AllGatherParams& params) override;
  CollectiveCounts collectives() const override;

  void ReadActivation(const Activation& x, const Rectangle& part, float* out) override;
  void WriteActivation(Activation& x, const Rectangle& part, const float* values) override;

 private:
  // How the attention of a step's rows is cut for layers of one window.
  struct AttentionWork {
    DecodePlan plan;
    DecodeWork decode;
    std::vector<PrefillItem> items;
    const PrefillItem* prefill = nullptr;
  };

  // Of a step in flight: when it began and ended on the device, and what it drew.
  struct Turn {
    cudaEvent_t begin = nullptr, forwarded = nullptr, end = nullptr;
    PinnedMemory drawn;               // as drawn_
    std::vector<int32_t> tops;        // [K] how many of the best tokens each row wants
  };

  explicit CudaBackend(const BackendParams& params);
  Status Open();
  Status CheckShards(int32_t devices) const;
  Status ConnectShards();
  void GatherFactors(const ResidentAdapter& adapter, int32_t layer, int32_t target, LoraMergeArgs* args);
  std::vector<uint8_t> ReadRows(const ResidentAdapter& adapter, int32_t layer, const TiledRows& rows);
  void SumRanksOverShards(const LoraSite& site, const LoraSiteArgs& args);
  void GatherLogits(int32_t rows);
  void GatherThroughNccl(int32_t rows);
  Status ReserveMergeLog();
  Status MakePool();

  uint8_t* Slice(int32_t page, int32_t layer) const {
    return pool_.data() + page * geometry_.page_bytes + layer * geometry_.slice_bytes;
  }
  KvPages Kv(int32_t layer) const;
  void PlaceMergePages(const ResidentAdapter& adapter);
  void LaunchLoggedMerge(const MergeParams& params, LoraMergeArgs args);
  void LaunchMerge(const MergeParams& params, const DeviceMemory& weight, LoraMergeArgs args);
  int32_t PaddedRows(const StepPlan& plan) const;
  void AddRows();
  Status AddLora(const LoraBatch& lora);
  Status ReserveLoraTables();
  Status PlanLoraProducts();
  Status ReserveOctets(int64_t octets);  // of all adapters of a step, at a site
  void AddLoraUse(const chorale::LoraUse& use);
  int64_t AddNarrowGroups(int64_t v_floats);
  Status AddAttention();
  Status AddSampling();
  // Memory of zeros for at least `bytes`; what it held is lost when it grows.
  Status Reserve(DeviceMemory* memory, int64_t bytes, const char* purpose);
  int32_t LoraBlocks() const { return std::min(lora_groups_max_, 65535); }
  bool LoraArgs(const LoraSite& site, const CudaActivation& x, const CudaMatrix& weight, LoraSiteArgs* args);
  FormUse FormOf(const chorale::LoraUse& use);
  Status AddForms(const LoraBatch& lora);
  void PlaceForms(const LoraBatch& lora);
  void MultiplyByGains(const LoraSite& site, const Product& y);
  void AddToEmbedded(const EmbedParams& params);
  void AddToLogits(const LogitsParams& params, const Product& logits);
  bool CanStream(const CudaMatrix& weight, const CudaActivation& x, int32_t rows) const {
    return rows <= kStreamRowsMax && weight.mapped && x.mapped;
  }
  bool CanMultiplyMany(const CudaMatrix& weight, const CudaActivation& x) const;
  bool HasLoraWithin(const LoraSiteArgs& lora) const;
  // y = x W^T; with `lora`, which needs CanStream, its part as well.
  Product Multiply(const CudaMatrix& weight, const CudaActivation& x, int32_t rows, CudaActivation& y, bool half,
                   const LoraSiteArgs* lora);
  void HaveForwarded();
  void FinishMatrix(CudaMatrix* matrix) const;
  void LoadLibraryKernels();
  void ResetBegun();
  void CountRows(int32_t begin, int32_t end);
  bool SamplesBetweenCounts() const;
  void Draw(bool look_twice, SampleArgs args);
  void DrawFromAll(int32_t first, int32_t count, bool look_twice, SampleArgs args);
  void SampleOneByOne(bool look_twice, const SampleArgs& all);
  // What tokens are drawn from: all logits, or the shard's own.
  const CudaActivation& DrawnFrom() const { return has_all_logits_ ? *logits_ : Cuda(shard_logits_.get()); }
  void MakeSampleRows(const LateView* late);
  Status SendLate(const LateView& late);
  void Collapse(const CudaActivation& x);
  void Finish(const char* what);  // waits for the stream

  BackendInfo info_;
  const Shard shard_;  // on the device of its number
  const ModelSpec spec_;
  const Element element_;
  const PageGeometry geometry_;
  const int64_t pool_bytes_;
  const int32_t rows_max_, samples_max_, scratch_max_, slots_max_;
  const bool reference_, poison_, graphs_wanted_, merges_in_place_;
  const std::vector<float> inv_freq_values_;
  Launcher launcher_;
  std::unique_ptr<CublasLt> cublaslt_;  // null: own kernels only
  std::shared_ptr<PinnedStore> pinned_ = std::make_shared<PinnedStore>();
  std::unique_ptr<WeightUploader> uploader_;  // until the weights are there
  DeviceMemory pool_;                   // one page more than page_count_: padded rows write there
  int32_t page_count_ = 0;
  std::unique_ptr<AdapterLoader> loader_;
  DeviceMemory inv_freq_, rotation_, q_;

  // Of the prepared step. Vectors keep their memory from step to step.
  const StepView* step_ = nullptr;
  int32_t turn_ = 0;
  int32_t rows_ = 0;
  bool padded_ = false;    // to the rows of its kind, which may be replayed
  bool narrow_ = false;    // rows_ are those of gathered_, until the forward pass ends
  DeviceMemory narrow_rows_;
  StepKind kind_;
  bool capturing_ = false;
  bool observed_ = false;  // somebody has looked at intermediate results
  StepTables eager_tables_, late_tables_, merge_tables_;
  std::vector<int32_t> placed_merge_pages_;  // what lies at merge_pages_
  const int32_t* merge_pages_ = nullptr;
  DeviceMemory merge_count_;
  DeviceMemory merge_factors_;  // with LoraSharding::kSharded: those of one linear, from all shards
  MergeLog merge_log_;
  std::map<int32_t, StepTables> padded_tables_;  // by rows
  StepTables* tables_ = nullptr;
  StepGraphs graphs_;
  std::vector<int32_t> row_token_, row_position_, row_sequence_, row_page_;
  std::vector<int32_t> seq_page_start_, seq_pages_, seq_prompt_, seq_scratch_, gathered_;
  StepRows step_rows_;
  const int32_t* sequence_ = nullptr;
  const int32_t* page_start_ = nullptr;
  const int32_t* page_ids_ = nullptr;
  const int32_t* prompt_ = nullptr;
  const int32_t* scratch_ = nullptr;
  const int32_t* gather_ = nullptr;

  std::vector<LoraMatrix> lora_matrices_;
  std::vector<int32_t> lora_pages_, lora_use_cols_, lora_group_count_, lora_use_count_;
  std::vector<int32_t> lora_slots_;  // that are still being loaded
  std::vector<chorale::cuda::LoraUse> lora_uses_;
  std::vector<chorale::cuda::LoraGroup> lora_groups_;
  const LoraMatrix* device_matrices_ = nullptr;
  const int32_t* device_lora_pages_ = nullptr;
  const chorale::cuda::LoraUse* device_uses_ = nullptr;
  const int32_t* device_use_count_ = nullptr;
  const chorale::cuda::LoraGroup* device_groups_ = nullptr;
  const int32_t* device_group_count_ = nullptr;
  int32_t lora_groups_max_ = 0;  // that the launches of the step provide for
  int32_t lora_tile_chunks_ = 0;  // of 16 columns of v, of the rows of any tile of GemmMany: the most
  std::vector<chorale::cuda::LoraGroup> narrow_groups_;  // of the rows that Narrow leaves
  std::vector<int32_t> narrow_group_count_;
  const chorale::cuda::LoraGroup* device_narrow_groups_ = nullptr;
  const int32_t* device_narrow_group_count_ = nullptr;
  DeviceMemory lora_v_;
  DeviceMemory lora_counts_, lora_octets_, lora_divisions_, lora_ready_, lora_sums_;
  LoraTables lora_tables_;          // in these; no sites in a step that has no use for them
  std::array<LoraProduct, kSites> lora_products_;  // of a layer
  DeviceMemory lora_v_parts_;
  StreamLora stream_lora_{};        // maps of the pool

  // Of the step's rows whose adapters do more than that; empty in nearly all steps.
  std::vector<FormUse> form_uses_;
  std::vector<uint32_t> form_gains_;
  std::vector<FormRow> gain_rows_, embed_rows_, head_rows_;
  std::vector<OwnHeadGroup> own_heads_;
  std::vector<int32_t> form_counts_;  // of the four lists
  const FormUse* device_form_uses_ = nullptr;
  const uint32_t* device_form_gains_ = nullptr;
  const int32_t* device_form_counts_ = nullptr;
  FormList<FormRow> gain_list_, embed_list_, head_list_;
  FormList<OwnHeadGroup> own_head_list_;
  DeviceMemory head_v_;
  std::unique_ptr<RowMeasure> measure_;

  std::map<int32_t, AttentionWork> attention_;  // by window
  std::vector<DecodeRow> decode_rows_;
  std::vector<PrefillSequence> prefill_sequences_;
  DeviceMemory decode_out_, decode_stats_, decode_tickets_;

  DeviceMemory counts_;  // [scratch_max, vocab]; made when first used
  std::vector<SampleRow> sample_rows_;
  std::vector<int32_t> bias_ids_;
  std::vector<float> bias_values_;
  const SampleRow* device_sample_rows_ = nullptr;
  const uint32_t* device_masks_ = nullptr;
  const int32_t* device_bias_ids_ = nullptr;
  const float* device_bias_values_ = nullptr;
  const CudaActivation* logits_ = nullptr;  // of the whole vocabulary
  bool has_all_logits_ = true;              // here, not the shard's own only
  std::vector<SampleWords> words_;          // of each shard
  DeviceMemory summaries_, drawn_, drawn_apart_;
  Turn turns_[2];
  std::atomic<int64_t> collected_{0};
  std::vector<uint8_t> staging_;  // of activations that somebody looks at

  // With several shards.
  std::unique_ptr<PeerExchange> peers_;       // null: some GPU cannot reach another
  std::unique_ptr<NcclCommunicator> nccl_;    // then this
  std::map<std::pair<int64_t, int64_t>, const CudaMatrix*> matrices_;  // of the base model, one of each shape
  const CudaActivation* widest_input_ = nullptr;    // with the most memory
  const CudaActivation* widest_product_ = nullptr;
  std::unique_ptr<Activation> shard_logits_;  // [K, the shard's part of the vocabulary]
  DeviceMemory gathered_logits_;              // through NCCL: those of all shards, one after another
  std::vector<int64_t> gathered_begins_;      // of each shard's there, in columns
};

}  // namespace chorale::cuda
