#include "backend/cuda/row_measure.h"

#include "kernels/forms.h"

namespace chorale::cuda {

RowMeasure::RowMeasure(const Launcher& launcher, Element element) : element_(element) {
  launcher_.sm_count = launcher.sm_count;
  launcher_.sm_major = launcher.sm_major;
  Check(cudaStreamCreateWithFlags(&launcher_.stream, cudaStreamNonBlocking), "stream of norms");
  Check(cudaEventCreateWithFlags(&restored_, cudaEventDisableTiming), "event");
}

RowMeasure::~RowMeasure() {
  cudaStreamSynchronize(launcher_.stream);
  cudaEventDestroy(restored_);
  cudaStreamDestroy(launcher_.stream);
}

Status RowMeasure::AddSquares(const RowSquaresParams& params) {
  const CudaMatrix& weight = Matrix(params.weight);
  const int64_t rows = std::ssize(params.squares), cols = weight.cols(), rank = params.rank;
  std::vector<double> squares(static_cast<size_t>(rows));
  const int64_t a_bytes = (4 * rank * cols + 255) / 256 * 256, b_bytes = (4 * rank * rows + 255) / 256 * 256;
  const int64_t bytes = a_bytes + b_bytes + 8 * rows;
  std::lock_guard lock(mutex_);
  if (merged_.contains(&weight)) {
    return Status::Exhausted("the norms of DoRA cannot be taken while an adapter is merged into the base's weights in place");
  }
  if (memory_.bytes() < bytes) {
    memory_ = DeviceMemory();
    Result<DeviceMemory> memory = DeviceMemory::Allocate(bytes, "norms of DoRA");
    if (!memory.ok()) return memory.status();
    memory_ = std::move(memory).value();
  }
  const cudaStream_t stream = launcher_.stream;
  auto* a = memory_.as<float>();
  auto* b = reinterpret_cast<float*>(memory_.data() + a_bytes);
  auto* sums = reinterpret_cast<double*>(memory_.data() + a_bytes + b_bytes);
  const auto row_bytes = static_cast<size_t>(4 * cols);
  Check(cudaStreamWaitEvent(stream, restored_), "norms of DoRA");
  Check(cudaMemcpy2DAsync(a, row_bytes, params.a, static_cast<size_t>(4 * params.a_stride), row_bytes,
                          static_cast<size_t>(rank), cudaMemcpyHostToDevice, stream),
        "norms of DoRA");
  Check(cudaMemcpyAsync(b, params.b, static_cast<size_t>(4 * rank * rows), cudaMemcpyHostToDevice, stream), "norms of DoRA");
  launcher_.error = cudaSuccess;  // of an adapter before this one
  RowSquares(launcher_, element_,
             {.weight = weight.memory.data() + 2 * params.row_begin * weight.stride,
              .stride = weight.stride,
              .rows = static_cast<int32_t>(rows),
              .cols = static_cast<int32_t>(cols),
              .a = a,
              .b = b,
              .rank = params.rank,
              .scale = params.scale,
              .squares = sums});
  Check(launcher_.error, "norms of DoRA");
  Check(cudaMemcpyAsync(squares.data(), sums, static_cast<size_t>(8 * rows), cudaMemcpyDeviceToHost, stream), "norms of DoRA");
  Check(cudaStreamSynchronize(stream), "norms of DoRA");
  for (int64_t n = 0; n < rows; ++n) params.squares[n] += squares[n];
  return Status::Ok();
}

void RowMeasure::BeginMerge(const Weight* weight) {
  std::lock_guard lock(mutex_);
  merged_.insert(weight);
}

void RowMeasure::EndMerge(const Weight* weight, cudaStream_t stream) {
  std::lock_guard lock(mutex_);
  Check(cudaEventRecord(restored_, stream), "norms of DoRA");
  merged_.erase(weight);
}

}  // namespace chorale::cuda
