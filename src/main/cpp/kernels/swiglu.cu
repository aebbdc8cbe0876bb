#include "kernels/common.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 128;

// Computes   out = silu(gate) * up, both the sums of their partials plus bias; silu(x) = x / (1 + exp(-x))
// Shapes     gate_up Product [T, 2 I], gate first; out [T, I] T
// Grid       (I / 512 rounded up, T); a thread owns 4 columns
// Requires   I a multiple of 8; bases 16-byte aligned
// Bound by   bytes: (8 partials + 2) I a row, in L2 at decode
// Reference  cpu_reference.cc SwiGlu
template <typename T>
__global__ void __launch_bounds__(kThreads) SwiGluKernel(const SwiGluArgs args) {
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t col = (static_cast<int32_t>(blockIdx.x) * kThreads + static_cast<int32_t>(threadIdx.x)) * 4;
  if (col >= args.intermediate) return;
  const int64_t row = blockIdx.y;
  const int32_t up_col = args.intermediate + col;
  float4 gate = LoadProduct4<T>(args.gate_up, row, col);
  float4 up = LoadProduct4<T>(args.gate_up, row, up_col);
  if (args.bias != nullptr) {
    const float4 g = *reinterpret_cast<const float4*>(args.bias + col);
    const float4 u = *reinterpret_cast<const float4*>(args.bias + up_col);
    gate = {gate.x + g.x, gate.y + g.y, gate.z + g.z, gate.w + g.w};
    up = {up.x + u.x, up.y + u.y, up.z + u.z, up.w + u.w};
  }
  const auto product = [](float g, float u) { return g / (1.0f + __expf(-g)) * u; };
  T* out = static_cast<T*>(args.out) + row * args.intermediate + col;
  *reinterpret_cast<uint2*>(out) = {PackPair<T>(product(gate.x, up.x), product(gate.y, up.y)),
                                    PackPair<T>(product(gate.z, up.z), product(gate.w, up.w))};
}

}  // namespace

void SwiGlu(Launcher& launcher, Element element, int32_t rows, const SwiGluArgs& args) {
  const dim3 grid((args.intermediate + kThreads * 4 - 1) / (kThreads * 4), rows);
  WithElement(element, [&](auto type) {
    launcher.Launch(SwiGluKernel<decltype(type)>, grid, dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
