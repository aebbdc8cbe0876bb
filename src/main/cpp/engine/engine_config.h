// EngineConfig: the settings of ch_engine_create, checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "shard/shard.h"
#include "weights/merge.h"

namespace chorale {

struct EngineConfig {
  std::string backend = "cpu";
  std::string mode = "fast";  // or reference, which $CHORALE_CPU=reference forces
  std::string merge = "auto";  // or shadow, in_place
  std::string record_dir;
  std::string library_dir;
  int64_t threads = 0;
  int64_t pool_bytes = 0;
  int64_t page_count = 0;
  int64_t page_tokens = 0;
  int64_t slots_max = 256;
  int64_t scratch_max = 256;
  int64_t rows_max = 4096;
  int64_t sequences_max = 512;
  int64_t samples_max = 512;
  int64_t poison = 0;
  int64_t graphs = 1;
  int64_t record_steps = 64;
  int64_t shards = 1;
  std::string lora_sharding = "replicate";  // or sharded

  // Lines "key=value\n"; unknown keys and values out of range are refused by name.
  static Result<EngineConfig> Parse(std::string_view text);
  bool reference() const { return mode == "reference"; }
  MergeWay merge_way() const {
    return merge == "shadow" ? MergeWay::kShadow : merge == "in_place" ? MergeWay::kInPlace : MergeWay::kEither;
  }
  LoraSharding sharding() const {
    return lora_sharding == "sharded" ? LoraSharding::kSharded : LoraSharding::kReplicate;
  }
};

}  // namespace chorale
