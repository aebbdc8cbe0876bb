// WeightUploader: brings a checkpoint's matrices to the device. Several threads read pieces of them, each into pinned
// buffers of its own, so that disk, memory and bus are all busy; one buffer is filled while the other is on its way.
#pragma once

#include <cuda_runtime.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "model/host_tensor.h"

namespace chorale::cuda {

class WeightUploader {
 public:
  explicit WeightUploader(int32_t device) : device_(device) {}
  ~WeightUploader();
  WeightUploader(const WeightUploader&) = delete;
  WeightUploader& operator=(const WeightUploader&) = delete;

  // The tensor as elements of `dtype` (16 bits) with rows `stride` elements apart. Returns at once: the tensor's bytes and
  // the target stay until Finish.
  void Add(const HostTensor& tensor, int32_t dtype, uint8_t* target, int64_t stride);
  // What has not been read yet is not wanted any more.
  void GiveUp(const Status& reason);
  // Waits until everything is there; the first failure. Threads and buffers end.
  Status Finish();

 private:
  struct Piece {
    HostTensor tensor;
    int32_t dtype = kBF16;
    int64_t row = 0;
    int64_t rows = 0;
    uint8_t* target = nullptr;
    int64_t stride = 0;
  };
  class Worker;

  void Work();
  bool Take(Piece* piece);

  const int32_t device_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  bool complete_ = false;  // no more will come
  Status failure_;
};

}  // namespace chorale::cuda
