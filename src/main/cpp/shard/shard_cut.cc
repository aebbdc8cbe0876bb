#include "shard/shard_cut.h"

#include <algorithm>

#include "model/image_view.h"

namespace chorale {
namespace {

// Why not, or nothing.
std::string Problem(const ModelSpec& whole, int32_t shards, LoraSharding lora) {
  if (whole.heads % shards != 0) return Format("its %d query heads do not divide", whole.heads);
  if (whole.kv_heads % shards != 0 && shards % whole.kv_heads != 0) {
    return Format("its %d key/value heads neither divide nor can each be held by as many shards", whole.kv_heads);
  }
  if (whole.intermediate % shards != 0) return Format("the MLP's width of %d does not divide", whole.intermediate);
  if (lora == LoraSharding::kSharded && whole.hidden % shards != 0) {
    return Format("the hidden width of %d does not divide, which lora_sharding=sharded needs", whole.hidden);
  }
  return "";
}

}  // namespace

Status CheckShards(const ModelSpec& whole, int32_t shards, LoraSharding lora) {
  if (shards < 1 || shards > kShardsMax) return Status::Invalid(Format("shards=%d is outside [1, %d]", shards, kShardsMax));
  const std::string problem = Problem(whole, shards, lora);
  if (problem.empty()) return Status::Ok();
  std::string possible;
  for (int32_t n = 1; n <= kShardsMax; ++n) {
    if (Problem(whole, n, lora).empty()) possible += Format("%s%d", possible.empty() ? "" : ", ", n);
  }
  return Status::Invalid(Format("shards=%d: this model cannot be cut into %d: %s; possible: %s", shards, shards,
                                problem.c_str(), possible.c_str()));
}

ModelSpec ShardSpec(const ModelSpec& whole, const Shard& shard) {
  ModelSpec spec = whole;
  spec.heads /= shard.count;
  spec.kv_heads = std::max(1, spec.kv_heads / shard.count);
  spec.intermediate /= shard.count;
  return spec;
}

LinearCut CutOf(const ModelSpec& whole, const Shard& shard, Target target) {
  const ModelSpec part = ShardSpec(whole, shard);
  const int64_t inputs = InWidth(part, target), outputs = OutWidth(part, target);
  if (SumsProducts(target)) {
    return {.outputs = {0, outputs},
            .inputs = {shard.index * inputs, (shard.index + 1) * inputs},
            .has_bias = shard.index == 0};
  }
  // Of k and v the shards may outnumber the heads: then count / kv_heads shards in a row have the same one.
  const int64_t pieces = OutWidth(whole, target) / outputs;
  const int64_t first = shard.index * pieces / shard.count * outputs;
  return {.outputs = {first, first + outputs}, .inputs = {0, inputs}};
}

Part VocabOf(const ModelSpec& whole, const Shard& shard) {
  const int64_t blocks = (whole.vocab + kVocabBlock - 1) / kVocabBlock;
  const Part part = PartOf(blocks, shard.index, shard.count);
  const auto rows = [&](int64_t block) { return std::min<int64_t>(block * kVocabBlock, whole.vocab); };
  return {rows(part.begin), rows(part.end)};
}

std::string UnequalPages(std::span<const int64_t> pages) {
  const auto [least, most] = std::minmax_element(pages.begin(), pages.end());
  if (*least == *most) return "";
  return Format("; shard %lld has room for %lld pages and shard %lld for %lld, of which %lld stay unused",
                static_cast<long long>(least - pages.begin()), static_cast<long long>(*least),
                static_cast<long long>(most - pages.begin()), static_cast<long long>(*most),
                static_cast<long long>(*most - *least));
}

LinearShapes ShapesOf(const ModelSpec& whole, const Shard& shard) {
  LinearShapes shapes{.layers = whole.layers,
                      .shard = shard.index,
                      .shards = shard.count,
                      .hidden = whole.hidden,
                      .vocab = whole.vocab};
  for (int32_t t = 0; t < kTargets; ++t) {
    const auto target = static_cast<Target>(t);
    LinearCut cut = CutOf(whole, shard, target);
    shapes.base_begin[t] = static_cast<int32_t>(cut.outputs.begin);
    shapes.base_out[t] = static_cast<int32_t>(cut.outputs.size());
    if (shard.cuts_both_factors()) {
      if (SumsProducts(target)) {
        cut.outputs = PartOf(cut.outputs.size(), shard.index, shard.count);
        shapes.first_output[t] = static_cast<int32_t>(cut.outputs.begin);
      } else {
        shapes.cuts_rank[t] = true;
      }
    }
    shapes.in_begin[t] = static_cast<int32_t>(cut.inputs.begin);
    shapes.in[t] = static_cast<int32_t>(cut.inputs.size());
    shapes.out_begin[t] = static_cast<int32_t>(cut.outputs.begin);
    shapes.out[t] = static_cast<int32_t>(cut.outputs.size());
  }
  const Part words = VocabOf(whole, shard);
  shapes.head_begin = static_cast<int32_t>(words.begin);
  shapes.head = static_cast<int32_t>(words.size());
  Shard other = shard;
  for (other.index = 0; other.index < shard.count; ++other.index) {
    shapes.head_most = std::max(shapes.head_most, static_cast<int32_t>(VocabOf(whole, other).size()));
  }
  return shapes;
}

}  // namespace chorale
