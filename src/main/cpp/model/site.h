// The sites of a layer: the matrices that its linears are fused into.
#pragma once

#include <array>
#include <cstdint>

#include "chorale/image_abi.h"

namespace chorale {

// The four matrices of a layer, by the targets they hold.
enum Site : int32_t { kSiteQkv = 0, kSiteO, kSiteGateUp, kSiteDown, kSites };

struct SiteTargets {
  Target first;
  int32_t count;
};
inline constexpr std::array<SiteTargets, kSites> kSiteTargets = {{{kQ, 3}, {kO, 1}, {kGate, 2}, {kDown, 1}}};

// Where a target's outputs are: in which matrix, and from which row on.
struct TargetPlace {
  Site site;
  int64_t row_begin;
};
TargetPlace PlaceOf(const ModelSpec& spec, Target target);

}  // namespace chorale
