// Tensor maps of the products of few and of many rows (gemm.h, gemm_many.h).
#include <algorithm>

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

// Of 16-bit elements, in boxes whose rows are 128 bytes; strides in bytes, from the second dimension on.
template <uint32_t kDimensions>
bool Encode(Element element, const void* matrix, const cuuint64_t (&sizes)[kDimensions], const cuuint64_t (&strides)[kDimensions - 1],
            const cuuint32_t (&box)[kDimensions], CUtensorMap* map) {
  static const EncodeFunction encode = FindEncode();
  if (encode == nullptr) return false;
  cuuint32_t steps[kDimensions];
  std::ranges::fill(steps, 1);
  return encode(map, element == Element::kBf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, kDimensions,
                const_cast<void*>(matrix), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace

bool EncodeStreamMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                     CUtensorMap* map) {
  return Encode<2>(element, matrix, {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)}, {static_cast<cuuint64_t>(stride) * 2},
                   {kUnitInputs, static_cast<cuuint32_t>(box_rows)}, map);
}

bool EncodePatchMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, CUtensorMap* map) {
  return Encode<3>(element, matrix, {kUnitInputs, static_cast<cuuint64_t>(rows), static_cast<cuuint64_t>(cols / kUnitInputs)},
                   {static_cast<cuuint64_t>(stride) * 2, kUnitInputs * 2}, {kUnitInputs, kLoraPatchBoxRows, kLoraPatchParts}, map);
}

bool EncodePoolMaps(Element element, const void* pool, int64_t bytes, StreamLora* lora) {
  const int64_t rows = bytes / (2 * kLoraTileColumns);
  return EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 8 * kLoraOctetRanks, &lora->blocks) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 2 * kLoraOctetRanks, &lora->pairs) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, kLoraOctetRanks, &lora->octets) &&
         EncodeStreamMap(element, pool, rows, kLoraTileColumns, kLoraTileColumns, 1, &lora->ranks);
}

}  // namespace chorale::cuda
