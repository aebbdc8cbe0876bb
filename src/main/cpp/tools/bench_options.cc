#include "tools/bench_options.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/status.h"
#include "shard/shard.h"

namespace chorale {
namespace {

constexpr const char* kUsage = R"(usage:
chorale_bench (--image FILE | --shape NAME [--layers N] [--seed N]) [--backend cpu|cuda] [--batch N,..] [--context N]
              [--steps N] [--adapters N,..] [--rank N,..] [--targets q,k,v,o,gate,up,down] [--prefill N,..]
              [--prompts N] [--churn N] [--uploads N] [--upload-percent N] [--merge shadow|in_place] [--mode fast|reference]
              [--threads N] [--shards N] [--lora-sharding replicate|sharded] [--graphs 0|1] [--pool-bytes N]
              [--library-dir DIR] [--history FILE] [--commit TEXT]
chorale_bench --shape NAME --checkpoint FOLDER [...]

For every batch and every number of adapters: that many sequences of `context` tokens decode greedily, two steps in
flight, each row fed what the step before drew; rows of an adapter lie together, as the scheduler places them. Beside
the time stands the floor: the bytes of weights, keys, values and adapters at the read bandwidth measured in the same
run. --prefill times whole prompts; --prompts those of a whole batch with their adapters, so many times. --churn runs so
many steps as a service has them: sequences with prompts of up to `context` tokens come, draw up to `steps` and go. --uploads
stages that many adapters, times a prompt whose adapter comes with its step, and streams them all, at a percentage of
the measured peak, while the first batch decodes. --merge times merging the first adapter and taking it out again. With
--image adapters are those of the image; with --shape weights and adapters are random. --checkpoint measures how fast
weights come from files instead of all that.
)";

constexpr const char* kTargetNames[kTargets] = {"q", "k", "v", "o", "gate", "up", "down"};

std::vector<std::string> Pieces(const std::string& text) {
  std::vector<std::string> pieces;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    pieces.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return pieces;
}

int64_t Number(const std::string& name, const std::string& value) {
  char* end = nullptr;
  const int64_t number = std::strtoll(value.c_str(), &end, 10);
  if (value.empty() || *end != '\0' || number < 0) Fail(name + " " + value + " is not a whole number");
  return number;
}

std::vector<int64_t> Numbers(const std::string& name, const std::string& value) {
  std::vector<int64_t> numbers;
  for (const std::string& piece : Pieces(value)) numbers.push_back(Number(name, piece));
  return numbers;
}

std::vector<Target> Targets(const std::string& value) {
  std::vector<Target> targets;
  for (const std::string& piece : Pieces(value)) {
    const auto* found = std::find(std::begin(kTargetNames), std::end(kTargetNames), piece);
    if (found == std::end(kTargetNames)) Fail("--targets " + value + ": " + piece + " is none of q,k,v,o,gate,up,down");
    targets.push_back(static_cast<Target>(found - kTargetNames));
  }
  return targets;
}

}  // namespace

void Fail(const std::string& message) {
  std::fprintf(stderr, "chorale_bench: %s\n", message.c_str());
  std::exit(1);
}

BenchOptions BenchOptions::Parse(int argc, char** argv) {
  BenchOptions options;
  const std::map<std::string, std::string*> texts = {
      {"--image", &options.image},     {"--shape", &options.shape},     {"--backend", &options.backend},
      {"--mode", &options.mode},       {"--history", &options.history}, {"--library-dir", &options.library_dir},
      {"--commit", &options.commit},   {"--merge", &options.merge},     {"--checkpoint", &options.checkpoint},
      {"--lora-sharding", &options.lora_sharding}};
  const std::map<std::string, int64_t*> numbers = {
      {"--seed", &options.seed},       {"--layers", &options.layers},   {"--threads", &options.threads},
      {"--graphs", &options.graphs},   {"--context", &options.context}, {"--steps", &options.steps},
      {"--uploads", &options.uploads}, {"--prompts", &options.prompts}, {"--churn", &options.churn},
      {"--shards", &options.shards},   {"--pool-bytes", &options.pool_bytes},
      {"--upload-percent", &options.upload_percent}};
  const std::map<std::string, std::vector<int64_t>*> lists = {{"--batch", &options.batches},
                                                              {"--adapters", &options.adapters},
                                                              {"--rank", &options.ranks},
                                                              {"--prefill", &options.prefills}};
  options.targets = {kQ, kK, kV, kO, kGate, kUp, kDown};
  options.command = "chorale_bench";
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (i + 1 == argc) Fail(name + " needs a value, or is not an option");
    const std::string value = argv[++i];
    if (name != "--history" && name != "--commit" && name != "--library-dir") {
      // What was measured, not where it lay.
      const bool image = name == "--image";
      options.command += " " + name + " ";
      options.command += name == "--checkpoint" ? "FOLDER" : image ? value.substr(value.rfind('/') + 1) : value;
    }
    if (const auto text = texts.find(name); text != texts.end()) {
      *text->second = value;
    } else if (const auto number = numbers.find(name); number != numbers.end()) {
      *number->second = Number(name, value);
    } else if (const auto list = lists.find(name); list != lists.end()) {
      *list->second = Numbers(name, value);
    } else if (name == "--targets") {
      options.targets = Targets(value);
    } else {
      Fail(name + " is not an option");
    }
  }
  const auto all_from_one = [](const std::vector<int64_t>& values) {
    return std::all_of(values.begin(), values.end(), [](int64_t value) { return value >= 1; });
  };
  if (!all_from_one(options.batches) || !all_from_one(options.ranks) || !all_from_one(options.prefills)) {
    Fail("--batch, --rank and --prefill are at least 1");
  }
  if (!options.merge.empty() && options.merge != "shadow" && options.merge != "in_place") {
    Fail("--merge " + options.merge + " is neither shadow nor in_place");
  }
  if (options.context < 1 || options.steps < 1) Fail("--context and --steps are at least 1");
  if (options.churn > 0 && options.churn < 16) Fail("--churn is at least 16");
  if (options.shards < 1 || options.shards > kShardsMax) Fail(Format("--shards is not in [1, %d]", kShardsMax));
  if (options.lora_sharding != "replicate" && options.lora_sharding != "sharded") {
    Fail("--lora-sharding " + options.lora_sharding + " is neither replicate nor sharded");
  }
  return options;
}

}  // namespace chorale
