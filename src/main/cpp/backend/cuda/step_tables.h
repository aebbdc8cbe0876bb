// StepTables: many small tables of the host, packed together and copied to the device in one piece, at addresses that
// stay the same from step to step until a table outgrows its place. So what was recorded for one step may be replayed
// for the next.
//
//   tables.Begin();  tables.Add(positions, &rows.positions, 32); ...;  tables.Place(stream);  tables.Send(stream, turn);
//
// Place fills in the device addresses, Send copies: between them, values that hold such addresses can be set. What was
// sent stays until the next Send, which comes after all kernels of the stream that were launched before it, so one device
// buffer is enough; of the pinned ones there are two, since the copy from one may still be under way when the next is
// filled.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "backend/cuda/device_memory.h"

namespace chorale::cuda {

class StepTables {
 public:
  StepTables() = default;
  ~StepTables();
  StepTables(const StepTables&) = delete;
  StepTables& operator=(const StepTables&) = delete;

  void Begin() { entries_.clear(); }
  // The values must live until Send. *device points to them after Place. The same tables come in the same order each
  // time; `room` elements are provided for at least.
  template <typename T>
  void Add(std::span<const T> values, const T** device, int64_t room = 0) {
    entries_.push_back({values.data(), static_cast<int64_t>(values.size_bytes()),
                        std::max<int64_t>(room * static_cast<int64_t>(sizeof(T)), values.size_bytes()),
                        reinterpret_cast<const void**>(device)});
  }
  template <typename T>
  void Add(const std::vector<T>& values, const T** device, int64_t room = 0) {
    Add(std::span<const T>(values), device, room);
  }
  Status Place(cudaStream_t stream);
  void Send(cudaStream_t stream, int32_t turn);

  // Grows whenever an address changes.
  int64_t generation() const { return generation_; }

 private:
  struct Entry {
    const void* source;
    int64_t bytes;
    int64_t room;
    const void** device;
  };
  struct Spot {
    int64_t place;
    int64_t room;
  };
  struct Staging {
    PinnedMemory memory;
    cudaEvent_t sent = nullptr;
  };

  bool Fits() const;
  Status Move(cudaStream_t stream);

  std::vector<Entry> entries_;
  std::vector<Spot> spots_;
  int64_t generation_ = 0;
  Staging staging_[2];
  DeviceMemory device_;
};

}  // namespace chorale::cuda
