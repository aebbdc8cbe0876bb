#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace chorale {
namespace {

TEST(ThreadPoolTest, RunsEverySliceOnce) {
  for (int32_t threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t slices : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int32_t>> runs(slices);
      pool.Run(slices, [&](int64_t slice, int32_t thread) {
        ASSERT_LT(thread, threads);
        runs[slice].fetch_add(1);
      });
      for (const auto& count : runs) ASSERT_EQ(count.load(), 1);
    }
  }
}

// Regions follow each other faster than threads wake: a claim made late must never run a slice of the wrong region.
TEST(ThreadPoolTest, KeepsRegionsApart) {
  ThreadPool pool(4);
  for (int64_t region = 0; region < 20'000; ++region) {
    const int64_t slices = 2 + region % 5;
    std::atomic<int64_t> sum{0};
    pool.Run(slices, [&sum, region](int64_t slice, int32_t) { sum.fetch_add(region * 10 + slice); });
    ASSERT_EQ(sum.load(), slices * region * 10 + slices * (slices - 1) / 2) << "region " << region;
  }
}

TEST(ThreadPoolTest, WakesWorkersThatSleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than workers spin
    std::atomic<int32_t> runs{0};
    pool.Run(50, [&](int64_t, int32_t) { runs.fetch_add(1); });
    ASSERT_EQ(runs.load(), 50);
  }
}

TEST(ThreadPoolTest, ThrowsWhatABodyThrew) {
  ThreadPool pool(3);
  for (int round = 0; round < 100; ++round) {
    std::atomic<int32_t> runs{0};
    EXPECT_THROW(pool.Run(20, [&](int64_t slice, int32_t) {
      runs.fetch_add(1);
      if (slice % 7 == 3) throw std::runtime_error("planted");
    }), std::runtime_error);
    ASSERT_EQ(runs.load(), 20);
    pool.Run(20, [](int64_t, int32_t) {});
  }
}

TEST(ThreadPoolTest, RunsMoreSlicesThanATicketCounts) {
  ThreadPool pool(2);
  constexpr int64_t kSlices = (1 << 21) + 5;
  std::vector<uint8_t> runs(kSlices);
  pool.Run(kSlices, [&](int64_t slice, int32_t) { ++runs[slice]; });
  for (int64_t slice = 0; slice < kSlices; ++slice) ASSERT_EQ(runs[slice], 1) << slice;
}

}  // namespace
}  // namespace chorale
