// AlignedBytes: a growing buffer that starts at a multiple of 16, as the views of step buffers and manifests ask.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace chorale {

class AlignedBytes {
 public:
  void Assign(std::span<const uint8_t> bytes) {
    chunks_.resize((bytes.size() + sizeof(Chunk) - 1) / sizeof(Chunk));
    if (!bytes.empty()) std::memcpy(chunks_.data(), bytes.data(), bytes.size());
    size_ = bytes.size();
  }
  std::span<const uint8_t> bytes() const { return {reinterpret_cast<const uint8_t*>(chunks_.data()), size_}; }

 private:
  struct alignas(16) Chunk {
    uint8_t bytes[16];
  };
  std::vector<Chunk> chunks_;
  size_t size_ = 0;
};

}  // namespace chorale
