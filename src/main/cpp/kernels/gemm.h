// y = x W^T in float32, as a Product: two kernels that cut their work alike.
#pragma once

#include <cuda.h>

#include <algorithm>

#include "kernels/launch.h"
#include "kernels/lora.h"

namespace chorale::cuda {

// Cuts a product of `cols` outputs and `inputs` inputs for `blocks` blocks.
ProductPlan PlanProduct(int32_t cols, int32_t inputs, int32_t blocks);

// ---- sm_90: few rows, weights at the speed of memory ---------------------------------------------------------------

inline constexpr int32_t kStreamRowsMax = 128;
// Whether LoRA can be within a product, and what LoraPlan has to know of that.
constexpr bool CanHaveLora(const ProductPlan& plan) {
  return plan.units_per_block / plan.units_per_tile + 2 <= static_cast<uint32_t>(kStreamLoraParts) && plan.blocks <= kLoraBlocksMax;
}
constexpr LoraProduct LoraProductOf(const ProductPlan& plan, const int32_t (&outputs)[kLoraSiteTargets]) {
  return {plan, {outputs[0], outputs[1], outputs[2]}};
}
// Whether the columns of each target are whole tiles of B.
constexpr bool HasWholeTiles(const int32_t (&outputs)[kLoraSiteTargets]) {
  return std::ranges::all_of(outputs, [](int32_t cols) { return cols % kProductTile == 0; });
}

// Tensor maps, made once for each weight and for each activation buffer.
// The rows of x that a launch reads are rounded up to 16, 32, 64 or 128: `box` of its map.
int32_t StreamBox(int32_t rows);
// matrix: [rows, cols] of 16 bits, a row every `stride` elements; base 16-byte aligned, stride a multiple of 8.
bool EncodeStreamMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                     CUtensorMap* map);

// For LoraPatch, of an activation buffer with a multiple of 64 columns: boxes of 8 rows, of each 64 columns 8 times.
bool EncodePatchMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, CUtensorMap* map);

struct StreamLora {
  // The page pool as a matrix of 128 columns, in boxes of 64, 16, 8 rows and of one, by EncodePoolMaps.
  CUtensorMap blocks;
  CUtensorMap pairs;
  CUtensorMap octets;
  CUtensorMap ranks;
  int32_t flight = 0;    // set by GemmStream
  LoraSiteArgs site;     // without groups: no LoRA. At most kLoraGroupsMax groups; all widths are multiples of kProductTile
  CUtensorMap x;         // by EncodePatchMap
  bool patches = false;  // some product of a layer may have patches (CanHavePatches): then all take the kernel for these
};
// pool: `bytes` of it, a multiple of 256.
bool EncodePoolMaps(Element element, const void* pool, int64_t bytes, StreamLora* lora);

struct GemmStreamArgs {
  CUtensorMap weight;  // box of kProductTile rows
  CUtensorMap x;       // box of StreamBox(rows) rows
  Product y;
  int32_t rows = 0;
  StreamLora lora;
};
void GemmStream(Launcher& launcher, Element element, const ProductPlan& plan, const GemmStreamArgs& args);

// ---- any device, any number of rows -------------------------------------------------------------------------------

struct GemmTileArgs {
  const void* weight = nullptr;  // [cols, inputs], a row every weight_stride elements
  int64_t weight_stride = 0;     // a multiple of 8
  const void* x = nullptr;       // [rows, inputs]
  int64_t x_stride = 0;          // a multiple of 8
  int32_t inputs = 0;            // a multiple of 8
  Product y;
  int32_t rows = 0;
};
void GemmTile(Launcher& launcher, Element element, const ProductPlan& plan, const GemmTileArgs& args);

}  // namespace chorale::cuda
