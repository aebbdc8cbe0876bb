// What fails on one shard while the others succeed never leaves them waiting: lack of memory is a fault of the step on all
// shards, and the engine goes on; a device that fails ends the engine, and its reason is the one that is told.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "testing/engine_harness.h"
#include "testing/faulty_backend.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Fault;
using testing::Generation;
using testing::StepBuilder;

constexpr int32_t kShards = 2;

void Plant(int32_t shard, Fault fault) {
  void* library = dlopen(FAULTY_BACKEND, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto plant = reinterpret_cast<testing::PlantFaultFunction>(dlsym(library, testing::kPlantFaultSymbol));
  ASSERT_NE(plant, nullptr) << dlerror();
  plant(shard, fault);
}

struct Case {
  std::string scheme;
  int32_t shard;
};

class ShardFaultTest : public ::testing::TestWithParam<Case> {
 protected:
  ~ShardFaultTest() override { Plant(-1, Fault::kNone); }

  static EngineConfig Config() {
    EngineConfig config;
    config.backend = "cuda";
    config.library_dir = FAULTY_BACKEND_DIR;
    config.shards = kShards;
    config.lora_sharding = GetParam().scheme;
    config.pool_bytes = 4 << 20;
    config.poison = 1;
    config.threads = 2;
    return config;
  }

  EngineHarness& harness() {
    if (harness_ == nullptr) {
      harness_ = std::make_unique<EngineHarness>(testing::SmallSpec(), testing::RandomModel(testing::SmallSpec(), 1), Config());
    }
    return *harness_;
  }
  testing::TensorSet Adapter() {
    return testing::RandomAdapter(harness().spec(), 5, [](int32_t, Target) { return 6; });
  }
  void Fail(Fault fault) { Plant(GetParam().shard, fault); }
  void Heal() { Plant(-1, Fault::kNone); }

  std::vector<int32_t> Answer(int32_t slot, int32_t merged_slot = -1) {
    Generation g;
    g.prompt = harness().Prompt(21, 3);
    g.slot = slot;
    g.pages = {40, 41};
    harness().Generate({&g}, 3, 1000, merged_slot);
    return g.tokens;
  }

  // Of a step that is begun: its fault, on all shards alike.
  void ExpectFault(StepBuilder& step, const std::string& what) {
    ASSERT_TRUE(harness().Begin(step).ok());
    const testing::ResultReader result = harness().Await();
    EXPECT_EQ(result.header().status, CH_RESOURCE_EXHAUSTED);
    const std::string start = Format("shard %d: %s: a planted lack of memory", GetParam().shard, what.c_str());
    EXPECT_EQ(result.fault().substr(0, start.size()), start);
  }

  void ExpectDead(StepBuilder& step, const std::string& what) {
    ASSERT_TRUE(harness().Begin(step).ok());
    std::vector<uint8_t> out(1 << 20);
    int64_t bytes = 0;
    const Status status = harness().engine().Await(out, &bytes);
    EXPECT_EQ(status.code(), CH_DEAD);
    EXPECT_EQ(status.message(), Format("shard %d: the engine thread failed: %s: a planted failure of the device",
                                       GetParam().shard, what.c_str()));
    StepBuilder more;
    more.Sequence({5}, 0, {1}, 20).Segment().Sample();
    EXPECT_EQ(harness().Begin(more).code(), CH_DEAD);
  }

 private:
  std::unique_ptr<EngineHarness> harness_;
};

TEST_P(ShardFaultTest, AMergeThatOneShardHasNoMemoryForIsOneThatNoneHas) {
  harness().Load(0, Adapter(), 0);
  const std::vector<int32_t> unmerged = Answer(0);
  StepBuilder failing, merged, merge, unmerge;
  Fail(Fault::kShadow);
  ExpectFault(failing.Merge(0), "shadow weights");
  EXPECT_EQ(Answer(0), unmerged);
  merged.Sequence({5}, 0, {42}, 20).Segment().Sample().Merged(0);
  ASSERT_TRUE(harness().Begin(merged).ok());
  EXPECT_NE(harness().Await().fault().find("slot 0 has no merged weights: its merge failed"), std::string::npos);
  Heal();
  harness().Run(merge.Merge(0));
  EXPECT_EQ(Answer(-1, 0), unmerged);
  harness().Run(unmerge.Unmerge());
}

TEST_P(ShardFaultTest, AStepThatOneShardCannotPrepareIsAFaultOfAll) {
  const std::vector<int32_t> before = Answer(-1);
  StepBuilder step;
  Fail(Fault::kPrepare);
  step.Sequence({5}, 0, {1}, 20).Segment().Sample();
  ExpectFault(step, "step tables");
  Heal();
  EXPECT_EQ(Answer(-1), before);
}

TEST_P(ShardFaultTest, AnAdapterThatOneShardHasNoMemoryForIsNotStaged) {
  testing::TensorSet adapter = Adapter();
  AlignedBytes manifest;
  manifest.Assign(adapter.BuildFor("memory"));
  Result<ManifestView> view = ManifestView::ParseAdapter(manifest.bytes(), harness().spec());
  ASSERT_TRUE(view.ok());
  testing::MemorySpans spans(adapter.data);
  Fail(Fault::kStage);
  const Status status = harness().engine().Stage(view.value(), spans).status();
  EXPECT_EQ(status.code(), CH_RESOURCE_EXHAUSTED);
  EXPECT_NE(status.message().find("a staged adapter: a planted lack of memory"), std::string::npos) << status.message();
  Heal();
  harness().Load(0, Adapter(), 0);
  EXPECT_NE(Answer(0), Answer(-1));
}

TEST_P(ShardFaultTest, ALoadThatFailsEndsAll) {
  const StagedAdapter staged = harness().Stage(Adapter());
  std::vector<int32_t> pages(staged.pages);
  std::iota(pages.begin(), pages.end(), 0);
  StepBuilder step;
  Fail(Fault::kLoad);
  step.Load(0, staged.handle, pages, 0, harness().layer_groups());
  step.Sequence({5}, 0, {40}, 20).Segment({{0, 1.0f}}).Sample();
  ExpectDead(step, "a load");
}

TEST_P(ShardFaultTest, AMergeThatFailsHalfWayEndsAll) {
  harness().Load(0, Adapter(), 0);
  StepBuilder step;
  Fail(Fault::kMerge);
  ExpectDead(step.Merge(0), "a merge");
}

TEST_P(ShardFaultTest, AnUnmergeThatFailsEndsAll) {
  harness().Load(0, Adapter(), 0);
  StepBuilder merge, step;
  harness().Run(merge.Merge(0));
  Fail(Fault::kUnmerge);
  step.Unmerge().Sequence({5}, 0, {40}, 20).Segment().Sample();
  ExpectDead(step, "unmerging");
}

TEST_P(ShardFaultTest, AnExportThatFailsEndsAll) {
  Answer(-1);
  StepBuilder step;
  Fail(Fault::kReadPage);
  ExpectDead(step.Export({40}), "reading a page");
}

TEST_P(ShardFaultTest, AShardThatCannotBeMadeIsNamed) {
  testing::TensorSet model = testing::RandomModel(testing::SmallSpec(), 1);
  AlignedBytes manifest;
  manifest.Assign(model.BuildFor("memory"));
  Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
  testing::MemorySpans spans(model.data);
  Fail(Fault::kNoPool);
  const Status status = ShardedEngine::Create(Config(), view.value(), spans).status();
  EXPECT_EQ(status.code(), CH_RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.message(), Format("shard %d: the page pool: a planted lack of memory", GetParam().shard));
}

TEST_P(ShardFaultTest, ThePoolIsAsLargeAsTheSmallestShards) {
  const std::vector<int32_t> expected = Answer(-1);
  const int32_t whole = harness().engine().Limits().page_count;
  Fail(Fault::kPool);
  harness().Open();
  const int32_t least = harness().engine().Limits().page_count;
  EXPECT_EQ(least, whole / 2);
  const std::string told = Format("; shard %d has room for %d pages and shard %d for %d, of which %d stay unused",
                                  GetParam().shard, least, kShards - 1 - GetParam().shard, whole, whole - least);
  EXPECT_NE(harness().engine().Describe().find(told), std::string::npos) << harness().engine().Describe();
  StepBuilder beyond, last;
  beyond.Sequence({5}, 0, {least}, 20).Segment().Sample();
  EXPECT_EQ(harness().Begin(beyond).code(), CH_INVALID_ARGUMENT);
  harness().Run(last.Sequence({5}, 0, {least - 1}, 20).Segment().Sample());
  EXPECT_EQ(Answer(-1), expected);
}

std::vector<Case> Cases() { return {{"replicate", 0}, {"replicate", 1}, {"sharded", 0}, {"sharded", 1}}; }

INSTANTIATE_TEST_SUITE_P(Shards, ShardFaultTest, ::testing::ValuesIn(Cases()), [](const auto& info) {
  return Format("%s_%d", info.param.scheme.c_str(), info.param.shard);
});

}  // namespace
}  // namespace chorale
