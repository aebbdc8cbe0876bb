#include "model/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace chorale {

Result<MappedFile> MappedFile::Open(const std::string& path, int64_t bytes) {
  Result<OpenFile> file = OpenFile::Open(path, bytes);
  if (!file.ok()) return file.status();
  return Of(file.value());
}

Result<MappedFile> MappedFile::Of(const OpenFile& file) {
  MappedFile mapped;
  const int64_t size = file.bytes();
  if (size == 0) return mapped;  // mmap refuses to map nothing
  void* address = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) return Status::Invalid(Format("%s: cannot map: %s", file.path().c_str(), std::strerror(errno)));
  mapped.bytes_ = {static_cast<const uint8_t*>(address), static_cast<size_t>(size)};
  return mapped;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace chorale
