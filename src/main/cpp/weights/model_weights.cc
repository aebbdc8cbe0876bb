#include "weights/model_weights.h"

#include "shard/shard_cut.h"

namespace chorale {
namespace {

class Loader {
 public:
  Loader(const ManifestView& manifest, SpanSource& source, const Shard& shard, Backend& backend)
      : manifest_(manifest), source_(source), shard_(shard), backend_(backend), spec_(manifest.spec()) {}

  Status Vector(int32_t role, int32_t layer, std::unique_ptr<Weight>* out) {
    Result<HostTensor> tensor = Read(role, layer);
    if (!tensor.ok()) return tensor.status();
    return Keep(backend_.MakeVector({&tensor.value(), 1}), out);
  }

  Status Matrix(int32_t role, const Part& rows, std::unique_ptr<Weight>* out) {
    Result<HostTensor> tensor = Read(role, -1);
    if (!tensor.ok()) return tensor.status();
    const HostTensor part = tensor.value().Cut(rows, {0, tensor.value().cols});
    return Keep(backend_.MakeMatrix({&part, 1}), out);
  }

  Status Linear(Site site, int32_t layer, std::unique_ptr<Weight>* weight, std::unique_ptr<Weight>* bias) {
    std::vector<HostTensor> weights, biases;
    bool any_bias = false;
    for (int32_t i = 0; i < kSiteTargets[site].count; ++i) {
      const int32_t target = kSiteTargets[site].first + i;
      const LinearCut cut = CutOf(spec_, shard_, static_cast<Target>(target));
      Result<HostTensor> matrix = Read(kRoleWeight + target, layer);
      if (!matrix.ok()) return matrix.status();
      weights.push_back(matrix.value().Cut(cut.outputs, cut.inputs));
      HostTensor vector{.rows = 1, .cols = cut.outputs.size()};  // zero unless there is one
      if (cut.has_bias && manifest_.Find(kRoleBias + target, layer) != nullptr) {
        Result<HostTensor> found = Read(kRoleBias + target, layer);
        if (!found.ok()) return found.status();
        vector = found.value().Cut({0, 1}, cut.outputs);
        any_bias = true;
      }
      biases.push_back(vector);
    }
    CHORALE_RETURN_IF_ERROR(Keep(backend_.MakeMatrix(weights), weight));
    return any_bias ? Keep(backend_.MakeVector(biases), bias) : Status::Ok();
  }

 private:
  Result<HostTensor> Read(int32_t role, int32_t layer) {
    const SpanEntry* span = manifest_.Find(role, layer);
    if (span == nullptr) return Status::Invalid(Format("manifest: no %s", SpanName(role, layer).c_str()));
    return HostTensor::Of(*span, source_);
  }

  static Status Keep(Result<std::unique_ptr<Weight>> made, std::unique_ptr<Weight>* out) {
    if (!made.ok()) return made.status();
    *out = std::move(made).value();
    return Status::Ok();
  }

  const ManifestView& manifest_;
  SpanSource& source_;
  const Shard& shard_;
  Backend& backend_;
  const ModelSpec& spec_;  // of the whole model
};

}  // namespace

Result<ModelWeights> ModelWeights::Load(const ManifestView& manifest, SpanSource& source, const Shard& shard,
                                        Backend& backend) {
  ModelWeights model;
  const Status read = model.Read(manifest, source, shard, backend);
  const Status arrived = backend.AwaitWeights();  // before what has been made ends, should reading have failed
  CHORALE_RETURN_IF_ERROR(read);
  CHORALE_RETURN_IF_ERROR(arrived);
  model.ForEach([&model](const Weight& weight) { model.bytes += weight.bytes(); });
  return model;
}

Status ModelWeights::Read(const ManifestView& manifest, SpanSource& source, const Shard& shard, Backend& backend) {
  spec = ShardSpec(manifest.spec(), shard);
  vocab = VocabOf(manifest.spec(), shard);
  const bool tied = spec.tied != 0;
  Loader loader(manifest, source, shard, backend);
  CHORALE_RETURN_IF_ERROR(loader.Matrix(kRoleEmbed, {0, spec.vocab}, &embed));
  // Tied and whole, the embedding is the head. A part of it is a matrix of its own.
  if ((!tied || shard.count > 1) && vocab.size() > 0) {
    CHORALE_RETURN_IF_ERROR(loader.Matrix(tied ? kRoleEmbed : kRoleHead, vocab, &head));
  }
  CHORALE_RETURN_IF_ERROR(loader.Vector(kRoleFinalNorm, -1, &final_norm));
  layers.resize(spec.layers);
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    LayerWeights& weights = layers[layer];
    weights.window = manifest.windows()[layer];
    CHORALE_RETURN_IF_ERROR(loader.Vector(kRoleAttnNorm, layer, &weights.attn_norm));
    CHORALE_RETURN_IF_ERROR(loader.Vector(kRoleMlpNorm, layer, &weights.mlp_norm));
    if (spec.qk_norm != 0) {
      CHORALE_RETURN_IF_ERROR(loader.Vector(kRoleQNorm, layer, &weights.q_norm));
      CHORALE_RETURN_IF_ERROR(loader.Vector(kRoleKNorm, layer, &weights.k_norm));
    }
    for (int32_t site = 0; site < kSites; ++site) {
      CHORALE_RETURN_IF_ERROR(
          loader.Linear(static_cast<Site>(site), layer, &weights.linear[site], &weights.bias[site]));
    }
  }
  return Status::Ok();
}

template <typename Visit>
void ModelWeights::ForEach(const Visit& visit) const {
  const auto maybe = [&visit](const std::unique_ptr<Weight>& weight) {
    if (weight != nullptr) visit(*weight);
  };
  maybe(embed);
  maybe(head);
  maybe(final_norm);
  for (const LayerWeights& layer : layers) {
    maybe(layer.attn_norm);
    maybe(layer.mlp_norm);
    maybe(layer.q_norm);
    maybe(layer.k_norm);
    for (const auto& weight : layer.linear) maybe(weight);
    for (const auto& weight : layer.bias) maybe(weight);
  }
}

uint64_t ModelWeights::Digest(const Backend& backend) const {
  uint64_t digest = 0xcbf29ce484222325ULL;
  ForEach([&](const Weight& weight) { digest = backend.Digest(weight, digest); });
  return digest;
}

}  // namespace chorale
