#include "kernels/lora_unit.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;

// Computes   y += B v (lora_unit.cuh), into the first partial of y
// Shapes     v as LoraShrink leaves it; B in tiles of 128 outputs, [rank][128] T; y Product
// Grid       (tiles of all targets in groups of 8, groups): one unit a warp
// Shared     none
// Bound by   bytes: 2 for each rank and output of each adapter in use, and 8 for each row and output (y, in L2)
// Reference  cpu_reference.cc Gemm (LoRA part)
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kWarps * 32) LoraExpandKernel(const LoraSiteArgs args) {
  AllowSuccessor();
  const LoraOutputTile place =
      FindLoraTile(args, static_cast<int32_t>(blockIdx.x) * kWarps + static_cast<int32_t>(threadIdx.x) / 32);
  const int32_t groups = *args.group_count;
  WaitForPredecessor();
  if (place.target < 0) return;
  const int32_t first = place.col + place.tile * kLoraTile;
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups; index += static_cast<int32_t>(gridDim.y)) {
    LoraExpandUnit<T>(args, args.groups[index], place, [&](int32_t row, int32_t col, const float (&sums)[8]) {
      const int64_t at = static_cast<int64_t>(row) * args.y.cols + first + col;
#pragma unroll
      for (int32_t i = 0; i < 8; ++i) {
        if (col + i >= place.used) break;
        if (args.y.half) {
          T& y = static_cast<T*>(args.y.data)[at + i];
          y = FromFloat<T>(ToFloat(y) + sums[i]);
        } else {
          args.y.floats()[at + i] += sums[i];
        }
      }
    });
  }
}

}  // namespace

void LoraExpand(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  int32_t tiles = 0;
  for (int32_t t = 0; t < args.targets; ++t) tiles += (args.outputs[t] + kLoraTile - 1) / kLoraTile;
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraExpandKernel<decltype(type)>, dim3((tiles + kWarps - 1) / kWarps, groups_max), dim3(kWarps * 32),
                    0, args);
  });
}

}  // namespace chorale::cuda
