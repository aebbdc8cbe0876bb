// How a model and its adapters are cut into shards.
//
// q, k, v, gate and up are cut by outputs (whole heads), o and down by inputs: the shards' products of o and down are
// summed. Where there are fewer key/value heads than shards, several shards hold the same one. The embedding is whole
// everywhere, since a row of it is all that is read; the head is cut by outputs.
#pragma once

#include <span>
#include <string>

#include "chorale/image_abi.h"
#include "memory/page_layout.h"
#include "shard/shard.h"

namespace chorale {

// Whether the model can be cut into so many; if not, what does not divide and which numbers would do.
Status CheckShards(const ModelSpec& whole, int32_t shards, LoraSharding lora);

// The model that one shard computes: its heads and its part of the MLP.
ModelSpec ShardSpec(const ModelSpec& whole, const Shard& shard);

// Of o and down: the linears that are cut by inputs.
inline bool SumsProducts(Target target) { return target == kO || target == kDown; }

// What a shard holds of a linear: a rectangle of the whole weight, and of the whole bias.
struct LinearCut {
  Part outputs;
  Part inputs;
  bool has_bias = true;  // where products are summed, one shard's is enough
};
LinearCut CutOf(const ModelSpec& whole, const Shard& shard, Target target);

// The rows of the head that a shard computes: whole blocks of kVocabBlock, so that they begin where vectors do. Few
// words and many shards leave some with none.
inline constexpr int64_t kVocabBlock = 32;
Part VocabOf(const ModelSpec& whole, const Shard& shard);

// The pool has as many pages as the shard with the least room. What a person should know of that, beginning with "; ", or
// nothing: pages[i] is what shard i has room for.
std::string UnequalPages(std::span<const int64_t> pages);

// What a shard holds of the factors of an adapter.
LinearShapes ShapesOf(const ModelSpec& whole, const Shard& shard);

}  // namespace chorale
