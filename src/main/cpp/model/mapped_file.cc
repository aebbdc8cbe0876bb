#include "model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace chorale {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

Status Failed(const std::string& path, const char* what) {
  return Status::Invalid(Format("%s: cannot %s: %s", path.c_str(), what, std::strerror(errno)));
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path, int64_t bytes) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value() < 0) return Failed(path, "open");
  struct stat info;
  if (fstat(file.value(), &info) != 0) return Failed(path, "stat");
  if (!S_ISREG(info.st_mode)) return Status::Invalid(Format("%s: is not a file", path.c_str()));
  if (bytes >= 0 && info.st_size != bytes) {
    return Status::Invalid(Format("%s: has %lld bytes, but had %lld when it was verified", path.c_str(),
                                  static_cast<long long>(info.st_size), static_cast<long long>(bytes)));
  }
  MappedFile mapped;
  if (info.st_size == 0) return mapped;  // mmap refuses to map nothing
  void* address = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, file.value(), 0);
  if (address == MAP_FAILED) return Failed(path, "map");
  mapped.bytes_ = {static_cast<const uint8_t*>(address), static_cast<size_t>(info.st_size)};
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
