#include "model/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace chorale {
namespace {

Status Failed(const std::string& path, const char* what) {
  return Status::Invalid(Format("%s: cannot %s: %s", path.c_str(), what, std::strerror(errno)));
}

}  // namespace

Result<OpenFile> OpenFile::Open(const std::string& path, int64_t bytes) {
  OpenFile file;
  file.path_ = path;
  file.descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (!file.is_open()) return Failed(path, "open");
  struct stat info;
  if (fstat(file.descriptor_, &info) != 0) return Failed(path, "stat");
  if (!S_ISREG(info.st_mode)) return Status::Invalid(Format("%s: is not a file", path.c_str()));
  if (bytes >= 0 && info.st_size != bytes) {
    return Status::Invalid(Format("%s: has %lld bytes, but had %lld when it was verified", path.c_str(),
                                  static_cast<long long>(info.st_size), static_cast<long long>(bytes)));
  }
  file.bytes_ = info.st_size;
  return file;
}

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

OpenFile::~OpenFile() {
  if (is_open()) close(descriptor_);
}

Status OpenFile::ReadAt(int64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(descriptor_, out.data(), out.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed(path_, "read");
    if (count == 0) {
      return Status::Invalid(Format("%s: ends at byte %lld, but had %lld when it was verified", path_.c_str(),
                                    static_cast<long long>(offset), static_cast<long long>(bytes_)));
    }
    offset += count;
    out = out.subspan(static_cast<size_t>(count));
  }
  return Status::Ok();
}

}  // namespace chorale
