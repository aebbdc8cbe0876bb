// The kernels in what every processor has: vectors that the compiler takes apart, multiply and add rounded separately.
#define CHORALE_KERNELS kPortableKernels
#define CHORALE_KERNELS_NAME "portable"
#define CHORALE_LANES 8
#define CHORALE_ROW_BLOCK 2
#include "backend/cpu/kernels.inc"

namespace chorale {

const CpuKernels& ChooseKernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return kAvx512Kernels;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2Kernels;
#endif
  return kPortableKernels;
}

}  // namespace chorale
