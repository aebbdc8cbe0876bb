#include "kernels/common.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;

// Computes   residual[t] = table[id(t)], id(t) = ids[t] or, when that is negative, drawn[-ids[t] - 1];
//            rotation[t][i] = (cos, sin)(positions[t] * inv_freq[i]) * magnitude, the angle rounded to float
// Shapes     table [V, H] T; residual [T, H] f32; rotation [T, P] f32 x 2
// Grid       one block a row; a thread owns 8 columns at a time, then one rotary pair at a time
// Shared     none
// Requires   H and table_stride multiples of 8, all bases 16-byte aligned
// Bound by   bytes: 6 H + 8 P a row; at decode by launch latency
// Reference  cpu_reference.cc Embed, and the angles of cpu_backend.cc
// Measured   not by itself: one launch a step
template <typename T>
__global__ void __launch_bounds__(kThreads) EmbedKernel(const EmbedArgs args) {
  if (!args.beside_plan) AllowSuccessor();
  const int64_t row = blockIdx.x;
  const float position = static_cast<float>(args.rows.positions[row]);
  int32_t id = args.rows.token_ids[row];
  if (!args.beside_plan) WaitForPredecessor();
  if (id < 0) id = max(0, args.drawn[-id - 1]);  // a draw of -1 was none: what is fed in its name is thrown away
  const T* source = static_cast<const T*>(args.table) + id * args.table_stride;
  float* target = args.residual + row * args.hidden;
  for (int32_t col = static_cast<int32_t>(threadIdx.x) * 8; col < args.hidden; col += kThreads * 8) {
    const uint4 packed = *reinterpret_cast<const uint4*>(source + col);
    const float2 v0 = UnpackPair<T>(packed.x), v1 = UnpackPair<T>(packed.y);
    const float2 v2 = UnpackPair<T>(packed.z), v3 = UnpackPair<T>(packed.w);
    *reinterpret_cast<float4*>(target + col) = {v0.x, v0.y, v1.x, v1.y};
    *reinterpret_cast<float4*>(target + col + 4) = {v2.x, v2.y, v3.x, v3.y};
  }
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < args.rotary_pairs; i += kThreads) {
    float sine, cosine;
    sincosf(position * args.inv_freq[i], &sine, &cosine);
    args.rotation[row * args.rotary_pairs + i] = {cosine * args.rope_magnitude, sine * args.rope_magnitude};
  }
  if (args.beside_plan) {
    WaitForPredecessor();
    AllowSuccessor();
  }
}

// Computes   out[i] = x[rows[i]]
// Shapes     x [T, cols], out [count, cols], 16-bit elements; cols a multiple of 8
// Grid       one block a row of out; a thread owns 8 columns at a time
// Bound by   bytes: 4 cols a row; by launch latency
__global__ void __launch_bounds__(kThreads) GatherRowsKernel(const uint4* x, const int32_t* rows, int32_t chunks,
                                                             uint4* out) {
  AllowSuccessor();
  const int64_t source = rows[blockIdx.x];
  WaitForPredecessor();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < chunks; i += kThreads) {
    out[static_cast<int64_t>(blockIdx.x) * chunks + i] = x[source * chunks + i];
  }
}

// Computes   product partial 0 = the sum of its partials + LoRA part + bias
// Grid       one block a row; a thread owns 4 columns at a time
// Bound by   bytes; for looking at intermediate results, not for serving
__global__ void __launch_bounds__(kThreads) CollapseProductKernel(const Product product, const float* bias) {
  AllowSuccessor();
  WaitForPredecessor();
  const int64_t row = blockIdx.x;
  for (int32_t col = static_cast<int32_t>(threadIdx.x) * 4; col < product.cols; col += kThreads * 4) {
    float values[4];
    LoadProduct<bf16, 4>(product, row, col, values);  // float32, so the type does not matter
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      product.floats()[row * product.cols + col + i] = values[i] + (bias != nullptr ? bias[col + i] : 0.0f);
    }
  }
}

}  // namespace

void CollapseProduct(Launcher& launcher, int32_t rows, const Product& product, const float* bias) {
  launcher.Launch(CollapseProductKernel, dim3(rows), dim3(kThreads), 0, product, bias);
}

void Embed(Launcher& launcher, Element element, int32_t rows, const EmbedArgs& args) {
  WithElement(element, [&](auto type) {
    launcher.Launch(EmbedKernel<decltype(type)>, dim3(rows), dim3(kThreads), 0, args);
  });
}

void GatherRows(Launcher& launcher, const void* x, const int32_t* rows, int32_t count, int32_t cols, void* out) {
  launcher.Launch(GatherRowsKernel, dim3(count), dim3(kThreads), 0, static_cast<const uint4*>(x), rows, cols / 8,
                  static_cast<uint4*>(out));
}

}  // namespace chorale::cuda
