// What chorale_bench measures: its command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chorale/image_abi.h"

namespace chorale {

struct BenchOptions {
  std::string image;             // empty: a model of `shape` with random weights
  std::string shape = "fable";
  int64_t layers = 0;            // of the shape's; 0: all
  int64_t seed = 1;
  std::string backend = "cpu", mode = "fast", library_dir;
  int64_t threads = 0, graphs = 1, pool_bytes = 0;
  int64_t shards = 1;
  std::string lora_sharding = "replicate";
  std::vector<int64_t> batches = {1};    // sequences that decode
  std::vector<int64_t> adapters = {0};   // distinct ones in the batch
  std::vector<int64_t> ranks = {16};     // of adapter i: ranks[i % size]
  std::vector<Target> targets;           // of random adapters; all seven by default
  std::vector<int64_t> prefills;         // prompts to time, tokens
  int64_t context = 32;                  // tokens that each sequence has when decoding begins
  int64_t steps = 64;
  int64_t prompts = 0;                   // times that the prompts of a whole batch are computed; 0: never
  int64_t churn = 0;                     // steps in which the streams of a batch come and go; 0: none
  int64_t uploads = 0;                   // adapters to stream while a batch decodes; 0: none
  std::string merge;                     // shadow or in_place: merging the first adapter is timed; empty: it is not
  int64_t upload_percent = 85;           // of the measured peak
  std::string checkpoint;                // folder for weights on the disk, whose loading is measured; empty: it is not
  std::string history, commit, command;  // file to append to; empty: none

  // Ends the process with a sentence when an option is wrong.
  static BenchOptions Parse(int argc, char** argv);
};

[[noreturn]] void Fail(const std::string& message);

}  // namespace chorale
