// The base model's weights, fused as the forward pass uses them: q|k|v are one matrix, gate|up another.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/image_view.h"
#include "model/site.h"
#include "model/span_source.h"
#include "shard/shard.h"

namespace chorale {

struct LayerWeights {
  std::unique_ptr<Weight> attn_norm, mlp_norm;  // [H]
  std::unique_ptr<Weight> q_norm, k_norm;       // [head_dim] or null
  std::array<std::unique_ptr<Weight>, kSites> linear;
  std::array<std::unique_ptr<Weight>, kSites> bias;  // null where no target of the site has one
  int32_t window = 0;                                // 0: sees the whole context
};

// Of the whole model, or of one shard of it.
struct ModelWeights {
  ModelSpec spec{};  // of the shard
  std::unique_ptr<Weight> embed;       // [V, H]
  std::unique_ptr<Weight> head;        // [rows of vocab, H]; null when it is the embedding, or there are no rows
  Part vocab;                          // the logits that the head gives
  std::unique_ptr<Weight> final_norm;  // [H]
  std::vector<LayerWeights> layers;
  int64_t bytes = 0;  // of memory that they take

  static Result<ModelWeights> Load(const ManifestView& manifest, SpanSource& source, const Shard& shard,
                                   Backend& backend);

  const Weight* head_or_embed() const { return head == nullptr ? embed.get() : head.get(); }
  uint64_t Digest(const Backend& backend) const;

 private:
  Status Read(const ManifestView& manifest, SpanSource& source, const Shard& shard, Backend& backend);
  template <typename Visit>
  void ForEach(const Visit& visit) const;
};

}  // namespace chorale
