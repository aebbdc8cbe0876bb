// Random adapters that do more than add to the linears of the layers, for tests.
#pragma once

#include <vector>

#include "testing/tiny_model.h"

namespace chorale::testing {

enum class Form { kDora, kHead, kEmbed, kOwnHead };
inline constexpr Form kForms[] = {Form::kDora, Form::kHead, Form::kEmbed, Form::kOwnHead};

// What makes the form, and with DoRA and LoRA of the head A and B of some linears too: ranks that divide by nothing, and differ
// from layer to layer.
inline TensorSet FormedAdapter(const ModelSpec& spec, uint64_t seed, Form form) {
  const auto rank_of = [&](int32_t layer, Target t) {
    if (form == Form::kDora) return (layer + t) % 5 == 4 ? 0 : 1 + (layer * 7 + t * 5) % 13;
    return form == Form::kHead && (t == kV || t == kDown) ? 3 + layer : 0;
  };
  TensorSet set = RandomAdapter(spec, seed, rank_of, 1.5f);
  TensorWriter writer(&set, seed + 1000);
  const auto pair = [&](int32_t role_a, int32_t role_b, int32_t rank, int32_t in, int32_t out, float reach_a) {
    writer.Add(role_a, -1, rank, in, 0, reach_a);
    writer.Add(role_b, -1, out, rank, 0, 0.5f / std::sqrt(static_cast<float>(rank))).scale = 1.25f;
  };
  switch (form) {
    case Form::kDora:
      for (int32_t layer = 0; layer < spec.layers; ++layer) {
        for (int32_t t = 0; t < kTargets; ++t) {
          const auto target = static_cast<Target>(t);
          // One linear has LoRA alone: an adapter may have both.
          if (rank_of(layer, target) == 0 || (layer == 1 && target == kK)) continue;
          writer.Add(RoleOf(kRoleMagnitude, target), layer, 1, OutWidth(spec, target), 1.1f, 0.6f);
        }
      }
      break;
    case Form::kHead:
      pair(kRoleHeadA, kRoleHeadB, 37, spec.hidden, spec.vocab, 1.0f / std::sqrt(static_cast<float>(spec.hidden)));
      break;
    case Form::kEmbed:
      pair(kRoleEmbedA, kRoleEmbedB, 5, spec.vocab, spec.hidden, 1.0f);
      break;
    case Form::kOwnHead:
      writer.Add(kRoleHead, -1, spec.vocab, spec.hidden, 0, 0.3f);
      break;
  }
  return set;
}

}  // namespace chorale::testing
