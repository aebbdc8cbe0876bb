// chorale_bench: whole steps through the engine, without Java and without a network.
//
//   chorale_bench (--image FILE | --shape NAME [--layers N] [--seed N]) [--backend cpu|cuda] [--batch N,..] [--context N]
//                 [--steps N] [--adapters N,..] [--rank N,..] [--targets q,k,v,o,gate,up,down] [--prefill N,..]
//                 [--prompts N] [--churn N] [--uploads N] [--upload-percent N] [--merge shadow|in_place] [--mode fast|reference]
//                 [--threads N] [--shards N] [--lora-sharding replicate|sharded] [--graphs 0|1] [--pool-bytes N]
//                 [--library-dir DIR] [--history FILE] [--commit TEXT]
//   chorale_bench --shape NAME --checkpoint FOLDER [...]
//
// For every batch and every number of adapters: that many sequences of `context` tokens decode greedily, two steps in
// flight, each row fed what the step before drew; rows of an adapter lie together, as the scheduler places them. Beside
// the time stands the floor: the bytes of weights, keys, values and adapters at the read bandwidth measured in the same
// run. --prefill times whole prompts; --prompts those of a whole batch with their adapters, so many times. --churn runs so
// many steps as a service has them: sequences with prompts of up to `context` tokens come, draw up to `steps` and go. --uploads
// stages that many adapters, times a prompt whose adapter comes with its step, and streams them all, at a percentage of
// the measured peak, while the first batch decodes. --merge times merging the first adapter and taking it out again. With
// --image adapters are those of the image; with --shape weights and adapters are random. --checkpoint measures how fast
// weights come from files instead of all that.
#include "tools/bench.h"
#include "tools/bench_checkpoint.h"

int main(int argc, char** argv) {
  const chorale::BenchOptions options = chorale::BenchOptions::Parse(argc, argv);
  if (!options.checkpoint.empty()) {
    chorale::MeasureCheckpoint(options);
  } else {
    chorale::Bench(options).Run();
  }
  return 0;
}
