#include <algorithm>

#include "kernels/layer_ops.h"
#include "kernels/lora_expand.cuh"

namespace chorale::cuda {
namespace {

// Computes   out = silu(gate) * up of a 16-bit product of many rows, both + B v (lora_expand.cuh) + bias
// Shapes     gate_up [T, 2 I] T, gate first; v as LoraShrink leaves it; out [T, I] T
// Grid       (I / 128 rounded up, groups x pieces of 64 rows): a warp has 32 columns of gate and the same of up, 16 rows at a
//            time, the product loaded to where the tensor cores leave B v: nothing is exchanged, and B stays in registers up
//            to rank 32
// Requires   I and the strides multiples of 8; bases 16-byte aligned; the groups cover all rows
// Bound by   bytes: 6 I a row
// Reference  cpu_reference.cc Gemm (LoRA part), SwiGlu
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(128, 4) SwiGluLoraKernel(const SwiGluArgs args, const LoraSiteArgs lora) {
  AllowSuccessor();
  const int32_t tile = static_cast<int32_t>(blockIdx.x);
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32, lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t col = tile * kLoraTile + warp * 32 + lane % 4 * 8;
  const T* product = static_cast<const T*>(args.gate_up.data) + col;
  LoraTileProduct<T> gate_part(lora, 0, tile), up_part(lora, 1, tile);
  __shared__ uint4 pieces[LaneRows<4>::kRounds][4][LaneRows<4>::kThreads];  // [round][2 row's half + gate, up]
  const LaneRows<4> ahead{pieces};
  ForEachLoraPiece(lora, kLoraPieces, false, [&](const LoraGroup& group, int32_t row_begin, int32_t row_end) {
    ahead.Ask(row_begin, row_end, [&](int32_t round, int32_t side, int32_t row) {
      if (col >= args.intermediate) return;
      const T* source = product + static_cast<int64_t>(group.row_begin + row) * args.gate_up.cols;
      ahead.Copy(round, side * 2, source);
      ahead.Copy(round, side * 2 + 1, source + args.intermediate);
    });
    gate_part.Begin(group);
    up_part.Begin(group);
    gate_part.LoadRows(group, row_begin);
    up_part.LoadRows(group, row_begin);
#pragma unroll 1
    for (int32_t row = row_begin, round = 0; row < row_end; row += 16, ++round) {
      float gates[4][4] = {}, ups[4][4] = {};
      gate_part.Add(group, row, gates);
      up_part.Add(group, row, ups);
      gate_part.LoadRows(group, row + 16);
      up_part.LoadRows(group, row + 16);
      ahead.Wait(round);
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t own = row + lane / 4 + side * 8;
        if (own >= row_end || col >= args.intermediate) continue;
        const uint4 gate8 = ahead.Read(round, side * 2), up8 = ahead.Read(round, side * 2 + 1);
        uint32_t out[4];
#pragma unroll
        for (int32_t pair = 0; pair < 4; ++pair) {  // columns 2 pair and 2 pair + 1 of 8
          const float2 gate2 = UnpackPair<T>((&gate8.x)[pair]), up2 = UnpackPair<T>((&up8.x)[pair]);
          float results[2];
#pragma unroll
          for (int32_t i = 0; i < 2; ++i) {
            const int32_t at = 2 * pair + i, place = side * 2 + at / 4;
            float gate = (i == 0 ? gate2.x : gate2.y) + gates[at % 4][place];
            float up = (i == 0 ? up2.x : up2.y) + ups[at % 4][place];
            if (args.bias != nullptr) {
              gate += args.bias[col + at];
              up += args.bias[args.intermediate + col + at];
            }
            results[i] = gate / (1.0f + __expf(-gate)) * up;
          }
          out[pair] = PackPair<T>(results[0], results[1]);
        }
        *reinterpret_cast<uint4*>(static_cast<T*>(args.out) + static_cast<int64_t>(group.row_begin + own) * args.out_stride +
                                  col) = {out[0], out[1], out[2], out[3]};
      }
    }
  });
}

}  // namespace

bool CanSwiGluLora(const SwiGluArgs& args) {
  return args.gate_up.half && args.intermediate % 8 == 0 && args.out_stride % 8 == 0 && args.gate_up.cols % 8 == 0;
}

void SwiGluLora(Launcher& launcher, Element element, const SwiGluArgs& args, int32_t groups_max, const LoraSiteArgs& lora) {
  const dim3 grid((args.intermediate + kLoraTile - 1) / kLoraTile, std::min(groups_max * kLoraPieces, 65535));
  WithElement(element,
              [&](auto type) { launcher.Launch(SwiGluLoraKernel<decltype(type)>, grid, dim3(128), 0, args, lora); });
}

}  // namespace chorale::cuda
