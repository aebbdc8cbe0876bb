// kernel_lab: every CUDA kernel against plain float64 loops, and its speed against what the memory or the multipliers of
// the device at hand can do.
//
//   kernel_lab PART...   layers, products, attention, lora, sampling: checks; bench: kernels; step: whole steps; tune: a search
#include <cstring>

#include "cuda/lab.h"

namespace chorale::cuda {
namespace {

struct Part {
  const char* name;
  void (*run)(Lab&);
};
constexpr Part kParts[] = {{"layers", CheckLayerOps}, {"products", CheckGemm},       {"attention", CheckAttention},
                           {"lora", CheckLora},       {"sampling", CheckSampling},   {"bench", BenchKernels},
                           {"step", BenchStep},        {"tune", TuneStages}};

const Part* FindPart(const char* name) {
  for (const Part& part : kParts) {
    if (std::strcmp(part.name, name) == 0) return &part;
  }
  return nullptr;
}

}  // namespace
}  // namespace chorale::cuda

int main(int argc, char** argv) {
  using namespace chorale::cuda;
  for (int i = 1; i < argc; ++i) {
    if (FindPart(argv[i]) != nullptr) continue;
    std::fprintf(stderr, "kernel_lab: %s is no part; there are", argv[i]);
    for (const Part& part : kParts) std::fprintf(stderr, " %s", part.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  Lab lab;
  std::printf("%s, %d multiprocessors\n", lab.device.c_str(), lab.launcher.sm_count);
  for (int i = 1; i < argc; ++i) {
    const int32_t checks = lab.checks(), failures = lab.failures();
    FindPart(argv[i])->run(lab);
    std::printf("%-10s %3d checks, %d failed\n", argv[i], lab.checks() - checks, lab.failures() - failures);
    std::fflush(stdout);
  }
  return lab.failures() == 0 ? 0 : 1;
}
