// Upload: many small tables of the host, packed together and copied to the device in one piece.
//
//   upload.Clear();  upload.Add(positions, &rows.positions); ...;  upload.Send(stream);
//
// Send fills in the device addresses. What was sent stays until the next Send, which comes after all kernels of the
// stream that were launched before it, so one device buffer is enough; of the pinned ones there are two, since the copy
// from one may still be under way when the next is filled.
#pragma once

#include <span>
#include <vector>

#include "backend/cuda/device_memory.h"

namespace chorale::cuda {

class Upload {
 public:
  Upload() = default;
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  void Clear() { entries_.clear(); }
  // The values must live until Send. *device points to them after it.
  template <typename T>
  void Add(std::span<const T> values, const T** device) {
    entries_.push_back({values.data(), values.size_bytes(), reinterpret_cast<const void**>(device)});
  }
  template <typename T>
  void Add(const std::vector<T>& values, const T** device) {
    Add(std::span<const T>(values), device);
  }
  void Send(cudaStream_t stream);

 private:
  struct Entry {
    const void* source;
    size_t bytes;
    const void** device;
  };
  struct Staging {
    PinnedMemory memory;
    cudaEvent_t sent = nullptr;
  };

  std::vector<Entry> entries_;
  Staging staging_[2];
  int32_t turn_ = 0;
  DeviceMemory device_;
};

}  // namespace chorale::cuda
