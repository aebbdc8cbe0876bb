#include "base/thread_pool.h"

#include <algorithm>
#include <utility>

namespace chorale {
namespace {

constexpr int kFieldBits = 21;
constexpr uint64_t kFieldMask = (uint64_t{1} << kFieldBits) - 1;
constexpr int kSpins = 4000;       // some 20 to 50 us: longer than the serial pieces between two regions
constexpr int kSpinsThenYield = 200;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

uint64_t Slices(uint64_t ticket) { return (ticket >> kFieldBits) & kFieldMask; }
uint64_t Next(uint64_t ticket) { return ticket & kFieldMask; }

}  // namespace

ThreadPool::ThreadPool(int32_t threads) {
  if (threads <= 0) threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  for (int32_t thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { Work(thread); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(int64_t slices, Call call, const void* context) {
  if (slices <= 0) return;
  if (slices == 1 || workers_.empty()) {
    for (int64_t slice = 0; slice < slices; ++slice) call(context, slice, 0);
    return;
  }
  for (int64_t first = 0; first < slices;) {  // regions of more slices than the ticket counts are run in parts
    const int64_t count = std::min<int64_t>(slices - first, static_cast<int64_t>(kFieldMask));
    struct Part { Call call; const void* context; int64_t first; } part{call, context, first};
    call_ = [](const void* erased, int64_t slice, int32_t thread) {
      const Part& inner = *static_cast<const Part*>(erased);
      inner.call(inner.context, inner.first + slice, thread);
    };
    context_ = &part;
    unfinished_.store(count, std::memory_order_relaxed);
    const uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> (2 * kFieldBits)) + 1;
    ticket_.store((generation << (2 * kFieldBits)) | (static_cast<uint64_t>(count) << kFieldBits));
    if (sleepers_.load() > 0) {
      wake_.fetch_add(1);
      wake_.notify_all();
    }
    while (RunOneSlice(0)) {}
    for (int spins = 0; unfinished_.load(std::memory_order_acquire) > 0; ++spins) {
      if (spins < kSpinsThenYield) Pause(); else std::this_thread::yield();
    }
    first += count;
    if (failed_.test(std::memory_order_relaxed)) {
      failed_.clear();
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }
}

bool ThreadPool::RunOneSlice(int32_t thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if (Next(ticket) >= Slices(ticket)) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acquire));
  try {
    call_(context_, static_cast<int64_t>(Next(ticket)), thread);
  } catch (...) {
    if (!failed_.test_and_set()) failure_ = std::current_exception();
  }
  unfinished_.fetch_sub(1, std::memory_order_release);
  return true;
}

void ThreadPool::Work(int32_t thread) {
  while (!stop_.load(std::memory_order_relaxed)) {
    bool worked = false;
    for (int spins = 0; spins < kSpins; ++spins) {
      if (RunOneSlice(thread)) {
        worked = true;
        break;
      }
      Pause();
    }
    if (worked) continue;
    // Announce the sleep before the last look, so that a region published after that look is sure to wake this thread.
    sleepers_.fetch_add(1);
    const uint32_t seen = wake_.load();
    const uint64_t ticket = ticket_.load();
    if (Next(ticket) >= Slices(ticket) && !stop_.load()) wake_.wait(seen);
    sleepers_.fetch_sub(1);
  }
}

}  // namespace chorale
