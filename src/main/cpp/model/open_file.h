// A regular file open for reading.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace chorale {

class OpenFile {
 public:
  // `bytes` is the size that was verified earlier; a file of another size is refused. -1: any.
  static Result<OpenFile> Open(const std::string& path, int64_t bytes = -1);

  OpenFile() = default;
  OpenFile(OpenFile&& other) noexcept { *this = std::move(other); }
  OpenFile& operator=(OpenFile&& other) noexcept;
  ~OpenFile();

  bool is_open() const { return descriptor_ >= 0; }
  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  int64_t bytes() const { return bytes_; }
  // Any thread. Fills `out` from an offset. A file that became shorter since it was opened is an error, not a signal.
  Status ReadAt(int64_t offset, std::span<uint8_t> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace chorale
