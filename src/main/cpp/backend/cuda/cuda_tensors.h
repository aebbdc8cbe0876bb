// Weights and activations on the device. Rows of 16-bit matrices are padded to multiples of 8 elements with zeros, so
// that every row can be read 16 bytes at a time whatever the model's shape.
#pragma once

#include <cuda.h>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"
#include "kernels/exchange.h"
#include "kernels/gemm.h"
#include "kernels/gemm_many.h"
#include "kernels/launch.h"

namespace chorale::cuda {

constexpr int64_t Padded(int64_t elements) { return (elements + 7) / 8 * 8; }

// Tensor maps exist where the device can use them.
struct CudaMatrix final : Weight {
  CudaMatrix(int64_t rows, int64_t cols, DeviceMemory memory_of_it)
      : Weight(rows, cols), stride(Padded(cols)), memory(std::move(memory_of_it)) {}
  int64_t bytes() const override { return memory.bytes(); }
  int64_t stride;
  DeviceMemory memory;  // [Padded(rows), stride] of 16 bits
  CUtensorMap map{};
  bool mapped = false;
  ProductPlan split;    // in parts for all multiprocessors
  ProductPlan whole;    // a block for every tile
};

struct CudaVector final : Weight {
  CudaVector(int64_t cols, DeviceMemory memory_of_it) : Weight(1, cols), memory(std::move(memory_of_it)) {}
  int64_t bytes() const override { return memory.bytes(); }
  DeviceMemory memory;  // [Padded(cols)] float32
};

inline constexpr int32_t kStreamBoxes = 4;  // of 16, 32, 64 and 128 rows
inline int32_t StreamBoxIndex(int32_t rows) { return rows <= 16 ? 0 : rows <= 32 ? 1 : rows <= 64 ? 2 : 3; }

struct CudaActivation final : Activation {
  CudaActivation(ActivationKind kind_of_it, int64_t rows, int64_t cols, DeviceMemory memory_of_it)
      : Activation(cols, Padded(cols)), kind(kind_of_it), rows_max(rows), memory(std::move(memory_of_it)) {}
  ActivationKind kind;
  int64_t rows_max;
  DeviceMemory memory;
  // kInput: [rows_max, stride] of 16 bits
  CUtensorMap maps[kStreamBoxes]{};
  CUtensorMap patch_map{};  // where a patch of v may come of it: with a multiple of 64 columns
  bool mapped = false;
  // kProduct: how the last linear left it, and what its readers still have to add
  mutable Product product;
  mutable const float* bias = nullptr;
  mutable LoraSiteArgs lora;
  mutable GemmManyArgs deferred;  // rows > 0: there is no product, its reader multiplies
  mutable Exchange exchange;  // of several shards: with whom it is still to be added up
};

inline const CudaMatrix& Matrix(const Weight* weight) { return *static_cast<const CudaMatrix*>(weight); }
inline const float* Values(const Weight* vector) {  // null stays null
  return vector == nullptr ? nullptr : static_cast<const CudaVector*>(vector)->memory.as<float>();
}
inline CudaActivation& Cuda(Activation* x) { return *static_cast<CudaActivation*>(x); }
inline const CudaActivation& Cuda(const Activation* x) { return *static_cast<const CudaActivation*>(x); }

}  // namespace chorale::cuda
