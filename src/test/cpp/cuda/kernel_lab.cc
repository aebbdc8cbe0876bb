// kernel_lab: every CUDA kernel against plain float64 loops, and its speed against what the memory or the multipliers of
// the device at hand can do.
//
//   kernel_lab [--history FILE] [--commit NAME] [--batch N] [--shards N] PART...
//
// PART: layers, products, attention, lora, plan (its tables), forms, sampling, exchange, uneven (two devices): checks; bench, forms_bench:
// kernels; step: whole steps, of one batch and without prompts if it is given; sites: LoRA at one site of a layer alone, of that batch too; with
// --shards steps of what one of so many devices has of the shape; sums: sums over two devices
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/lab.h"

namespace chorale::cuda {
namespace {

struct Part {
  const char* name;
  void (*run)(Lab&);
};
constexpr Part kParts[] = {{"layers", CheckLayerOps}, {"products", CheckGemm},  {"many", CheckMany},       {"attention", CheckAttention},
                           {"lora", CheckLora},       {"plan", CheckLoraPlan},       {"forms", CheckForms},         {"sampling", CheckSampling},
                           {"exchange", CheckExchange}, {"uneven", CheckUneven}, {"bench", BenchKernels},     {"forms_bench", BenchForms},
                           {"step", BenchStep},       {"prefill", BenchPrefills}, {"many_bench", BenchMany}, {"sites", BenchLoraSites}, {"sums", BenchExchange}};

const Part* FindPart(const char* name) {
  for (const Part& part : kParts) {
    if (std::strcmp(part.name, name) == 0) return &part;
  }
  return nullptr;
}

// The value of an option; ends the program if it is not from 1 to `most`.
int32_t NumberOf(const char* option, const char* text, int32_t most) {
  char* end = nullptr;
  const int64_t number = std::strtol(text, &end, 10);
  if (number < 1 || number > most || *end != '\0') {
    std::fprintf(stderr, "kernel_lab: %s %s is not from 1 to %d\n", option, text, most);
    std::exit(2);
  }
  return static_cast<int32_t>(number);
}

}  // namespace
}  // namespace chorale::cuda

int main(int argc, char** argv) {
  setenv("CUDA_MODULE_LOADING", "EAGER", 0);  // while a kernel waits for another shard's, none can be loaded
  using namespace chorale::cuda;
  std::string file, commit = "unknown";
  std::string command = "kernel_lab";  // as recorded: what was measured, not where the program and the record lie
  std::vector<const Part*> parts;
  int32_t batch = 0, shards = 1;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--history") == 0 && has_value) {
      file = argv[++i];
    } else if (std::strcmp(argv[i], "--commit") == 0 && has_value) {
      commit = argv[++i];
    } else if (std::strcmp(argv[i], "--batch") == 0 && has_value) {
      batch = NumberOf("--batch", argv[++i], kStreamRowsMax);
      command += " --batch " + std::to_string(batch);
    } else if (std::strcmp(argv[i], "--shards") == 0 && has_value) {
      shards = NumberOf("--shards", argv[++i], 8);
      if ((shards & (shards - 1)) != 0) {
        std::fprintf(stderr, "kernel_lab: --shards %d is not 1, 2, 4 or 8\n", shards);
        return 2;
      }
      command += " --shards " + std::to_string(shards);
    } else if (const Part* part = FindPart(argv[i]); part != nullptr) {
      parts.push_back(part);
      command += std::string(" ") + part->name;
    } else {
      std::fprintf(stderr, "kernel_lab: %s is no part; there are", argv[i]);
      for (const Part& known : kParts) std::fprintf(stderr, " %s", known.name);
      std::fprintf(stderr, ", and before them --history FILE, --commit NAME, --batch N, --shards N\n");
      return 2;
    }
  }
  Lab lab;
  lab.batch = batch, lab.shards = shards;
  if (!file.empty()) lab.history = std::make_unique<chorale::History>(file, command, commit, lab.device);
  std::printf("%s, %d multiprocessors\n", lab.device.c_str(), lab.launcher.sm_count);
  for (const Part* part : parts) {
    const int32_t checks = lab.checks(), failures = lab.failures();
    part->run(lab);
    std::printf("%-10s %3d checks, %d failed\n", part->name, lab.checks() - checks, lab.failures() - failures);
    std::fflush(stdout);
  }
  return lab.failures() == 0 ? 0 : 1;
}
