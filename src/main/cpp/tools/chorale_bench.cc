// chorale_bench: whole steps through the engine, without Java and without a network.
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
