// Merged mode: one adapter added to the matrices that it touches, W + scale * s * B * A, each rounded once.
//
//   shadow    copies of those matrices hold the sums; the base is never written, and both kinds of steps run at will
//   in place  the matrices themselves hold them, and a log what subtracting would not give back: for when there is no
//             memory for copies. An unmerged step first takes the adapter out again, a merged one puts it back.
//
// Both ways the base comes back to the bit, whatever was merged before.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "weights/model_weights.h"

namespace chorale {

enum class MergeWay { kEither, kShadow, kInPlace };

class MergedWeights {
 public:
  // kEither: in place when there is no memory for copies. On failure the base is as it was. All shards merge, in the same
  // way, or none: what one of them lacks all do without.
  static Result<std::unique_ptr<MergedWeights>> Make(const ModelWeights& base,
                                                     std::shared_ptr<const ResidentAdapter> adapter, float scale,
                                                     MergeWay way, const Shard& shard, Backend& backend);

  // The matrix to use instead of the base's; null where the adapter leaves it alone, and in place.
  const Weight* at(int32_t layer, Site site) const { return shadows_.empty() ? nullptr : shadows_[layer][site].get(); }
  bool in_place() const { return shadows_.empty(); }

  // Before a step: makes the base's matrices what such a step multiplies by.
  void Select(bool merged);

 private:
  struct Touched {  // a matrix
    int32_t layer;
    Site site;
    std::vector<MergeParams::Part> parts;
    std::unique_ptr<MergeUndo> undo;  // in place
  };

  MergedWeights(const ModelWeights& base, std::shared_ptr<const ResidentAdapter> adapter, float scale, Backend& backend);
  MergeParams ParamsOf(const Touched& touched) const;
  Status MakeShadows();
  Status PrepareMergeInPlace(const Shard& shard);
  void MergeIntoShadows();
  void MergeInPlace();

  const ModelWeights& base_;
  const std::shared_ptr<const ResidentAdapter> adapter_;
  const float scale_;
  Backend& backend_;
  std::vector<Touched> touched_;
  std::vector<std::array<std::unique_ptr<Weight>, kSites>> shadows_;
  bool base_is_merged_ = false;
};

}  // namespace chorale
