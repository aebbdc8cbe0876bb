// y = x W^T of many rows, with what comes after it done where the sums are: B v of the rows' adapters, rotation and storing of
// q, k and v, or SwiGLU. sm_90a.
#pragma once

#include <cuda.h>

#include "kernels/launch.h"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"

namespace chorale::cuda {

inline constexpr int32_t kManyTileRows = 128;

struct GemmManyArgs {
  CUtensorMap weight;  // [cols, inputs], box of kProductTile rows
  CUtensorMap x;       // [rows or more, inputs], the same box
  int32_t rows = 0;
  int32_t cols = 0;
  int32_t inputs = 0;
  LoraSiteArgs lora;   // groups null: nothing of adapters; v is there, each target's outputs are whole tiles of B
};

// How well tiles of this shape fill the device, 1 at best: of the multiprocessors' time and of the rows.
double GemmManyFill(int32_t rows, int32_t cols, int32_t sm_count);

// Into the only part of y, float32 or of 16 bits; y.cols is even, a multiple of 8 where y has 16 bits.
void GemmMany(Launcher& launcher, Element element, const GemmManyArgs& args, const Product& y);

// The product is that of gate and up, and not kept. intermediate and out_stride are multiples of 8.
void GemmManySwiGlu(Launcher& launcher, Element element, const GemmManyArgs& args, const SwiGluArgs& swiglu);

// The product is that of q, k and v, and not kept.
constexpr bool CanGemmManyQkv(int32_t head_dim, int32_t rotary_pairs) { return head_dim == 128 && rotary_pairs == 64; }
void GemmManyQkv(Launcher& launcher, Element element, const GemmManyArgs& args, const QkvPostArgs& post);

}  // namespace chorale::cuda
