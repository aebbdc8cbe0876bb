#include <algorithm>

#include "kernels/gemm.h"

namespace chorale::cuda {

ProductPlan PlanProduct(int32_t cols, int32_t inputs, int32_t blocks) {
  ProductPlan plan;
  const int32_t tiles = (cols + kProductTile - 1) / kProductTile;
  const int32_t per_tile = (inputs + kUnitInputs - 1) / kUnitInputs;
  plan.units = tiles * per_tile;
  int32_t per_block = (plan.units + blocks - 1) / blocks;
  // A tile of n units has at most ceil((n - 1) / per_block) + 1 partial sums.
  per_block = std::max(per_block, (per_tile - 1 + kProductPartialsMax - 2) / (kProductPartialsMax - 1));
  // Blocks that end where tiles end save a partial sum: worth up to 4 % longer blocks.
  for (int32_t parts = per_tile / per_block; parts >= 1; --parts) {
    const int32_t aligned = per_tile / parts;
    if (aligned * 25 > per_block * 26) break;
    if (per_tile % parts == 0) {
      per_block = aligned;
      break;
    }
  }
  plan.units_per_tile = static_cast<uint32_t>(per_tile);
  plan.units_per_block = static_cast<uint32_t>(per_block);
  plan.blocks = (plan.units + per_block - 1) / per_block;
  const bool aligned = per_tile % per_block == 0 || per_block % per_tile == 0;
  plan.partials_max = aligned ? std::max(1, per_tile / per_block) : (per_tile + per_block - 2) / per_block + 1;
  return plan;
}

}  // namespace chorale::cuda
