// Backend: the operations that a decoder layer is made of, and the memory they work in.
//
// Coarse on purpose: one call per place where a device would launch one fused kernel, each with a struct that carries
// all it needs, LoRA included. Not a tensor library. Calls are in stream order: an operation sees the effect of all before
// it, but may return before it is done: what a step draws is handed out by Collect, and only what gives numbers to the
// host (reading activations and pages) waits. The engine thread is the only caller, but for Collect and AllocateStaging.
// Symbols: T rows, H hidden, K sampled rows, V vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "chorale/image_abi.h"
#include "lora/adapter_image.h"
#include "lora/lora_batch.h"
#include "memory/page_arena.h"
#include "model/host_tensor.h"
#include "shard/communicator.h"
#include "shard/shard.h"
#include "step/step_view.h"

namespace chorale {

// A weight in the backend's own form and memory.
class Weight {
 public:
  virtual ~Weight() = default;
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  virtual int64_t bytes() const = 0;  // of memory that it takes

 protected:
  Weight(int64_t rows, int64_t cols) : rows_(rows), cols_(cols) {}

 private:
  int64_t rows_;
  int64_t cols_;
};

// What an activation is for. A backend may keep each kind in a form of its own.
enum class ActivationKind {
  kResidual,  // Embed writes it, AddNorm adds to it
  kInput,     // what linears read
  kProduct,   // what linears write
};

// [rows_max, cols] activations in the backend's memory; a row starts every `stride` elements.
class Activation {
 public:
  virtual ~Activation() = default;
  int64_t cols() const { return cols_; }
  int64_t stride() const { return stride_; }

 protected:
  Activation(int64_t cols, int64_t stride) : cols_(cols), stride_(stride) {}

 private:
  int64_t cols_;
  int64_t stride_;
};

struct Rectangle {
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t col_begin = 0;
  int64_t cols = 0;
};

// One place of a layer where LoRA may act: targets first .. first + count - 1 have their outputs side by side.
struct LoraSite {
  int32_t layer = -1;  // -1: no LoRA here
  int32_t first = 0;   // Target
  int32_t count = 0;
};

// out = the table's row of the token + sum over the row's adapters of scale * B A[:, token]
struct EmbedParams {
  const Weight* table = nullptr;  // [V, H]
  Activation* out = nullptr;      // [T, H]
};

// residual += delta (when there is one); out = RMSNorm(residual) * norm
struct AddNormParams {
  Activation* residual = nullptr;     // [T, H]
  const Activation* delta = nullptr;  // [T, H] or null
  const Weight* norm = nullptr;       // [H]
  Activation* out = nullptr;          // [T, H]
  float eps = 0;
};

// y = x W^T + bias + sum over the row's adapters of scale * B (A x); with DoRA the first product times its gains
struct GemmParams {
  const Activation* x = nullptr;  // [T, cols]
  const Weight* weight = nullptr;  // [rows, cols]
  const Weight* bias = nullptr;    // [rows] or null
  Activation* y = nullptr;         // [T, rows]
  LoraSite lora;
};

// q and k: RMS norm over each head (where there are weights), rotation; k and v: into their pages. q stays in qkv.
struct QkvPostParams {
  Activation* qkv = nullptr;       // [T, (heads + 2 kv_heads) * head_dim]
  const Weight* q_norm = nullptr;  // [head_dim] or null
  const Weight* k_norm = nullptr;
  int32_t layer = 0;
  bool write_only = false;  // qkv is rotated already (an observer has changed it): only write the pages
};

struct AttentionParams {
  const Activation* qkv = nullptr;  // q as QkvPost left it
  Activation* out = nullptr;        // [T, heads * head_dim]
  int32_t layer = 0;
  int32_t window = 0;               // 0: none; else a query at p sees keys in (p - window, p]
};

// out = silu(gate) * up
struct SwiGluParams {
  const Activation* gate_up = nullptr;  // [T, 2 * intermediate]
  Activation* out = nullptr;            // [T, intermediate]
};

// Of the last layer, whose keys and values are written: what comes after has only the rows that Gather will ask for.
struct NarrowParams {
  Activation* residual = nullptr;
  Activation* attention = nullptr;
};

// out row i = x row rows[i]
struct GatherParams {
  const Activation* x = nullptr;
  std::span<const int32_t> rows;
  Activation* out = nullptr;
};

// logits = x head^T + sum over the row's adapters of scale * B (A x), where one of them has a head of its own with that
struct LogitsParams {
  const Activation* x = nullptr;   // [K, H]
  const Weight* head = nullptr;    // [V, H], or a shard's part of the rows
  Activation* logits = nullptr;    // [K, V]
  int32_t count = 0;
  int64_t first = 0;  // the logit of the head's first row, a multiple of kVocabBlock
};

// x = the sum of all shards' x
struct AllReduceParams {
  Activation* x = nullptr;  // [T, H]
};

// Shard i has given columns [begins[i], begins[i + 1]); now every shard has all.
struct AllGatherParams {
  Activation* x = nullptr;  // [K, V]
  int32_t count = 0;        // K
  std::span<const int64_t> begins;
};

// W + scale * s * B * A of each part, rounded once.
struct MergeParams {
  struct Part {
    int32_t target = 0;
    int64_t row_begin = 0;  // of the target's outputs in the fused weight
  };
  const Weight* base = nullptr;
  const ResidentAdapter* adapter = nullptr;
  int32_t layer = 0;
  float scale = 1.0f;
  std::span<const Part> parts;
};

// squares[n] += the sum over the weight's columns of (W[row_begin + n] + scale * (B A)[n])^2, in float64
struct RowSquaresParams {
  const Weight* weight = nullptr;
  int64_t row_begin = 0;
  const float* a = nullptr;   // [rank, a_stride], of which the first columns
  int64_t a_stride = 0;
  const float* b = nullptr;   // [squares.size(), rank]
  int32_t rank = 0;
  float scale = 1.0f;
  std::span<double> squares;
};

// What subtracting a merge in place would not give back.
class MergeUndo {
 public:
  virtual ~MergeUndo() = default;
};

struct SampleStepParams {
  Activation* logits = nullptr;     // [K, V], overwritten
  const LateView* late = nullptr;   // masks and bias, or null
};

// What was drawn.
struct Drawn {
  std::vector<int32_t> ids;        // [K]
  std::vector<float> logprobs;     // [K]
  std::vector<int32_t> top_start;  // [K+1]
  std::vector<int32_t> top_ids;
  std::vector<float> top_logprobs;

