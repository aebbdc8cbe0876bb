// Cuts that cover the whole, meetings, and collectives among threads.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <random>
#include <thread>

#include "model/host_tensor.h"
#include "model/image_view.h"
#include "shard/host_communicator.h"
#include "shard/shard_cut.h"

namespace chorale {
namespace {

void OnThreads(int32_t shards, const std::function<void(int32_t)>& body) {
  std::vector<std::thread> threads;
  for (int32_t shard = 0; shard < shards; ++shard) threads.emplace_back(body, shard);
  for (std::thread& thread : threads) thread.join();
}

TEST(ShardCutTest, SaysWhichShardHasTheLeastRoom) {
  EXPECT_EQ(UnequalPages(std::vector<int64_t>{700}), "");
  EXPECT_EQ(UnequalPages(std::vector<int64_t>{700, 700}), "");
  EXPECT_EQ(UnequalPages(std::vector<int64_t>{700, 900, 650}),
            "; shard 2 has room for 650 pages and shard 1 for 900, of which 250 stay unused");
}

TEST(ShardCutTest, EveryWeightIsInOneShardAndKeyValueHeadsAreWhereTheirQueriesAre) {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  const ModelSpec whole{1, 40, 96, 12, 2, 8, 101, 256, 8, 0, 0, 0, 1e-5f, 1, 0.35f, 0};
  for (int32_t shards : {1, 2, 4, 6, 12}) {
    ASSERT_TRUE(CheckShards(whole, shards, LoraSharding::kReplicate).ok());
    int64_t vocab = 0;
    for (int32_t index = 0; index < shards; ++index) {
      const Shard shard{.index = index, .count = shards};
      const ModelSpec spec = ShardSpec(whole, shard);
      for (Target target : {kQ, kGate, kUp}) {
        const Part outputs = CutOf(whole, shard, target).outputs;
        EXPECT_EQ(outputs.begin, OutWidth(whole, target) * index / shards);
        EXPECT_EQ(outputs.end, OutWidth(whole, target) * (index + 1) / shards);
      }
      for (Target target : {kO, kDown}) {
        const LinearCut cut = CutOf(whole, shard, target);
        EXPECT_EQ(cut.inputs.begin, InWidth(whole, target) * index / shards);
        EXPECT_EQ(cut.inputs.end, InWidth(whole, target) * (index + 1) / shards);
        EXPECT_EQ(cut.outputs.size(), whole.hidden);
        EXPECT_EQ(cut.has_bias, index == 0);
      }
      const Part keys = CutOf(whole, shard, kK).outputs;
      for (int32_t head = 0; head < spec.heads; ++head) {  // of the shard's queries, by the whole model's numbers
        const int32_t query = index * spec.heads + head;
        const int64_t key = keys.begin / whole.head_dim + head / (spec.heads / spec.kv_heads);
        EXPECT_EQ(key, query / (whole.heads / whole.kv_heads)) << shards << " shards, query head " << query;
      }
      EXPECT_EQ(VocabOf(whole, shard).begin, vocab);
      vocab = VocabOf(whole, shard).end;
    }
    EXPECT_EQ(vocab, whole.vocab);
  }
}

TEST(ShardGroupTest, AgreesOnTheFirstFailure) {
  ShardGroup group(4);
  OnThreads(4, [&](int32_t shard) {
    for (int32_t round = 0; round < 200; ++round) {
      EXPECT_TRUE(group.Agree(shard, Status::Ok()).ok());
      const Status mine = shard == 1 || shard == 3 ? Status::Exhausted(Format("no memory in round %d", round)) : Status::Ok();
      const Status agreed = group.Agree(shard, mine);
      EXPECT_EQ(agreed.code(), CH_RESOURCE_EXHAUSTED);
      EXPECT_EQ(agreed.message(), Format("shard 1: no memory in round %d", round));
      EXPECT_EQ(group.Tell(shard, shard * 10 + round), (std::vector<int64_t>{round, 10 + round, 20 + round, 30 + round}));
    }
  });
}

TEST(ShardGroupTest, AbortFreesWhoWaitsAndWhoComes) {
  ShardGroup group(3);
  OnThreads(3, [&](int32_t shard) {
    if (shard == 2) {
      group.Abort("shard 2: out of luck");
      group.Abort("and again");
      return;
    }
    EXPECT_THROW(group.Meet(shard, nullptr), ShardsAborted);
    EXPECT_THROW(group.Meet(shard, nullptr), ShardsAborted);
  });
  EXPECT_EQ(group.failure(), "shard 2: out of luck");
}

TEST(ShardGroupTest, TellsOfAnAbortOnceAndOnlyWhoStillListens) {
  ShardGroup group(2);
  int32_t told = 0;
  const int32_t owners[2] = {};
  group.WhenAborted(&owners[0], [&] { ++told; });
  group.WhenAborted(&owners[1], [&] { told += 10; });
  EXPECT_FALSE(group.Forget(&owners[1]));
  group.Abort("out of luck");
  group.Abort("again");
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(group.Forget(&owners[0]));  // it has been told
}

// Of a file and of noise alike: the numbers that the whole has there.
TEST(HostTensorTest, ARectangleHasTheNumbersOfTheWhole) {
  constexpr int64_t kRows = 7, kCols = 12;
  std::vector<float> stored(kRows * kCols);
  std::iota(stored.begin(), stored.end(), 0.0f);
  HostTensor of_file{.bytes = {reinterpret_cast<const uint8_t*>(stored.data()), stored.size() * 4}, .rows = kRows, .cols = kCols};
  HostTensor of_noise{.rows = kRows, .cols = kCols, .noise = Noise{.seed = 5, .deviation = 1}};
  for (const HostTensor& whole : {of_file, of_noise}) {
    std::vector<float> all(kRows * kCols);
    whole.Read(0, kRows * kCols, all.data());
    for (const Part rows : {Part{0, 7}, Part{2, 5}}) {
      for (const Part cols : {Part{0, 12}, Part{4, 8}, Part{7, 12}}) {
        const HostTensor part = whole.Cut({1, 7}, {0, 12}).Cut({rows.begin, std::min<int64_t>(rows.end, 6)}, cols);
        EXPECT_EQ(part.contiguous(), cols.size() == kCols);
        const int64_t count = part.rows * part.cols;
        std::vector<float> numbers(count);
        part.Read(0, count / 3, numbers.data());  // in two pieces that do not end with a row
        part.Read(count / 3, count - count / 3, numbers.data() + count / 3);
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(numbers[i], all[(1 + rows.begin + i / part.cols) * kCols + cols.begin + i % part.cols]) << i;
        }
      }
    }
  }
}

TEST(HostCommunicatorTest, SumsInTheOrderOfTheShards) {
  constexpr int64_t kRows = 5, kCols = 7, kStride = 9;
  for (int32_t shards : {2, 3, 4}) {
    std::mt19937 random(shards);
    std::vector<std::vector<float>> blocks(shards, std::vector<float>(kRows * kStride));
    for (auto& block : blocks) {
      for (float& value : block) value = std::ldexp(static_cast<float>(random() % 1000), static_cast<int>(random() % 30));
    }
    std::vector<float> expected = blocks[0];
    for (int32_t shard = 1; shard < shards; ++shard) {
      for (size_t i = 0; i < expected.size(); ++i) expected[i] += blocks[shard][i];
    }
    const std::vector<std::vector<float>> before = blocks;
    ShardGroup group(shards);
    OnThreads(shards, [&](int32_t shard) {
      HostCommunicator communicator(group, shard);
      communicator.AllReduce(kSumHidden, {.data = blocks[shard].data(), .rows = kRows, .cols = kCols, .stride = kStride});
      EXPECT_EQ(communicator.counts(), (CollectiveCounts{1, 0, 0, 0, 0}));
    });
    for (int32_t shard = 0; shard < shards; ++shard) {
      for (int64_t i = 0; i < kRows * kStride; ++i) {
        EXPECT_EQ(blocks[shard][i], i % kStride < kCols ? expected[i] : before[shard][i]) << shard << ", " << i;
      }
    }
  }
}

TEST(HostCommunicatorTest, GathersUnevenColumns) {
  constexpr int64_t kRows = 3, kCols = 10;
  const std::vector<int64_t> begins = {0, 4, 4, 10};  // the second has none
  std::vector<std::vector<float>> blocks(3, std::vector<float>(kRows * kCols, -1));
  for (int32_t shard = 0; shard < 3; ++shard) {
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t col = begins[shard]; col < begins[shard + 1]; ++col) blocks[shard][row * kCols + col] = row * 100 + col;
    }
  }
  ShardGroup group(3);
  OnThreads(3, [&](int32_t shard) {
    HostCommunicator communicator(group, shard);
    communicator.AllGather(kGatherLogits, {.data = blocks[shard].data(), .rows = kRows, .cols = kCols, .stride = kCols}, begins);
  });
  for (const auto& block : blocks) {
    for (int64_t i = 0; i < kRows * kCols; ++i) EXPECT_EQ(block[i], i / kCols * 100 + i % kCols);
  }
}

}  // namespace
}  // namespace chorale
