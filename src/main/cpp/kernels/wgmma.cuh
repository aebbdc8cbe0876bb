// Warpgroup matrix instructions (sm_90a): d[64, N] += a[64, 16] b[N, 16]^T, a and b in shared memory in tiles of rows of
// 64 elements with the 128-byte swizzle.
#pragma once

#include <type_traits>

#include "kernels/common.cuh"

namespace chorale::cuda {

// Describes a tile in shared memory: 8 rows of 128 bytes are 1,024 bytes apart from the next 8. To step by 16 elements
// along the rows add 2 (32 bytes in units of 16).
__device__ __forceinline__ uint64_t WgmmaDescriptor(uint32_t shared_address) {
  return static_cast<uint64_t>((shared_address & 0x3ffffu) >> 4) | (uint64_t{1} << 16) | (uint64_t{64} << 32) |
         (uint64_t{1} << 62);
}

// Describes b[k, N] with N along the rows: 64 columns of 8 k's are 1,024 bytes, 8 k's further 1,024 bytes further, the next 64
// columns `block_bytes` further.
__device__ __forceinline__ uint64_t WgmmaTransposedDescriptor(uint32_t shared_address, uint32_t block_bytes) {
  return static_cast<uint64_t>((shared_address & 0x3ffffu) >> 4) | (static_cast<uint64_t>(block_bytes >> 4) << 16) |
         (uint64_t{64} << 32) | (uint64_t{1} << 62);
}

// Describes a tile of any shape whose every 8 rows of 16 bytes are the 128 bytes there, without swizzle: of zeros, say.
__device__ __forceinline__ uint64_t WgmmaRepeatedDescriptor(uint32_t shared_address) { return (shared_address & 0x3ffffu) >> 4; }

__device__ __forceinline__ void WgmmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void WgmmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void WgmmaWait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// The sums of N columns as operands: their names, and what they are; of 256 columns in two halves.
#define CHORALE_NAMES_16 \
  "%0,%1,%2,%3,%4,%5,%6,%7"
#define CHORALE_NAMES_32 \
  CHORALE_NAMES_16       \
  ",%8,%9,%10,%11,%12,%13,%14,%15"
#define CHORALE_NAMES_64 \
  CHORALE_NAMES_32       \
  ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define CHORALE_NAMES_128                                            \
  CHORALE_NAMES_64                                                   \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
  ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define CHORALE_NAMES_256                                                        \
  CHORALE_NAMES_128                                                              \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"             \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"             \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define CHORALE_SUMS_16(d) \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define CHORALE_SUMS_32(d) \
  CHORALE_SUMS_16(d),      \
  "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define CHORALE_SUMS_64(d)                                                                                \
  CHORALE_SUMS_32(d),                                                                                     \
  "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
  "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define CHORALE_SUMS_128(d)                                                                               \
  CHORALE_SUMS_64(d),                                                                                     \
  "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
  "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
  "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
  "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define CHORALE_SUMS_256(d) CHORALE_SUMS_128(d[0]), CHORALE_SUMS_128(d[1])

// Of the 64 rows warp w of the warpgroup holds 16w + g and 16w + g + 8 (g = lane / 4); d[4j .. 4j+3] are the columns
// 8j + 2 (lane % 4), and the next one, of the first row, then of the second. Without `accumulate` d is overwritten. kTransposed:
// a is a[16, 64] by WgmmaTransposedDescriptor.
template <typename T, int kColumns, bool kTransposed = false> struct Wgmma;

#define CHORALE_WGMMA_16(TYPE)                                                                                                 \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %10, 0; "                                                                       \
               "wgmma.mma_async.sync.aligned.m64n16k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_16 "}, %8, %9, p, 1, 1, %11, 0; }" \
               : CHORALE_SUMS_16(d)                                                                                            \
               : "l"(a), "l"(b), "r"(accumulate ? 1 : 0), "n"(kTransposed ? 1 : 0))
template <typename T, bool kTransposed> struct Wgmma<T, 16, kTransposed> {
  static __device__ __forceinline__ void Run(float (&d)[8], uint64_t a, uint64_t b, bool accumulate) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_16("bf16");
    } else {
      CHORALE_WGMMA_16("f16");
    }
  }
};
#undef CHORALE_WGMMA_16

#define CHORALE_WGMMA_32(TYPE)                                                                                                   \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %18, 0; "                                                                         \
               "wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_32 "}, %16, %17, p, 1, 1, %19, 0; }" \
               : CHORALE_SUMS_32(d)                                                                                              \
               : "l"(a), "l"(b), "r"(accumulate ? 1 : 0), "n"(kTransposed ? 1 : 0))
template <typename T, bool kTransposed> struct Wgmma<T, 32, kTransposed> {
  static __device__ __forceinline__ void Run(float (&d)[16], uint64_t a, uint64_t b, bool accumulate) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_32("bf16");
    } else {
      CHORALE_WGMMA_32("f16");
    }
  }
};
#undef CHORALE_WGMMA_32