  void Clear() {  // keeps the memory
    ids.clear();
    logprobs.clear();
    top_start.assign(1, 0);
    top_ids.clear();
    top_logprobs.clear();
  }
};

// What the engine tells a backend about the model and the limits before anything else.
struct BackendParams {
  ModelSpec spec{};                 // of the shard
  Shard shard;
  int32_t dtype = kF32;             // DType of the base model's linears
  std::span<const float> inv_freq;  // [rotary_dims / 2]
  std::span<const int32_t> windows;  // [layers] 0: sees the whole context
  int64_t pool_bytes = 0;           // 0: what the device's memory allows; only where there is a device
  int32_t page_count = 0;           // not 0: so many pages, whatever pool_bytes says
  int32_t page_tokens = 0;          // of a page: 16, 32 or 64; 0: by the model's shape
  int32_t threads = 0;
  int32_t rows_max = 0;
  int32_t samples_max = 0;
  int32_t scratch_max = 0;
  int32_t slots_max = 0;
  bool poison = false;
  bool reference = false;  // the plain path where there are two
  bool merges_in_place = false;  // always: what that takes is kept before the pool takes the rest
  bool graphs = true;      // record the launches of a step of single rows and replay them, where a backend can
};

// A step to be prepared. The view and the batch outlive the operations.
struct StepPlan {
  const StepView* step = nullptr;
  const LoraBatch* lora = nullptr;
  int32_t turn = 0;        // 0 or 1: which of the two steps that may be in flight this is
  int64_t weights = 0;     // which weights the linears use: 0 the base, else the number of a merge
  bool observed = false;   // somebody looks at what each operation produces, on this shard or another
};

// An adapter's layers on their way to its pages. The image is kept until they are there.
struct AdapterLoad {
  int32_t slot = 0;
  std::shared_ptr<const AdapterImage> image;
  std::span<const int32_t> pages;
  int32_t layer_begin = 0;
  int32_t layer_end = 0;
  bool read_now = false;  // by the step itself, whose first layers need not wait for the last
};

// How long the parts of a step took on the device; -1: it does not say.
struct StepTimes {
  int64_t forward_nanos = -1;
  int64_t sample_nanos = -1;
  int64_t total_nanos = -1;
};

// What a backend has done since it was made; a steady state adds to the last two alone.
struct BackendCounters {
  int64_t device_allocations = 0;
  int64_t host_allocations = 0;  // of pinned memory
  int64_t waits = 0;             // of the engine thread for the device
  int64_t graph_captures = 0;
  int64_t graph_replays = 0;
  int64_t steps_collected = 0;   // each the one wait of its step
};

struct BackendInfo {
  std::string name;    // cpu, cuda
  std::string device;  // what a person calls it
  std::string mode;    // fast, reference
  std::string kv_type;
};

// What the memory of a device can do at best, bytes a second; 0: there is no device.
struct MemoryRoofs {
  double read = 0;    // of the device's memory, once
  double upload = 0;  // from pinned memory of the host
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;
  virtual const PageGeometry& geometry() const = 0;
  virtual int32_t page_count() const = 0;
  virtual int32_t top_logprobs_max() const = 0;  // of the best tokens of a sampled row

