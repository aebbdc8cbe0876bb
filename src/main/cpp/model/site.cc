#include "model/site.h"

#include "model/image_view.h"

namespace chorale {

TargetPlace PlaceOf(const ModelSpec& spec, Target target) {
  TargetPlace place{kSiteQkv, 0};
  while (target >= kSiteTargets[place.site].first + kSiteTargets[place.site].count) {
    place.site = static_cast<Site>(place.site + 1);
  }
  for (int32_t t = kSiteTargets[place.site].first; t < target; ++t) {
    place.row_begin += OutWidth(spec, static_cast<Target>(t));
  }
  return place;
}

}  // namespace chorale
