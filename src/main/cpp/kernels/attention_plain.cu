#include "kernels/attention.h"
#include "kernels/common.cuh"
#include "kernels/kv_layout.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 128;
constexpr int32_t kWarps = kThreads / 32;
constexpr int32_t kHeadDimMax = 512;

__device__ __forceinline__ float BlockMax(float x, float* scratch) {
#pragma unroll
  for (int32_t mask = 16; mask > 0; mask >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  x = scratch[0];
#pragma unroll
  for (int32_t i = 1; i < kWarps; ++i) x = fmaxf(x, scratch[i]);
  __syncthreads();
  return x;
}

// Computes   out[row, head] = softmax(scale * q.k) v over the keys that the row sees: any head size, any group
// Shapes     as AttentionDecode
// Grid       a block takes one row and query head; keys 128 at a time, a thread one key for the scores and then up to
//            four dims for the values
// Shared     q, 128 probabilities
// Requires   head_dim at most 512
// Bound by   nothing near a roof: the plain form, for head sizes without a tensor-core kernel
// Reference  cpu_reference.cc Attention
// Measured   not: its speed is not what it is for
template <typename T>
__global__ void __launch_bounds__(kThreads) AttentionPlainKernel(const AttentionArgs args) {
  __shared__ float query[kHeadDimMax];
  __shared__ float p[kThreads];
  __shared__ const T* token_values[kThreads];  // the head's values of the page that holds the key
  __shared__ int32_t token_in_page[kThreads];
  __shared__ float scratch[32];
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int64_t row = blockIdx.x;
  const int32_t head = static_cast<int32_t>(blockIdx.y);
  const KvPages& kv = args.kv;
  const int32_t dims = kv.head_dim;
  const int32_t kv_head = head / (args.heads / kv.kv_heads);
  const int32_t position = args.positions[row];
  const int32_t* pages = args.page_ids + args.page_start[args.sequence[row]];
  WaitForPredecessor();

  const int64_t place = (row * args.heads + head) * dims;
  for (int32_t d = tid; d < dims; d += kThreads) query[d] = ToFloat(static_cast<const T*>(args.q)[place + d]);
  float out[kHeadDimMax / kThreads] = {};
  float m = -INFINITY, l = 0.0f;
  const int32_t first_key = args.window > 0 ? max(0, position + 1 - args.window) : 0;
  for (int32_t key0 = first_key; key0 <= position; key0 += kThreads) {
    __syncthreads();
    const int32_t key = key0 + tid;
    float score = -INFINITY;
    if (key <= position) {
      const T* page = reinterpret_cast<const T*>(kv.slices + pages[key / kv.page_tokens] * kv.page_bytes);
      const T* k = page + KvHeadOffset(kv, false, kv_head);
      const int32_t token = key % kv.page_tokens;
      score = 0.0f;
      for (int32_t d = 0; d < dims; ++d) score += query[d] * ToFloat(k[KvOffsetInHead(kv, token, d)]);
      score *= args.scale;
      token_values[tid] = page + KvHeadOffset(kv, true, kv_head);
      token_in_page[tid] = token;
    }
    const float new_m = fmaxf(m, BlockMax(score, scratch));
    p[tid] = __expf(score - new_m);
    const float shrink = __expf(m - new_m);
    m = new_m;
    l = l * shrink + BlockSum(p[tid], scratch);
    const int32_t count = min(kThreads, position + 1 - key0);
#pragma unroll
    for (int32_t i = 0; i < kHeadDimMax / kThreads; ++i) {
      const int32_t d = tid + i * kThreads;
      if (d >= dims) continue;
      float sum = out[i] * shrink;
      for (int32_t t = 0; t < count; ++t) {
        sum += p[t] * ToFloat(token_values[t][KvOffsetInHead(kv, token_in_page[t], d)]);
      }
      out[i] = sum;
    }
  }
#pragma unroll
  for (int32_t i = 0; i < kHeadDimMax / kThreads; ++i) {
    const int32_t d = tid + i * kThreads;
    if (d < dims) static_cast<T*>(args.out)[row * args.out_stride + head * dims + d] = FromFloat<T>(out[i] / l);
  }
}

}  // namespace

void AttentionPlain(Launcher& launcher, Element element, int32_t rows, const AttentionArgs& args) {
  if (args.kv.head_dim > kHeadDimMax) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  WithElement(element, [&](auto type) {
    launcher.Launch(AttentionPlainKernel<decltype(type)>, dim3(rows, args.heads), dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
