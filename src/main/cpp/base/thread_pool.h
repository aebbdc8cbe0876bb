// ThreadPool: runs one parallel region at a time over numbered slices that threads claim as they go.
//
// The calling thread works too, so a region always makes progress, however busy the machine is: it only ever waits for
// slices that another thread has claimed and is computing. Between regions workers spin briefly (a decode step is a
// chain of regions of some microseconds each) and then sleep in the kernel.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace chorale {

class ThreadPool {
 public:
  explicit ThreadPool(int32_t threads);  // the caller included; 0: one a core
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int32_t threads() const { return static_cast<int32_t>(workers_.size()) + 1; }

  // Calls body(slice, thread) once for every slice of [0, slices), thread < threads(); returns when all have returned,
  // and throws what a body threw first. One caller at a time; bodies do not call Run.
  template <typename Body>
  void Run(int64_t slices, const Body& body) {
    RunErased(slices, [](const void* context, int64_t slice, int32_t thread) {
      (*static_cast<const Body*>(context))(slice, thread);
    }, &body);
  }

 private:
  using Call = void (*)(const void* context, int64_t slice, int32_t thread);

  void RunErased(int64_t slices, Call call, const void* context);
  bool RunOneSlice(int32_t thread);
  void Work(int32_t thread);

  // generation (22 bits) | slices (21) | next slice (21): one word, so that a claim made late can never be mistaken for
  // one of the next region.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> unfinished_{0};
  std::atomic<uint32_t> wake_{0};     // workers sleep on this
  std::atomic<int32_t> sleepers_{0};
  std::atomic<bool> stop_{false};
  Call call_ = nullptr;               // written before ticket_, read only by the holder of a claim
  const void* context_ = nullptr;
  std::atomic_flag failed_ = ATOMIC_FLAG_INIT;
  std::exception_ptr failure_;        // written by who set failed_
  std::vector<std::thread> workers_;
};

}  // namespace chorale
