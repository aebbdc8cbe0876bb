#include "forward/llama.h"

#include "shard/shard_cut.h"

namespace chorale {

Llama::Llama(const ModelSpec& whole, const Shard& shard, Backend& backend)
    : spec_(ShardSpec(whole, shard)), backend_(&backend) {
  if (shard.count == 1) return;
  Shard other = shard;
  for (other.index = 0; other.index <= shard.count; ++other.index) vocab_begins_.push_back(VocabOf(whole, other).begin);
}

Result<Llama> Llama::Create(const ModelSpec& whole, const Shard& shard, Backend& backend, int32_t rows_max,
                            int32_t samples_max) {
  Llama llama(whole, shard, backend);
  const ModelSpec& spec = llama.spec_;
  const int64_t q_width = OutWidth(spec, kQ), kv_width = OutWidth(spec, kK);
  const struct {
    std::unique_ptr<Activation>* activation;
    ActivationKind kind;
    int64_t rows, cols;
  } wanted[] = {
      {&llama.residual_, ActivationKind::kResidual, rows_max, spec.hidden},
      {&llama.x_, ActivationKind::kInput, rows_max, spec.hidden},
      {&llama.delta_, ActivationKind::kProduct, rows_max, spec.hidden},
      {&llama.qkv_, ActivationKind::kProduct, rows_max, q_width + 2 * kv_width},
      {&llama.attention_, ActivationKind::kInput, rows_max, q_width},
      {&llama.gate_up_, ActivationKind::kProduct, rows_max, int64_t{2} * spec.intermediate},
      {&llama.swiglu_, ActivationKind::kInput, rows_max, spec.intermediate},
      {&llama.final_, ActivationKind::kInput, int64_t{samples_max} + rows_max, spec.hidden},
      {&llama.logits_, ActivationKind::kProduct, samples_max, spec.vocab},
  };
  for (const auto& [activation, kind, rows, cols] : wanted) {
    Result<std::unique_ptr<Activation>> made = backend.MakeActivation(kind, rows, cols);
    if (!made.ok()) return made.status();
    *activation = std::move(made).value();
  }
  return llama;
}

void Llama::Forward(const ModelWeights& weights, std::span<const int32_t> sampled, std::span<const int32_t> hidden,
                    const MergedWeights* merged, OpObserver* observer) {
  weights_ = &weights;
  merged_ = merged;
  observer_ = observer;
  rows_ = backend_->rows();
  sampled_ = static_cast<int64_t>(sampled.size());
  hidden_ = static_cast<int64_t>(hidden.size());

  {
    OpTimer timer(times_, kTimedEmbed);
    backend_->Embed({.table = weights_->embed.get(), .out = residual_.get()});
  }
  Observe(kOpEmbed, -1, residual_.get(), rows_, 0, spec_.hidden);
  for (int32_t layer = 0; layer < spec_.layers; ++layer) Layer(layer);
  AddNorm({residual_.get(), delta_.get(), weights_->final_norm.get(), x_.get(), spec_.rms_eps});

  gathered_.assign(sampled.begin(), sampled.end());
  gathered_.insert(gathered_.end(), hidden.begin(), hidden.end());
  backend_->Gather({x_.get(), gathered_, final_.get()});
  Observe(kOpFinalNorm, -1, final_.get(), sampled_ + hidden_, 0, spec_.hidden);
  Logits();
  Observe(kOpLogits, -1, logits_.get(), sampled_, 0, spec_.vocab);
}

void Llama::Logits() {
  OpTimer timer(times_, kTimedLogits);
  const auto count = static_cast<int32_t>(sampled_);
  if (weights_->vocab.size() > 0) {
    backend_->Logits({final_.get(), weights_->head_or_embed(), logits_.get(), count, weights_->vocab.begin});
  }
  if (!vocab_begins_.empty()) backend_->AllGather({logits_.get(), count, vocab_begins_});
}

void Llama::Layer(int32_t layer) {
  const LayerWeights& w = weights_->layers[layer];
  const int64_t q_width = OutWidth(spec_, kQ), kv_width = OutWidth(spec_, kK);

  // The sublayer before has left what it adds in delta_; before the first layer there is none.
  const Activation* before = layer == 0 ? nullptr : delta_.get();
  AddNorm({residual_.get(), before, w.attn_norm.get(), x_.get(), spec_.rms_eps});
  Observe(kOpAttnNorm, layer, x_.get(), rows_, 0, spec_.hidden);

  Linear(layer, kSiteQkv, x_.get(), qkv_.get());
  Observe(kOpQ, layer, qkv_.get(), rows_, 0, q_width);
  Observe(kOpK, layer, qkv_.get(), rows_, q_width, kv_width);
  Observe(kOpV, layer, qkv_.get(), rows_, q_width + kv_width, kv_width);
  QkvPostParams post{.qkv = qkv_.get(), .q_norm = w.q_norm.get(), .k_norm = w.k_norm.get(), .layer = layer};
  {
    OpTimer timer(times_, kTimedQkvPost);
    backend_->QkvPost(post);
  }
  if (observer_ != nullptr) {
    Observe(kOpRopeQ, layer, qkv_.get(), rows_, 0, q_width);
    Observe(kOpRopeK, layer, qkv_.get(), rows_, q_width, kv_width);
    post.write_only = true;  // the observer may have changed the keys
    backend_->QkvPost(post);
  }
  {
    OpTimer timer(times_, kTimedAttention);
    backend_->Attention({.qkv = qkv_.get(), .out = attention_.get(), .layer = layer, .window = w.window});
  }
  Observe(kOpAttention, layer, attention_.get(), rows_, 0, q_width);
  if (layer + 1 == spec_.layers) backend_->Narrow({residual_.get(), attention_.get()});
  Linear(layer, kSiteO, attention_.get(), delta_.get());
  SumOverShards(delta_.get());
  Observe(kOpO, layer, delta_.get(), rows_, 0, spec_.hidden);

  AddNorm({residual_.get(), delta_.get(), w.mlp_norm.get(), x_.get(), spec_.rms_eps});
  Observe(kOpMlpNorm, layer, x_.get(), rows_, 0, spec_.hidden);
  Linear(layer, kSiteGateUp, x_.get(), gate_up_.get());
  Observe(kOpGate, layer, gate_up_.get(), rows_, 0, spec_.intermediate);
  Observe(kOpUp, layer, gate_up_.get(), rows_, spec_.intermediate, spec_.intermediate);
  {
    OpTimer timer(times_, kTimedSwiGlu);
    backend_->SwiGlu({.gate_up = gate_up_.get(), .out = swiglu_.get()});
  }
  Observe(kOpSwiGlu, layer, swiglu_.get(), rows_, 0, spec_.intermediate);
  Linear(layer, kSiteDown, swiglu_.get(), delta_.get());
  SumOverShards(delta_.get());
  Observe(kOpDown, layer, delta_.get(), rows_, 0, spec_.hidden);
}

void Llama::AddNorm(const AddNormParams& params) {
  OpTimer timer(times_, kTimedNorm);
  backend_->AddNorm(params);
}

void Llama::Linear(int32_t layer, Site site, const Activation* x, Activation* y) {
  const LayerWeights& w = weights_->layers[layer];
  static constexpr std::array<TimedOp, kSites> kTimed = {kTimedQkv, kTimedO, kTimedGateUp, kTimedDown};
  OpTimer timer(times_, kTimed[site]);
  const Weight* weight = merged_ == nullptr ? nullptr : merged_->at(layer, site);
  backend_->Gemm({.x = x,
                  .weight = weight != nullptr ? weight : w.linear[site].get(),
                  .bias = w.bias[site].get(),
                  .y = y,
                  .lora = {layer, kSiteTargets[site].first, kSiteTargets[site].count}});
}

void Llama::SumOverShards(Activation* x) {
  if (!vocab_begins_.empty()) backend_->AllReduce({x});
}

void Llama::Observe(Op op, int32_t layer, Activation* x, int64_t rows, int64_t col_begin, int64_t cols) {
  if (observer_ == nullptr || rows == 0) return;
  observed_.resize(static_cast<size_t>(rows * cols));
  const Rectangle part{.rows = rows, .col_begin = col_begin, .cols = cols};
  backend_->ReadActivation(*x, part, observed_.data());
  observer_->OnOp(op, layer, observed_, cols);
  backend_->WriteActivation(*x, part, observed_.data());
}

void Llama::ReadHidden(float* out) {
  // The hidden rows lie behind the sampled ones.
  backend_->ReadActivation(*final_, {.row_begin = sampled_, .rows = hidden_, .cols = spec_.hidden}, out);
}

}  // namespace chorale
