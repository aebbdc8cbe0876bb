// Shards that fail or are late, GPUs with less room or no way to each other: what a model on several GPUs does then, and what it
// says.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "cuda/shard_cases.h"

namespace chorale {
namespace {

// For as long as it lives, a variable of the environment.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class Thrower final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float>, int64_t) override {
    if (op == kOpSwiGlu && layer == 1) throw std::runtime_error("a device has gone");
  }
};

// The first shard's kernels wait for what the second never sends.
TEST_F(CudaShardTest, AShardThatFailsFailsAllAtOnce) {
  auto harness = Bare(ShardCases()[0], Config(2));
  harness->engine().SetObserver(nullptr);
  Thrower thrower;
  harness->engine().engine(1).SetObserver(&thrower);
  StepBuilder step;
  step.Sequence({5, 6, 7}, 0, {kFirstPage}, 3).Segment().Sample();
  ASSERT_TRUE(harness->Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const auto begin = std::chrono::steady_clock::now();
  const Status status = harness->engine().Await(out, &bytes);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_NE(status.message().find("a device has gone"), std::string::npos) << status.message();
}

class Sleeper final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float>, int64_t) override {
    if (op == kOpO && layer == 0) std::this_thread::sleep_for(std::chrono::seconds(12));
  }
};

// The second shard gives up waiting for the first, which is late, and goes on with numbers that have not come.
TEST_F(CudaShardTest, WhatAShardHasGivenUpWaitingForIsNoResult) {
  auto harness = Bare(ShardCases()[0], Config(2));
  Sleeper sleeper;
  harness->engine().SetObserver(&sleeper);
  StepBuilder step;
  step.Sequence({5, 6, 7}, 0, {kFirstPage}, 3).Segment().Sample();
  ASSERT_TRUE(harness->Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const Status status = harness->engine().Await(out, &bytes);
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_NE(status.message().find("GPU 1 has waited 10 s for what GPU 0 was to send"), std::string::npos) << status.message();
}

// The first GPU has less room, as something else is there: all use as many pages as it has, and are told so.
TEST_F(CudaShardTest, ThePoolIsAsLargeAsTheFullestGpuAllows) {
  const Case c = ShardCases()[0];
  EngineConfig large = Config(1), all_there_is = Config(2);
  large.pool_bytes = int64_t{8} << 30;
  all_there_is.pool_bytes = 0;
  auto beside = Bare(c, large), equal = Bare(c, Config(2)), unequal = Bare(c, all_there_is);
  const std::string text = unequal->engine().Describe();
  for (const char* part : {"shard 0 has room for", "stay unused"}) EXPECT_NE(text.find(part), std::string::npos) << text;
  const int32_t pages = unequal->engine().Limits().page_count;
  equal->engine().SetObserver(nullptr);
  unequal->engine().SetObserver(nullptr);
  std::vector<testing::ResultReader> results;
  for (auto [harness, page] : {std::pair{equal.get(), kFirstPage}, {unequal.get(), pages - 1}}) {
    StepBuilder step;
    results.push_back(harness->Run(step.Sequence({5, 6, 7}, 0, {page}, 3).Segment().Sample()));
  }
  EXPECT_EQ(results[0].drawn_ids()[0], results[1].drawn_ids()[0]);
  StepBuilder beyond;
  EXPECT_EQ(unequal->Begin(beyond.Sequence({5}, 0, {pages}, 1).Segment().Sample()).code(), CH_INVALID_ARGUMENT);
}

TEST_F(CudaShardTest, GpusThatDoNotReachEachOtherGoThroughNccl) {
  const Case c = ShardCases()[0];
  auto peers = Make(c, 2);
  const Variable none("CHORALE_PEER_ACCESS", "0");
  const Status status = TryToOpen(kTwelveHeads, Config(2));
  if (status.message().find("NCCL, which would do, was not found") != std::string::npos) GTEST_SKIP() << status.message();
  ASSERT_TRUE(status.ok()) << status.message();
  auto eager = Make(c, 2, false), replayed = Make(c, 2, true);
  EXPECT_NE(eager->engine().Describe().find("NCCL"), std::string::npos) << eager->engine().Describe();
  if (gpus_ >= 4) {
    auto four = Make(c, 4);
    EXPECT_EQ(Play(*four, 5, 4).tokens.size(), 25u);
  }
  const Played by_peers = Play(*peers, 5, 1), want = Play(*eager, 5, 12), got = Play(*replayed, 5, 12);
  EXPECT_EQ(want.tokens, got.tokens);
  EXPECT_TRUE(SameBits(want.logprobs, got.logprobs));
  for (size_t i = 0; i < 5; i += 2) EXPECT_NEAR(by_peers.logprobs[i], want.logprobs[i], 0.1);  // greedy ones
}

TEST_F(CudaShardTest, WithoutPeerAccessItSaysWhatWouldDo) {
  const Variable none("CHORALE_PEER_ACCESS", "0"), nowhere("CHORALE_NCCL", "/nowhere/libnccl.so.2");
  const std::string message = TryToOpen(kTwelveHeads, Config(2)).message();
  for (const char* part : {"do not reach each other", "/nowhere/libnccl.so.2", "install libnccl2", "shards=1"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  const std::string sharded = TryToOpen(kTwelveHeads, Config(2, "sharded")).message();
  EXPECT_NE(sharded.find("lora_sharding=replicate does without"), std::string::npos) << sharded;
}

TEST_F(CudaShardTest, MoreShardsThanGpusIsSaid) {
  const Status status = TryToOpen(kTwelveHeads, Config(12));
  EXPECT_NE(status.message().find("each takes a GPU of its own, and this machine shows"), std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace chorale
