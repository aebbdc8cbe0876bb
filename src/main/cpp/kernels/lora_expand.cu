#include "kernels/lora_expand.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 128;

// Computes   y += B v (lora_expand.cuh), into the first partial of y
// Shapes     v as LoraShrink leaves it; B in tiles of 128 outputs, [rank][128] T; y Product
// Grid       (tiles of all targets, groups): a warp has 32 outputs, 16 rows at a time
// Bound by   bytes: 8 for each row and output (4 where y has 16 bits); 2 for each rank and output, once for 64 rows
// Reference  cpu_reference.cc Gemm (LoRA part)
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraExpandKernel(const LoraSiteArgs args) {
  AllowSuccessor();
  int32_t target = 0, tile = static_cast<int32_t>(blockIdx.x), first = 0;  // of which target; its first column in y
  int32_t outputs = args.outputs[0];
#pragma unroll
  for (int32_t t = 0; t + 1 < kLoraSiteTargets; ++t) {
    const int32_t tiles = (outputs + kLoraTile - 1) / kLoraTile;
    if (target != t || tile < tiles) continue;
    tile -= tiles;
    first += outputs;
    outputs = args.outputs[t + 1];
    target = t + 1;
  }
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t col = tile * kLoraTile + static_cast<int32_t>(threadIdx.x) / 32 * 32 + lane % 4 * 8;  // of the target
  const bool whole = col + 8 <= outputs && args.y.cols % 8 == 0 && first % 8 == 0;
  const int32_t groups = *args.group_count;
  LoraTileProduct<T> product(args, target, tile);
  bool waited = false;
#pragma unroll 1
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups; index += static_cast<int32_t>(gridDim.y)) {
    const LoraGroup group = args.groups[index];
    if (group.use_begin == group.use_end) continue;
    product.Begin(group);
    if (!waited) WaitForPredecessor();
    waited = true;
#pragma unroll 1
    for (int32_t row = 0; row < group.row_count; row += 16) {
      float d[4][4] = {};
      product.Add(group, row, d);
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t own = row + lane / 4 + side * 8;
        if (own >= group.row_count) continue;
        const int64_t at = static_cast<int64_t>(group.row_begin + own) * args.y.cols + first + col;
        float sums[8];
#pragma unroll
        for (int32_t i = 0; i < 8; ++i) sums[i] = d[i % 4][side * 2 + i / 4];
        if (args.y.half && whole) {
          uint4* place = reinterpret_cast<uint4*>(static_cast<T*>(args.y.data) + at);
          uint4 old = *place;
          uint32_t* words = &old.x;
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            const float2 pair = UnpackPair<T>(words[i]);
            words[i] = PackPair<T>(pair.x + sums[2 * i], pair.y + sums[2 * i + 1]);
          }
          *place = old;
        } else if (whole) {
          float4* place = reinterpret_cast<float4*>(args.y.floats() + at);
#pragma unroll
          for (int32_t i = 0; i < 2; ++i) {
            const float4 old = place[i];
            place[i] = {old.x + sums[4 * i], old.y + sums[4 * i + 1], old.z + sums[4 * i + 2], old.w + sums[4 * i + 3]};
          }
        } else {
#pragma unroll
          for (int32_t i = 0; i < 8; ++i) {
            if (col + i >= outputs) break;
            if (args.y.half) {
              T& y = static_cast<T*>(args.y.data)[at + i];
              y = FromFloat<T>(ToFloat(y) + sums[i]);
            } else {
              args.y.floats()[at + i] += sums[i];
            }
          }
        }
      }
    }
  }
  if (!waited) WaitForPredecessor();
}

}  // namespace

void LoraExpand(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  int32_t tiles = 0;
  for (int32_t t = 0; t < args.targets; ++t) tiles += (args.outputs[t] + kLoraTile - 1) / kLoraTile;
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraExpandKernel<decltype(type)>, dim3(tiles, groups_max), dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
