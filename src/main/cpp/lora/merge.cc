#include "lora/merge.h"

namespace chorale {

Result<ShadowWeights> ShadowWeights::Make(const ModelWeights& base, const ResidentAdapter& adapter, float scale,
                                          Backend& backend) {
  ShadowWeights shadow;
  shadow.layers_.resize(base.layers.size());
  for (int32_t layer = 0; layer < static_cast<int32_t>(base.layers.size()); ++layer) {
    for (int32_t site = 0; site < kSites; ++site) {
      std::vector<MergeParams::Part> parts;
      int64_t row_begin = 0;
      for (int32_t i = 0; i < kSiteTargets[site].count; ++i) {
        const int32_t target = kSiteTargets[site].first + i;
        if (adapter.layout->at(layer, target).rank() > 0) parts.push_back({target, row_begin});
        row_begin += OutWidth(base.spec, static_cast<Target>(target));
      }
      if (parts.empty()) continue;
      Result<std::unique_ptr<Weight>> made = backend.Merge({.base = base.layers[layer].linear[site].get(),
                                                            .adapter = &adapter,
                                                            .layer = layer,
                                                            .scale = scale,
                                                            .parts = parts});
      if (!made.ok()) return made.status();
      shadow.layers_[layer][site] = std::move(made).value();
    }
  }
  return shadow;
}

}  // namespace chorale
