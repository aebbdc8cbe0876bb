// The forward pass of the Llama family: Llama 2 and 3, Mistral, Qwen2 and Qwen3 differ only in what their weights hold.
// A shard runs the same pass over its part; the shards' parts are summed behind o and down, and gathered behind the head.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/op_observer.h"
#include "forward/op_times.h"
#include "weights/merge.h"
#include "weights/model_weights.h"

namespace chorale {

class Llama {
 public:
  static Result<Llama> Create(const ModelSpec& whole, const Shard& shard, Backend& backend, int32_t rows_max,
                              int32_t samples_max);

  // One pass over the rows of the step that the backend has prepared. Only the rows of `sampled`, then those of
  // `hidden`, go through the final norm; only `sampled` through the head.
  void Forward(const ModelWeights& weights, std::span<const int32_t> sampled, std::span<const int32_t> hidden,
               const MergedWeights* merged, OpObserver* observer);

  void SetTimes(OpTimes* times) { times_ = times; }  // null: times nothing

  Activation* logits() { return logits_.get(); }  // [K, V] of the last Forward
  // The hidden states of the last Forward's `hidden` rows, after the final norm.
  void ReadHidden(float* out);

 private:
  Llama(const ModelSpec& whole, const Shard& shard, Backend& backend);

  void Layer(int32_t layer);
  void Logits();
  void AddNorm(const AddNormParams& params);
  void Linear(int32_t layer, Site site, const Activation* x, Activation* y);
  void SumOverShards(Activation* x);
  void Observe(Op op, int32_t layer, Activation* x, int64_t rows, int64_t col_begin, int64_t cols);

  ModelSpec spec_;  // of the shard
  Backend* backend_;
  std::vector<int64_t> vocab_begins_;  // of the shards' logits, [shards + 1]; empty: one shard
  OpTimes* times_ = nullptr;
  // Of the Forward at hand:
  const ModelWeights* weights_ = nullptr;
  const MergedWeights* merged_ = nullptr;  // null: unmerged
  OpObserver* observer_ = nullptr;
  int64_t rows_ = 0;
  int64_t sampled_ = 0;
  int64_t hidden_ = 0;
  std::vector<int32_t> gathered_;
  std::vector<float> observed_;
  std::unique_ptr<Activation> residual_;  // [T, H]
  std::unique_ptr<Activation> x_;         // [T, H] normalised
  std::unique_ptr<Activation> delta_;     // [T, H] what a sublayer adds to the residual
  std::unique_ptr<Activation> qkv_;       // [T, (heads + 2 kv_heads) * head_dim]
  std::unique_ptr<Activation> attention_; // [T, heads * head_dim]
  std::unique_ptr<Activation> gate_up_;   // [T, 2 * intermediate]
  std::unique_ptr<Activation> swiglu_;    // [T, intermediate]
  std::unique_ptr<Activation> final_;     // [sampled + hidden, H]
  std::unique_ptr<Activation> logits_;    // [K, V]
};

}  // namespace chorale
