// A file mapped read-only for as long as the object lives.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "model/open_file.h"

namespace chorale {

class MappedFile {
 public:
  // Maps the whole file. `bytes` is the size that was verified earlier; a file of another size is refused. -1: any.
  static Result<MappedFile> Open(const std::string& path, int64_t bytes = -1);
  static Result<MappedFile> Of(const OpenFile& file);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace chorale
