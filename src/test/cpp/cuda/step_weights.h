// The Llama-3-8B shape, or what one of several GPUs that share it has of it, and weights of random numbers for it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/random.h"

namespace chorale::cuda {

inline constexpr Element kElement = Element::kBf16;
inline constexpr int32_t kLayers = 32, kHidden = 4096, kHeadDim = 128;

// Of one of 1, 2, 4 or 8 shards.
struct StepShape {
  explicit StepShape(int32_t of_shards) : shards(of_shards) {}

  int32_t shards;
  int32_t heads = 32 / shards, kv_heads = 8 / shards, intermediate = 14336 / shards, vocab = 128256 / shards;
  int32_t q_cols = heads * kHeadDim, kv_cols = kv_heads * kHeadDim;
  int32_t qkv_cols() const { return q_cols + 2 * kv_cols; }

  // As figures are recorded.
  std::string Name() const {
    return "Llama-3-8B shape, bf16" + (shards == 1 ? "" : ", one of " + std::to_string(shards) + " shards without their sums");
  }
};

struct Matrix {
  const uint8_t* data = nullptr;
  int32_t cols = 0, inputs = 0;
  CUtensorMap map{};
};

struct Weights {
  explicit Weights(Lab& lab) : shape(lab.shards), bytes(0) {
    const auto place = [&](Matrix& m, int32_t cols, int32_t inputs) {
      m.cols = cols;
      m.inputs = inputs;
      m.data = reinterpret_cast<const uint8_t*>(bytes);  // for now its place
      bytes += int64_t{2} * cols * inputs;
    };
    for (auto& layer : layers) {
      place(layer[0], shape.qkv_cols(), kHidden);
      place(layer[1], kHidden, shape.q_cols);
      place(layer[2], 2 * shape.intermediate, kHidden);
      place(layer[3], kHidden, shape.intermediate);
    }
    place(head, shape.vocab, kHidden);
    memory = std::make_unique<DeviceArray<uint8_t>>(bytes + int64_t{2} * shape.vocab * kHidden);
    FillNormal(lab.launcher, kElement, memory->data(), memory->size() / 2, 11, 0.02f);
    const auto settle = [&](Matrix& m) {
      m.data = memory->data() + reinterpret_cast<int64_t>(m.data);
      lab.Expect("weight map",
                 EncodeStreamMap(kElement, m.data, m.cols, m.inputs, m.inputs, kProductTile, &m.map));
    };
    for (auto& layer : layers) std::for_each(layer, layer + 4, settle);
    settle(head);
    embed = memory->data() + bytes;
    norm = std::make_unique<DeviceArray<float>>(kHidden);
    FillNormal(lab.launcher, norm->data(), kHidden, 12, 1.0f, 0.1f);
    lab.Finish("weights");
  }
  StepShape shape;
  int64_t bytes;  // that a step reads
  Matrix layers[kLayers][4], head;
  const uint8_t* embed = nullptr;
  std::unique_ptr<DeviceArray<uint8_t>> memory;
  std::unique_ptr<DeviceArray<float>> norm;
};

}  // namespace chorale::cuda