  // Weights and activations. A matrix of several parts has them one below the other, a vector one after another; a
  // part of a vector that has no bytes is zero.
  virtual Result<std::unique_ptr<Weight>> MakeMatrix(std::span<const HostTensor> parts) = 0;
  virtual Result<std::unique_ptr<Weight>> MakeVector(std::span<const HostTensor> parts) = 0;
  virtual Result<std::unique_ptr<Activation>> MakeActivation(ActivationKind kind, int64_t rows_max, int64_t cols) = 0;
  // The parts of matrices may be read, and written to their place, until this returns: the first failure of it.
  virtual Status AwaitWeights() { return Status::Ok(); }
  virtual uint64_t Digest(const Weight& weight, uint64_t previous) const = 0;  // of its bytes as they are in memory now
  // All weights and activations are made: takes what memory it still needs, so that page_count() is known.
  virtual Status Settle() = 0;
  // Memory of zeros for a staged adapter, from where loads are fast. Any thread.
  virtual Result<StagingMemory> AllocateStaging(int64_t bytes) = 0;

  // For the gains of DoRA, whatever goes on meanwhile. Any thread.
  virtual Status AddRowSquares(const RowSquaresParams& params) = 0;

  // Moves. A load may go on while later steps run; whoever reads the adapter waits for it.
  virtual void LoadAdapter(const AdapterLoad& load) = 0;
  virtual void DropAdapter(int32_t slot) = 0;  // its pages may be written by what follows
  virtual void PoisonPages(std::span<const int32_t> pages) = 0;
  virtual void CopyPage(int32_t from, int32_t to) = 0;
  virtual void ReadPage(int32_t page, uint8_t* out) = 0;
  virtual void WritePage(int32_t page, const uint8_t* bytes) = 0;
  virtual void ResetCounts(int32_t scratch) = 0;
  // What a merge can lack is asked for first: then either all shards go on, which may exchange factors, or none does.
  // MakeShadow takes the memory for a merged copy of a weight, which Merge fills; the weight itself is only read.
  virtual Result<std::unique_ptr<Weight>> MakeShadow(const Weight& base) = 0;
  virtual void Merge(const MergeParams& params, Weight& shadow) = 0;
  // Without a copy: PrepareMergeInPlace takes the memory for the log, MergeInPlace changes the base weight itself, Unmerge
  // gives it back to the bit, and MergeAgain merges what was unmerged. A backend may have only the copy.
  virtual Result<std::unique_ptr<MergeUndo>> PrepareMergeInPlace(const MergeParams&) {
    return Status::Invalid("backend=" + info().name + " merges into shadow weights only");
  }
  virtual void MergeInPlace(const MergeParams&, const MergeUndo&) {}
  virtual void Unmerge(const MergeParams&, const MergeUndo&) {}
  virtual void MergeAgain(const MergeParams&) {}
  // What was begun has ended: memory that it used may be freed.
  virtual void WaitForSteps() {}

  // A step: Prepare once; then, unless Replay has done the same, the operations up to Logits in order, and EndForward;
  // then Sample. Token ids may refer to what the step before drew; the backend knows.
  virtual Status Prepare(const StepPlan& plan) = 0;
  virtual bool Replay() { return false; }
  virtual void EndForward() {}
  virtual int32_t rows() const = 0;  // of the prepared step
  virtual void Embed(const EmbedParams& params) = 0;
  virtual void AddNorm(const AddNormParams& params) = 0;
  virtual void Gemm(const GemmParams& params) = 0;
  virtual void QkvPost(const QkvPostParams& params) = 0;
  virtual void Attention(const AttentionParams& params) = 0;
  virtual void SwiGlu(const SwiGluParams& params) = 0;
  // The rows whose results nobody wants may be left out from here on; Gather then finds the others.
  virtual void Narrow(const NarrowParams&) {}
  virtual void Gather(const GatherParams& params) = 0;
  virtual void Logits(const LogitsParams& params) = 0;
  virtual Status Sample(const SampleStepParams& params) = 0;
  // Waits for the step of this turn, whose Sample has returned, and says what it drew. The engine's caller may be here
  // while the engine thread is in the operations of the next step.
  virtual void Collect(int32_t turn, Drawn* drawn, StepTimes* times) = 0;
  virtual BackendCounters counters() const { return {}; }
  // Measured now, while nothing runs; writes into pages.
  virtual MemoryRoofs MeasureRoofs() { return {}; }

  // Before other calls, on a thread that may have called another shard's backend.
  virtual void Bind() {}

  // With several shards only; every shard calls them at the same places.
  virtual void AllReduce(const AllReduceParams& params) = 0;
  virtual void AllGather(const AllGatherParams& params) = 0;
  virtual CollectiveCounts collectives() const = 0;  // all so far, those inside Gemm and Merge too

  // A rectangle of an activation, row-major, to and from host memory.
  virtual void ReadActivation(const Activation& x, const Rectangle& part, float* out) = 0;
  virtual void WriteActivation(Activation& x, const Rectangle& part, const float* values) = 0;
};

}  // namespace chorale
