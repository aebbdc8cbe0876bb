#include <algorithm>

#include "kernels/lora_expand.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 128;

// Computes   y += B v (lora_expand.cuh), into the first partial of y
// Shapes     v as LoraShrink leaves it; B in tiles of 128 outputs, [rank][128] T; y Product
// Grid       (tiles of all targets, groups x pieces of 64 rows): a warp has 32 outputs, 16 rows at a time
// Bound by   bytes: 8 for each row and output (4 where y has 16 bits); 2 for each rank and output, once for 64 rows
// Reference  cpu_reference.cc Gemm (LoRA part)
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraExpandKernel(const LoraSiteArgs args) {
  AllowSuccessor();
  const LoraTargetTile mine(args.outputs, static_cast<int32_t>(blockIdx.x), args.first_output);
  const int32_t first = mine.first, outputs = mine.outputs;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t col = mine.tile * kLoraTile + static_cast<int32_t>(threadIdx.x) / 32 * 32 + lane % 4 * 8;  // of the target
  const bool whole = col + 8 <= outputs && args.y.cols % 8 == 0 && first % 8 == 0;
  LoraTileProduct<T> product(args, mine.target, mine.tile);
  __shared__ uint4 pieces[LaneRows<4>::kRounds][4][LaneRows<4>::kThreads];  // [round][2 row's half + i]
  const LaneRows<4> ahead{pieces};
  ForEachLoraPiece(args, args.pieces, true, [&](const LoraGroup& group, int32_t row_begin, int32_t row_end) {
    const auto at = [&](int32_t row) { return static_cast<int64_t>(group.row_begin + row) * args.y.cols + first + col; };
    ahead.Ask(row_begin, row_end, [&](int32_t round, int32_t side, int32_t row) {
      if (!whole) return;
      if (args.y.half) {
        ahead.Copy(round, side * 2, static_cast<const T*>(args.y.data) + at(row));
      } else {
        ahead.Copy(round, side * 2, args.y.floats() + at(row));
        ahead.Copy(round, side * 2 + 1, args.y.floats() + at(row) + 4);
      }
    });
    product.Begin(group);
    product.LoadRows(group, row_begin);
#pragma unroll 1
    for (int32_t row = row_begin, round = 0; row < row_end; row += 16, ++round) {
      float d[4][4] = {};
      product.Add(group, row, d);
      product.LoadRows(group, row + 16);
      ahead.Wait(round);
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t own = row + lane / 4 + side * 8;
        if (own >= row_end) continue;
        const int64_t place = at(own);
        float sums[8];
#pragma unroll
        for (int32_t i = 0; i < 8; ++i) sums[i] = d[i % 4][side * 2 + i / 4];
        if (args.y.half && whole) {
          uint4 old = ahead.Read(round, side * 2);
          uint32_t* words = &old.x;
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            const float2 pair = UnpackPair<T>(words[i]);
            words[i] = PackPair<T>(pair.x + sums[2 * i], pair.y + sums[2 * i + 1]);
          }
          *reinterpret_cast<uint4*>(static_cast<T*>(args.y.data) + place) = old;
        } else if (whole) {
#pragma unroll
          for (int32_t i = 0; i < 2; ++i) {
            const uint4 four = ahead.Read(round, side * 2 + i);
            *reinterpret_cast<float4*>(args.y.floats() + place + 4 * i) = {
                __uint_as_float(four.x) + sums[4 * i], __uint_as_float(four.y) + sums[4 * i + 1],
                __uint_as_float(four.z) + sums[4 * i + 2], __uint_as_float(four.w) + sums[4 * i + 3]};
          }
        } else {
#pragma unroll
          for (int32_t i = 0; i < 8; ++i) {
            if (col + i >= outputs) break;
            if (args.y.half) {
              T& y = static_cast<T*>(args.y.data)[place + i];
              y = FromFloat<T>(ToFloat(y) + sums[i]);
            } else {
              args.y.floats()[place + i] += sums[i];
            }
          }
        }
      }
    }
  });
}

}  // namespace

void LoraExpand(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  const int32_t tiles = LoraTilesOf(args.outputs, args.targets);
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraExpandKernel<decltype(type)>, dim3(tiles, std::min(groups_max * args.pieces, 65535)), dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
