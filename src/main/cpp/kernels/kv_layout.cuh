// Where an element of a key or value lies in a KV slice.
//
//   slice  = K [kv_head][...] | V [kv_head][...], each head page_tokens * head_dim elements of 16 bits
//   head_dim a multiple of 64:  [head_dim / 64][page_tokens][64], the 16-byte chunk c of a token at place c ^ (token % 8)
//   any other head_dim:         [page_tokens][head_dim]
//
// The first form is that of a 128-byte-swizzled tile: a page's keys of one head can be copied to shared memory as they
// lie and read there by ldmatrix or wgmma without bank conflicts.
#pragma once

#include "kernels/launch.h"

namespace chorale::cuda {

__host__ __device__ inline int64_t KvHeadOffset(const KvPages& kv, bool value, int32_t kv_head) {  // in elements
  return static_cast<int64_t>((value ? kv.kv_heads : 0) + kv_head) * kv.page_tokens * kv.head_dim;
}

__host__ __device__ inline int32_t KvOffsetInHead(const KvPages& kv, int32_t token, int32_t d) {  // in elements
  if (kv.head_dim % 64 != 0) return token * kv.head_dim + d;
  const int32_t chunk = (d % 64 / 8) ^ (token % 8);
  return (d / 64 * kv.page_tokens + token) * 64 + chunk * 8 + d % 8;
}

}  // namespace chorale::cuda
