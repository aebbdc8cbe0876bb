// The Llama-3-8B shape, and weights of random numbers for it.
#pragma once

#include <algorithm>
#include <memory>

#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/random.h"

namespace chorale::cuda {

inline constexpr Element kElement = Element::kBf16;
inline constexpr int32_t kLayers = 32, kHidden = 4096, kIntermediate = 14336, kHeads = 32, kKvHeads = 8, kHeadDim = 128;
inline constexpr int32_t kVocab = 128256, kQkvCols = (kHeads + 2 * kKvHeads) * kHeadDim;

struct Matrix {
  const uint8_t* data = nullptr;
  int32_t cols = 0, inputs = 0;
  CUtensorMap map{};
};

struct Weights {
  explicit Weights(Lab& lab) : bytes(0) {
    const auto place = [&](Matrix& m, int32_t cols, int32_t inputs) {
      m.cols = cols;
      m.inputs = inputs;
      m.data = reinterpret_cast<const uint8_t*>(bytes);  // for now its place
      bytes += int64_t{2} * cols * inputs;
    };
    for (auto& layer : layers) {
      place(layer[0], kQkvCols, kHidden);
      place(layer[1], kHidden, kHeads * kHeadDim);
      place(layer[2], 2 * kIntermediate, kHidden);
      place(layer[3], kHidden, kIntermediate);
    }
    place(head, kVocab, kHidden);
    memory = std::make_unique<DeviceArray<uint8_t>>(bytes + int64_t{2} * kVocab * kHidden);
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
  int64_t bytes;  // that a step reads
  Matrix layers[kLayers][4], head;
  const uint8_t* embed = nullptr;
  std::unique_ptr<DeviceArray<uint8_t>> memory;
  std::unique_ptr<DeviceArray<float>> norm;
};

}  // namespace chorale::cuda
