// Merged mode: shadow copies of the matrices that one adapter touches, W + scale * s * B * A, each rounded once. The base
// weights are never written, so unmerging is forgetting the copies, and exact.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "model/weights.h"

namespace chorale {

class ShadowWeights {
 public:
  static Result<ShadowWeights> Make(const ModelWeights& base, const ResidentAdapter& adapter, float scale,
                                    Backend& backend);

  // The matrix to use instead of the base's; null where the adapter leaves it alone.
  const Weight* at(int32_t layer, Site site) const { return layers_[layer][site].get(); }

 private:
  std::vector<std::array<std::unique_ptr<Weight>, kSites>> layers_;
};

}  // namespace chorale
