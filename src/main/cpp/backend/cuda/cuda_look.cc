// Looking at intermediate results, and changing them.
#include <cstring>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "base/convert.h"

namespace chorale::cuda {
namespace {

uint8_t* Bytes(const CudaActivation& x) {  // of logits that shards have gathered, elsewhere than in its own memory
  return x.kind == ActivationKind::kProduct ? static_cast<uint8_t*>(x.product.data) : x.memory.data();
}

}  // namespace

// What is still to be done is done: B v is added, shards are added up, and a float32 product becomes one part with its
// bias.
void CudaBackend::Collapse(const CudaActivation& x) {
  Product& product = x.product;
  const LoraSiteArgs lora = std::exchange(x.lora, LoraSiteArgs{});
  if (lora.groups != nullptr) LoraExpand(launcher_, element_, LoraBlocks(), lora);
  if (const Exchange exchange = std::exchange(x.exchange, Exchange{}); exchange.shards > 1) {
    SumShards(launcher_, element_, rows_, product, x.bias, exchange);
    product.units_per_tile = product.units_per_block = 1;
    x.bias = nullptr;
    return;
  }
  const bool whole = product.units_per_tile == product.units_per_block && x.bias == nullptr;
  if (product.half || whole) return;
  const auto rows = static_cast<int32_t>(product.partial_stride / product.cols);
  CollapseProduct(launcher_, rows, product, x.bias);
  product.units_per_tile = product.units_per_block = 1;
  x.bias = nullptr;
}

void CudaBackend::ReadActivation(const Activation& activation, const Rectangle& part, float* out) {
  if (part.rows == 0) return;
  const CudaActivation& x = Cuda(&activation);
  observed_ = true;
  if (x.kind == ActivationKind::kProduct) Collapse(x);
  const bool half = x.kind == ActivationKind::kInput || (x.kind == ActivationKind::kProduct && x.product.half);
  const auto width = static_cast<size_t>(half ? 2 : 4);
  const size_t stride = static_cast<size_t>(x.stride()) * width, line = static_cast<size_t>(part.cols) * width;
  staging_.resize(line * static_cast<size_t>(part.rows));
  Check(cudaMemcpy2DAsync(staging_.data(), line,
                          Bytes(x) + static_cast<size_t>(part.row_begin) * stride + part.col_begin * width, stride,
                          line, static_cast<size_t>(part.rows), cudaMemcpyDeviceToHost, launcher_.stream),
        "reading activations");
  Finish("reading activations");
  const int32_t dtype = !half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  ConvertToFloat(staging_.data(), dtype, part.rows * part.cols, out);
  if (half && x.bias != nullptr) {
    std::vector<float> bias(static_cast<size_t>(part.cols));
    Check(cudaMemcpy(bias.data(), x.bias + part.col_begin, bias.size() * 4, cudaMemcpyDeviceToHost), "reading a bias");
    for (int64_t i = 0; i < part.rows * part.cols; ++i) out[i] += bias[i % part.cols];
  }
}

void CudaBackend::WriteActivation(Activation& activation, const Rectangle& part, const float* values) {
  if (part.rows == 0) return;
  CudaActivation& x = Cuda(&activation);
  if (x.kind == ActivationKind::kProduct) Collapse(x);
  const bool half = x.kind == ActivationKind::kInput || (x.kind == ActivationKind::kProduct && x.product.half);
  const auto width = static_cast<size_t>(half ? 2 : 4);
  const size_t stride = static_cast<size_t>(x.stride()) * width, line = static_cast<size_t>(part.cols) * width;
  staging_.resize(line * static_cast<size_t>(part.rows));
  std::vector<float> plain(values, values + part.rows * part.cols);
  if (half && x.bias != nullptr) {  // its readers will add it again
    std::vector<float> bias(static_cast<size_t>(part.cols));
    Check(cudaMemcpy(bias.data(), x.bias + part.col_begin, bias.size() * 4, cudaMemcpyDeviceToHost), "reading a bias");
    for (int64_t i = 0; i < part.rows * part.cols; ++i) plain[i] -= bias[i % part.cols];
  }
  const int32_t dtype = !half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  ConvertFromFloat(plain.data(), dtype, part.rows * part.cols, staging_.data());
  Check(cudaMemcpy2DAsync(Bytes(x) + static_cast<size_t>(part.row_begin) * stride + part.col_begin * width, stride,
                          staging_.data(), line, line, static_cast<size_t>(part.rows), cudaMemcpyHostToDevice,
                          launcher_.stream),
        "writing activations");
  Finish("writing activations");
}

}  // namespace chorale::cuda
