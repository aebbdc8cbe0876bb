// AnonymousMemory: a zero-filled range of memory from the kernel, committed page by page as it is first touched.
#pragma once

#include <cstdint>
#include <utility>

#include "base/status.h"

namespace chorale {

class AnonymousMemory {
 public:
  AnonymousMemory() = default;
  static Result<AnonymousMemory> Allocate(int64_t bytes, const char* purpose);
  ~AnonymousMemory();
  AnonymousMemory(AnonymousMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  uint8_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  template <typename T> T* as() const { return reinterpret_cast<T*>(data_); }

 private:
  AnonymousMemory(uint8_t* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace chorale
