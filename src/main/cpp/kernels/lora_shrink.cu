#include "kernels/lora_unit.cuh"

namespace chorale::cuda {
namespace {

// Computes   v = A x (lora_unit.cuh)
// Shapes     x [T, K] T; A in tiles of 128 inputs, [rank][128] T; v float32
// Grid       (K / 512 rounded up, groups): one unit a block
// Shared     4 KiB
// Requires   rows of x are multiples of 8 elements and 16-byte aligned
// Bound by   bytes: 2 K for each rank of each adapter in use
// Reference  cpu_reference.cc Gemm (LoRA part)
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kLoraWarps * 32) LoraShrinkKernel(const LoraSiteArgs args) {
  __shared__ LoraScratch scratch;
  AllowSuccessor();
  const int32_t groups = *args.group_count;
  WaitForPredecessor();
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups; index += static_cast<int32_t>(gridDim.y)) {
    LoraShrinkUnit<T>(args, index, static_cast<int32_t>(blockIdx.x), static_cast<int32_t>(threadIdx.x) / 32, scratch, 1);
  }
}

}  // namespace

void LoraShrink(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraShrinkKernel<decltype(type)>, dim3(LoraSplits(args.columns), groups_max), dim3(kLoraWarps * 32),
                    0, args);
  });
}

}  // namespace chorale::cuda
