// Device primitives that the kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/launch.h"

namespace chorale::cuda {

using bf16 = __nv_bfloat16;

// Calls f with a value of the 16-bit type that `element` names.
template <typename F>
void WithElement(Element element, F&& f) {
  if (element == Element::kBf16) {
    f(bf16{});
  } else {
    f(__half{});
  }
}

__device__ __forceinline__ void AllowSuccessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ void WaitForPredecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// ---- 16-bit elements ----------------------------------------------------------------------------------------------

__device__ __forceinline__ float ToFloat(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float ToFloat(__half x) { return __half2float(x); }

template <typename T> __device__ __forceinline__ T FromFloat(float x);
template <> __device__ __forceinline__ bf16 FromFloat<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> __device__ __forceinline__ __half FromFloat<__half>(float x) { return __float2half_rn(x); }

// Two elements in a register, the first in the low half.
template <typename T> __device__ __forceinline__ uint32_t PackPair(float low, float high);
template <> __device__ __forceinline__ uint32_t PackPair<bf16>(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
template <> __device__ __forceinline__ uint32_t PackPair<__half>(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

template <typename T> __device__ __forceinline__ float2 UnpackPair(uint32_t packed);
template <> __device__ __forceinline__ float2 UnpackPair<bf16>(uint32_t packed) {
  return {__uint_as_float(packed << 16), __uint_as_float(packed & 0xffff0000u)};
}
template <> __device__ __forceinline__ float2 UnpackPair<__half>(uint32_t packed) {
  __half2 pair;
  *reinterpret_cast<uint32_t*>(&pair) = packed;
  return __half22float2(pair);
}

// ---- tensor cores -------------------------------------------------------------------------------------------------

// d += a b on m16n8k16. With g = lane / 4 and q = lane % 4 a thread holds
//   a: (row g, k 2q..2q+1), (g+8, 2q..), (g, 2q+8..), (g+8, 2q+8..)   b: (k 2q..2q+1, column g), (2q+8.., g)
//   d: (row g, columns 2q, 2q+1), (row g+8, columns 2q, 2q+1)
// The k index only says which elements of a and b meet: any assignment of inputs to k that both sides share is right.
template <typename T>
__device__ __forceinline__ void Mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                    uint32_t b1);
template <>
__device__ __forceinline__ void Mma<bf16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                          uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void Mma<__half>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                            uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Four 8x8 matrices of 16-bit elements from shared memory; lane l names row l % 8 of matrix l / 8.
__device__ __forceinline__ void LoadMatrices(uint32_t (&r)[4], uint32_t shared_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address));
}
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&r)[4], uint32_t shared_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address));
}

// Transposes an 8x8 matrix of 16-bit elements that lies across the warp, two of a row in each register.
__device__ __forceinline__ uint32_t TransposeMatrix(uint32_t rows) {
  uint32_t columns;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(columns) : "r"(rows));
  return columns;
}

// a / b without the dozens of instructions of a division: 0 <= a < 2^22, b > 0. The estimate is at most one off.
__device__ __forceinline__ int32_t Quotient(int32_t a, int32_t b) {
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(__int2float_rn(b)));
  const int32_t estimate = __float2int_rz(__int2float_rn(a) * inverse), rest = a - estimate * b;
  return estimate + (rest >= b ? 1 : 0) - (rest < 0 ? 1 : 0);
}
__device__ __forceinline__ int32_t Remainder(int32_t a, int32_t b) { return a - Quotient(a, b) * b; }

// ---- memory -------------------------------------------------------------------------------------------------------

__device__ __forceinline__ uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes that are read once: do not keep them in L1.
__device__ __forceinline__ uint4 LoadStreaming(const void* pointer) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(pointer));
  return v;
}

__device__ __forceinline__ uint2 LoadStreaming8(const void* pointer) {
  uint2 v;
  asm volatile("ld.global.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(pointer));
  return v;
}

__device__ __forceinline__ int32_t LoadAcquire(const int32_t* pointer) {
  int32_t value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(pointer) : "memory");
  return value;
}
__device__ __forceinline__ void AddRelease(int32_t* pointer, int32_t value) {
  asm volatile("red.release.gpu.global.add.s32 [%0], %1;" ::"l"(pointer), "r"(value) : "memory");
}

// In shared memory, of a block's own threads; whole, but in no order with anything else.
__device__ __forceinline__ int32_t LoadRelaxedShared(const int32_t* pointer) {
  int32_t value;
  asm volatile("ld.relaxed.cta.shared::cta.s32 %0, [%1];" : "=r"(value) : "r"(SharedAddress(pointer)) : "memory");
  return value;
}
__device__ __forceinline__ void StoreRelaxedShared(int32_t* pointer, int32_t value) {
  asm volatile("st.relaxed.cta.shared::cta.s32 [%0], %1;" ::"r"(SharedAddress(pointer)), "r"(value) : "memory");
}
// Words that are their own flags: whole, but in no order with others.
__device__ __forceinline__ uint4 LoadRelaxed(const uint32_t* pointer) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(pointer) : "memory");
  return v;
}
__device__ __forceinline__ void StoreRelaxed(uint32_t* pointer, uint32_t value) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(pointer), "r"(value) : "memory");
}
__device__ __forceinline__ void StoreRelaxed(uint32_t* pointer, const uint2& value) {
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1,%2};" ::"l"(pointer), "r"(value.x), "r"(value.y) : "memory");
}

