// The gains of a DoRA adapter: what its magnitudes make of the base's products.
//
// DoRA computes W' x with W' = m * (W + s B A) / |W + s B A|, by rows. With the gain g = m / |W + s B A| that is
// g * W x + s (g * B) A x: so B is staged times g, and g beside it as a factor on the base's product. Norms are of whole
// rows, of float64 sums over the base's weights as they are in memory: where shards have parts of a row, all of them count.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "memory/page_layout.h"
#include "model/image_view.h"
#include "model/span_source.h"
#include "weights/model_weights.h"

namespace chorale {

// The base model as one shard holds it.
struct BasePart {
  const ModelWeights* weights = nullptr;
  const LinearShapes* shapes = nullptr;
  Backend* backend = nullptr;
};

class AdapterGains {
 public:
  // `shards`: all there are. The manifest was parsed against the base model's spec. Any thread.
  static Result<AdapterGains> Of(const ManifestView& manifest, SpanSource& source, std::span<const BasePart> shards);

  // One for each output of the whole linear; empty where the adapter has no magnitudes.
  std::span<const double> at(int32_t layer, int32_t target) const {
    return gains_.empty() ? std::span<const double>() : gains_[layer * kTargets + target];
  }

 private:
  std::vector<std::vector<double>> gains_;  // [layers * kTargets]; empty: none at all
};

}  // namespace chorale
