// What the device's memory can do at best: the roofs that benchmarks are measured against.
#include <algorithm>
#include <functional>

#include "backend/cuda/cuda_backend.h"
#include "kernels/probe.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kRepeats = 9;
constexpr int64_t kReadBytesMax = int64_t{8} << 30;
constexpr int64_t kUploadBytesMax = int64_t{256} << 20;

// The median seconds of `work` on the stream.
double Seconds(cudaStream_t stream, cudaEvent_t begin, cudaEvent_t end, const std::function<void()>& work) {
  std::vector<float> milliseconds(kRepeats);
  work();  // what is loaded when it is first used
  for (float& time : milliseconds) {
    Check(cudaEventRecord(begin, stream), "measuring");
    work();
    Check(cudaEventRecord(end, stream), "measuring");
    Check(cudaEventSynchronize(end), "measuring");
    Check(cudaEventElapsedTime(&time, begin, end), "measuring");
  }
  std::nth_element(milliseconds.begin(), milliseconds.begin() + kRepeats / 2, milliseconds.end());
  return milliseconds[kRepeats / 2] * 1e-3;
}

}  // namespace

MemoryRoofs CudaBackend::MeasureRoofs() {
  constexpr int64_t kPiece = 64 << 10;
  MemoryRoofs roofs;
  const int64_t read_bytes = std::min(kReadBytesMax, pool_.bytes()) / kPiece * kPiece;
  const int64_t upload_bytes = std::min(kUploadBytesMax, pool_.bytes());
  const auto time = [&](const std::function<void()>& work) {
    return Seconds(launcher_.stream, turns_[0].begin, turns_[0].end, work);
  };
  if (read_bytes > 0) {
    roofs.read = static_cast<double>(read_bytes) /
                 time([&] { ReadOnce(launcher_, pool_.data(), read_bytes, drawn_.as<uint32_t>()); });
  }
  const Result<PinnedMemory> host = PinnedMemory::Allocate(upload_bytes, "measuring");
  if (host.ok()) {
    roofs.upload = static_cast<double>(upload_bytes) / time([&] {
                     Check(cudaMemcpyAsync(pool_.data(), host.value().data(), static_cast<size_t>(upload_bytes),
                                           cudaMemcpyHostToDevice, launcher_.stream),
                           "measuring");
                   });
  }
  Finish("measuring");
  return roofs;
}

}  // namespace chorale::cuda