__device__ __forceinline__ void PrefetchToL2(const void* pointer) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(pointer));
}

__device__ __forceinline__ void StoreShared(uint32_t shared_address, const uint4& v) {
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(shared_address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// Copies 16 bytes to shared memory in the background; zeros when `valid` is false (the source is not read then).
__device__ __forceinline__ void CopyAsync16(uint32_t shared_address, const void* source, bool valid) {
  const int32_t bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address), "l"(source), "r"(bytes) : "memory");
}
__device__ __forceinline__ void CopyAsync16(uint32_t shared_address, const void* source) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address), "l"(source) : "memory");
}
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Until at most `pending` groups are under way, or fewer.
__device__ __forceinline__ void WaitForAllBut(int32_t pending) {
  switch (pending) {
    case 0: WaitForCopies<0>(); break;
    case 1: WaitForCopies<1>(); break;
    case 2: WaitForCopies<2>(); break;
    case 3: WaitForCopies<3>(); break;
    case 4: WaitForCopies<4>(); break;
    case 5: WaitForCopies<5>(); break;
    case 6: WaitForCopies<6>(); break;
    case 7: WaitForCopies<7>(); break;
    case 8: WaitForCopies<8>(); break;
    case 9: WaitForCopies<9>(); break;
    case 10: WaitForCopies<10>(); break;
    default: WaitForCopies<11>();
  }
}

// ---- registers: warpgroups of a block hand them to each other -------------------------------------------------------------

template <int32_t kCount>
__device__ __forceinline__ void RegistersUp() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
#endif
}
template <int32_t kCount>
__device__ __forceinline__ void RegistersDown() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
#endif
}

// ---- warps and blocks -----------------------------------------------------------------------------------------------

__device__ __forceinline__ float WarpSum(float x) {
#pragma unroll
  for (int32_t mask = 16; mask > 0; mask >>= 1) x += __shfl_xor_sync(0xffffffffu, x, mask);
  return x;
}

// The sum over the block, in every thread; `scratch` has one float for each warp. Fixed order of additions.
__device__ __forceinline__ float BlockSum(float x, float* scratch) {
  const int32_t warps = static_cast<int32_t>(blockDim.x) / 32;
  x = WarpSum(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  x = WarpSum(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return x;
}

// ---- products -------------------------------------------------------------------------------------------------------

// How many partial sums the tile of this column has.
__device__ __forceinline__ int32_t PartialCount(const Product& p, int32_t col) {
  const uint32_t first_unit = static_cast<uint32_t>(col / kProductTile) * p.units_per_tile;
  return static_cast<int32_t>((first_unit + p.units_per_tile - 1) / p.units_per_block -
                              first_unit / p.units_per_block) + 1;
}

// Four neighbouring columns (col a multiple of 4) of a row of a float32 product; count as of PartialCount. All loads are
// under way before the first addition.
__device__ __forceinline__ float4 LoadFloats4(const Product& p, int64_t row, int32_t col, int32_t count) {
  const float* source = p.floats() + row * p.cols + col;
  float4 part[kProductPartialsMax];
#pragma unroll
  for (int32_t i = 0; i < kProductPartialsMax; ++i) {
    part[i] = i < count ? *reinterpret_cast<const float4*>(source + i * p.partial_stride) : float4{0, 0, 0, 0};
  }
#pragma unroll
  for (int32_t i = 1; i < kProductPartialsMax; ++i) {
    part[0] = {part[0].x + part[i].x, part[0].y + part[i].y, part[0].z + part[i].z, part[0].w + part[i].w};
  }
  return part[0];
}

// kWide neighbouring columns (col a multiple of kWide: 4 or 1) of any product.
// kWhole: the caller knows that there is one partial.
template <typename T, int32_t kWide, bool kWhole = false>
__device__ __forceinline__ void LoadProduct(const Product& p, int64_t row, int32_t col, float (&values)[kWide]) {
  static_assert(kWide == 4 || kWide == 1);
  if (p.half) {
    const T* source = static_cast<const T*>(p.data) + row * p.cols + col;
    if constexpr (kWide == 4) {
      const uint2 packed = *reinterpret_cast<const uint2*>(source);
      const float2 low = UnpackPair<T>(packed.x), high = UnpackPair<T>(packed.y);
      values[0] = low.x, values[1] = low.y, values[2] = high.x, values[3] = high.y;
    } else {
#pragma unroll
      for (int32_t i = 0; i < kWide; ++i) values[i] = ToFloat(source[i]);
    }
    return;
  }
  if constexpr (kWide == 4) {
    const float4 sum = kWhole ? *reinterpret_cast<const float4*>(p.floats() + row * p.cols + col)
                              : LoadFloats4(p, row, col, PartialCount(p, col));
    values[0] = sum.x, values[1] = sum.y, values[2] = sum.z, values[3] = sum.w;
  } else {
    const float* source = p.floats() + row * p.cols + col;
    const int32_t count = kWhole ? 1 : PartialCount(p, col);
#pragma unroll
    for (int32_t i = 0; i < kWide; ++i) values[i] = source[i];
    for (int32_t part = 1; part < count; ++part) {
#pragma unroll
      for (int32_t i = 0; i < kWide; ++i) values[i] += source[part * p.partial_stride + i];
    }
  }
}

// 2^x; what is below 2^-126 becomes 0.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace chorale::cuda
