#include "base/anonymous_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace chorale {

Result<AnonymousMemory> AnonymousMemory::Allocate(int64_t bytes, const char* purpose) {
  if (bytes <= 0) return AnonymousMemory();
  // Populated lazily and without reserving swap: sizes here are bounds (rows_max, pool_bytes), often not reached.
  void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return Status::Exhausted(Format("cannot allocate %lld bytes for %s: %s", static_cast<long long>(bytes), purpose,
                                    std::strerror(errno)));
  }
  if (bytes >= (int64_t{8} << 20)) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // a hint; may be refused
  return AnonymousMemory(static_cast<uint8_t*>(data), bytes);
}

AnonymousMemory::~AnonymousMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace chorale