#define CHORALE_WGMMA_64(TYPE)                                                                                                   \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; "                                                                         \
               "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_64 "}, %32, %33, p, 1, 1, %35, 0; }" \
               : CHORALE_SUMS_64(d)                                                                                              \
               : "l"(a), "l"(b), "r"(accumulate ? 1 : 0), "n"(kTransposed ? 1 : 0))
template <typename T, bool kTransposed> struct Wgmma<T, 64, kTransposed> {
  static __device__ __forceinline__ void Run(float (&d)[32], uint64_t a, uint64_t b, bool accumulate) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_64("bf16");
    } else {
      CHORALE_WGMMA_64("f16");
    }
  }
};
#undef CHORALE_WGMMA_64

#define CHORALE_WGMMA_128(TYPE)                                                                                                    \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "                                                                           \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_128 "}, %64, %65, p, 1, 1, %67, 0; }" \
               : CHORALE_SUMS_128(d)                                                                                               \
               : "l"(a), "l"(b), "r"(accumulate ? 1 : 0), "n"(kTransposed ? 1 : 0))
template <typename T, bool kTransposed> struct Wgmma<T, 128, kTransposed> {
  static __device__ __forceinline__ void Run(float (&d)[64], uint64_t a, uint64_t b, bool accumulate) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_128("bf16");
    } else {
      CHORALE_WGMMA_128("f16");
    }
  }
};
#undef CHORALE_WGMMA_128

// d in two halves of 128 columns.
#define CHORALE_WGMMA_256(TYPE)                                                                                                      \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %130, 0; "                                                                            \
               "wgmma.mma_async.sync.aligned.m64n256k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_256 "}, %128, %129, p, 1, 1, 0, 0; }" \
               : CHORALE_SUMS_256(d)                                                                                                 \
               : "l"(a), "l"(b), "r"(accumulate ? 1 : 0))
template <typename T> struct Wgmma<T, 256> {
  static __device__ __forceinline__ void Run(float (&d)[2][64], uint64_t a, uint64_t b, bool accumulate) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_256("bf16");
    } else {
      CHORALE_WGMMA_256("f16");
    }
  }
};
#undef CHORALE_WGMMA_256

// d[64, N] += a[64, 16] b[16, N], a in registers as Mma has it (a warp 16 rows), b by WgmmaTransposedDescriptor.
template <typename T, int kColumns> struct WgmmaFromRegisters;

#define CHORALE_WGMMA_REGISTERS_64(TYPE)                                                         \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_64 \
               "}, {%32,%33,%34,%35}, %36, 1, 1, 1, 1;"                                          \
               : CHORALE_SUMS_64(d)                                                              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
template <typename T> struct WgmmaFromRegisters<T, 64> {
  static __device__ __forceinline__ void Run(float (&d)[32], const uint32_t (&a)[4], uint64_t b) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_REGISTERS_64("bf16");
    } else {
      CHORALE_WGMMA_REGISTERS_64("f16");
    }
  }
};
#undef CHORALE_WGMMA_REGISTERS_64

#define CHORALE_WGMMA_REGISTERS_128(TYPE)                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_128 \
               "}, {%64,%65,%66,%67}, %68, 1, 1, 1, 1;"                                            \
               : CHORALE_SUMS_128(d)                                                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
template <typename T> struct WgmmaFromRegisters<T, 128> {
  static __device__ __forceinline__ void Run(float (&d)[64], const uint32_t (&a)[4], uint64_t b) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_REGISTERS_128("bf16");
    } else {
      CHORALE_WGMMA_REGISTERS_128("f16");
    }
  }
};
#undef CHORALE_WGMMA_REGISTERS_128

#define CHORALE_WGMMA_REGISTERS_256(TYPE)                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32." TYPE "." TYPE " {" CHORALE_NAMES_256 \
               "}, {%128,%129,%130,%131}, %132, 1, 1, 1, 1;"                                       \
               : CHORALE_SUMS_256(d)                                                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
template <typename T> struct WgmmaFromRegisters<T, 256> {
  static __device__ __forceinline__ void Run(float (&d)[2][64], const uint32_t (&a)[4], uint64_t b) {
    if constexpr (std::is_same_v<T, bf16>) {
      CHORALE_WGMMA_REGISTERS_256("bf16");
    } else {
      CHORALE_WGMMA_REGISTERS_256("f16");
    }
  }
};
#undef CHORALE_WGMMA_REGISTERS_256
#undef CHORALE_NAMES_16
#undef CHORALE_SUMS_16
#undef CHORALE_NAMES_32
#undef CHORALE_SUMS_32
#undef CHORALE_NAMES_64
#undef CHORALE_SUMS_64
#undef CHORALE_NAMES_128
#undef CHORALE_SUMS_128
#undef CHORALE_NAMES_256
#undef CHORALE_SUMS_256

}  // namespace chorale::cuda
