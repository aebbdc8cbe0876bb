// MergeLog: memory for what a merge in place has to remember of the weights, reserved before the page pool takes the rest.
#pragma once

#include <utility>

#include "backend/cuda/device_memory.h"

namespace chorale::cuda {

// Weights and their places. Gives its memory back when it ends.
class LogEntries {
 public:
  static constexpr int64_t kEntryBytes = 6;

  LogEntries() = default;
  LogEntries(LogEntries&& other) noexcept { *this = std::move(other); }
  LogEntries& operator=(LogEntries&& other) noexcept {
    std::swap(own_, other.own_);
    std::swap(in_use_, other.in_use_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~LogEntries() {
    if (in_use_ != nullptr) --*in_use_;
  }

  uint32_t* places() const { return reinterpret_cast<uint32_t*>(data_); }
  uint16_t* bits() const { return reinterpret_cast<uint16_t*>(data_ + 4 * count_); }
  int64_t count() const { return count_; }

 private:
  friend class MergeLog;

  DeviceMemory own_;           // where nothing is reserved
  int64_t* in_use_ = nullptr;  // counts who uses what is
  uint8_t* data_ = nullptr;
  int64_t count_ = 0;
};

class MergeLog {
 public:
  Status Reserve(int64_t bytes) {
    Result<DeviceMemory> memory = DeviceMemory::Allocate(bytes, "the log of merges in place");
    if (!memory.ok()) return memory.status();
    reserved_ = std::move(memory).value();
    return Status::Ok();
  }

  // Of what is reserved, or, where nothing is, of what the device has left.
  Result<LogEntries> Take(int64_t count) {
    LogEntries entries;
    entries.count_ = count;
    const int64_t bytes = (count * LogEntries::kEntryBytes + 255) / 256 * 256;
    if (reserved_.bytes() == 0) {
      Result<DeviceMemory> memory = DeviceMemory::Allocate(bytes, "the log of a merge");
      if (!memory.ok()) return memory.status();
      entries.own_ = std::move(memory).value();
      entries.data_ = entries.own_.data();
      return entries;
    }
    if (in_use_ == 0) taken_ = 0;  // a merge takes all its entries before it gives any back
    if (taken_ + bytes > reserved_.bytes()) {
      return Status::Exhausted(Format("the log of a merge outgrows the %lld bytes that are reserved for it: the adapter "
                                      "changes too much of the weights to be merged in place",
                                      static_cast<long long>(reserved_.bytes())));
    }
    entries.data_ = reserved_.data() + taken_;
    taken_ += bytes;
    entries.in_use_ = &in_use_;
    ++in_use_;
    return entries;
  }

 private:
  DeviceMemory reserved_;
  int64_t taken_ = 0;
  int64_t in_use_ = 0;
};

}  // namespace chorale::cuda
