// Tensor maps of the products of few and of many rows (gemm.h, gemm_many.h).
#include "kernels/gemm.h"

namespace chorale::cuda {
namespace {

using EncodeFunction = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                    const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                    CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

EncodeFunction FindEncode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<EncodeFunction>(function);
}

}  // namespace

bool EncodeStreamMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                     CUtensorMap* map) {
  static const EncodeFunction encode = FindEncode();
  if (encode == nullptr) return false;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[2] = {kUnitInputs, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  return encode(map, element == Element::kBf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2,
                const_cast<void*>(matrix), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

bool EncodePoolMaps(Element element, const void* pool, int64_t bytes, StreamLora* lora) {
  const int64_t rows = bytes / (2 * kLoraTileColumns);
  return EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 8 * kLoraOctetRanks, &lora->blocks) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 2 * kLoraOctetRanks, &lora->pairs) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, kLoraOctetRanks, &lora->octets) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 1, &lora->ranks);
}

}  // namespace chorale::cuda
