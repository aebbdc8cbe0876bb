// Memory of the device and pinned memory of the host, each with one owner.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "base/status.h"

namespace chorale::cuda {

// For what cannot fail unless the device is gone: the engine catches it and is dead from then on.
inline void Check(cudaError_t result, const char* what) {
  if (result != cudaSuccess) throw std::runtime_error(Format("CUDA: %s: %s", what, cudaGetErrorString(result)));
}

// What the plugin has done, for BackendCounters. A process has one engine on a device.
struct Counts {
  std::atomic<int64_t> device_allocations{0}, host_allocations{0}, waits{0};
};
inline Counts counts;

inline void CountWait() { counts.waits.fetch_add(1, std::memory_order_relaxed); }

// Waits until the stream has done all it was given.
inline void Wait(cudaStream_t stream, const char* what) {
  CountWait();
  Check(cudaStreamSynchronize(stream), what);
}

template <cudaError_t (*kAllocate)(void**, size_t), cudaError_t (*kFree)(void*)>
class CudaMemory {
 public:
  CudaMemory() = default;
  static Result<CudaMemory> Allocate(int64_t bytes, const char* purpose) {
    CudaMemory memory;
    const cudaError_t result = kAllocate(&memory.data_, static_cast<size_t>(bytes > 0 ? bytes : 1));
    if (result != cudaSuccess) {
      cudaGetLastError();  // forget it: a refused allocation leaves the device as it was
      return Status::Exhausted(Format("%s: %lld bytes cannot be had: %s", purpose, static_cast<long long>(bytes),
                                      cudaGetErrorString(result)));
    }
    memory.bytes_ = bytes;
    return memory;
  }
  ~CudaMemory() {
    if (data_ != nullptr) kFree(data_);
  }
  CudaMemory(CudaMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  CudaMemory& operator=(CudaMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  uint8_t* data() const { return static_cast<uint8_t*>(data_); }
  template <typename T> T* as() const { return static_cast<T*>(data_); }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

inline cudaError_t AllocatePinned(void** pointer, size_t bytes) {
  counts.host_allocations.fetch_add(1, std::memory_order_relaxed);
  return cudaMallocHost(pointer, bytes);
}
inline cudaError_t AllocateDevice(void** pointer, size_t bytes) {
  counts.device_allocations.fetch_add(1, std::memory_order_relaxed);
  return cudaMalloc(pointer, bytes);
}

using DeviceMemory = CudaMemory<AllocateDevice, cudaFree>;
using PinnedMemory = CudaMemory<AllocatePinned, cudaFreeHost>;

// Device memory of zeros.
inline Result<DeviceMemory> AllocateZeros(int64_t bytes, const char* purpose) {
  Result<DeviceMemory> memory = DeviceMemory::Allocate(bytes, purpose);
  if (memory.ok()) {
    Check(cudaMemset(memory.value().data(), 0, static_cast<size_t>(bytes)), purpose);
    Check(cudaStreamSynchronize(nullptr), purpose);  // other streams do not wait for it
  }
  return memory;
}

// Copies from ordinary memory. cudaMemcpy alone may return, and kernels of other streams begin, before all has arrived.
inline void CopyToDevice(void* to, const void* from, size_t bytes, const char* purpose) {
  Check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), purpose);
  Check(cudaStreamSynchronize(nullptr), purpose);
}

}  // namespace chorale::cuda
