// Weights of an engine on a GPU: from files, merged, and where there is no memory left.
#include "cuda/cuda_cases.h"

namespace chorale {
namespace {

TEST_F(CudaEngineTest, MergedFollowsUnmergedAndLeavesTheBaseAlone) {
  const Case c = Cases()[0];
  std::vector<std::vector<float>> merged_logits;
  for (const std::string way : {"shadow", "in_place"}) {
    SCOPED_TRACE(way);
    EngineConfig config = CudaConfig();
    config.merge = way;
    auto harness = Open(c, 41, config);
    LoadAdapters(*harness, 3);
    const auto generate = [&](int32_t slot, bool merged) {
      Generation g;
      g.prompt = harness->Prompt(30, 1);
      g.slot = merged ? -1 : slot;
      for (int32_t page = 0; page < 4; ++page) g.pages.push_back(150 + page);
      std::vector<Generation*> one = {&g};
      harness->Generate(one, 1, 1000, merged ? slot : -1);
      return g.logits[0];
    };
    const auto merge = [&](int32_t slot, float scale) {
      StepBuilder step;
      step.Merge(slot, scale);
      harness->Run(step);
    };
    const int64_t before = harness->engine().WeightsDigest().value();
    const std::vector<std::vector<float>> unmerged = {generate(0, false), generate(1, false)};
    for (int32_t cycle = 0; cycle < 6; ++cycle) {  // one adapter after another, without unmerging between
      const int32_t slot = cycle % 2;
      merge(slot, 1.0f);
      const std::vector<float> merged = generate(slot, true);
      EXPECT_LT(RelativeError(merged, unmerged[slot]), 2e-2);
      EXPECT_EQ(harness->engine().WeightsDigest().value() == before, way == "shadow");
      // A step of others goes between, and merged steps go on as they were.
      EXPECT_TRUE(testing::SameBits(generate(1 - slot, false), unmerged[1 - slot]));
      EXPECT_EQ(harness->engine().WeightsDigest().value(), before);
      EXPECT_TRUE(testing::SameBits(generate(slot, true), merged));
      if (cycle < 2) merged_logits.push_back(merged);
    }
    StepBuilder unmerge;
    unmerge.Unmerge();
    harness->Run(unmerge);
    EXPECT_TRUE(testing::SameBits(generate(0, false), unmerged[0]));
    EXPECT_EQ(harness->engine().WeightsDigest().value(), before);
  }
  ASSERT_EQ(merged_logits.size(), 4u);
  EXPECT_TRUE(testing::SameBits(merged_logits[0], merged_logits[2]));
  EXPECT_TRUE(testing::SameBits(merged_logits[1], merged_logits[3]));
}

// A step that needs memory which is not there fails alone, and says what for.
TEST_F(CudaEngineTest, AStepWithoutMemoryFailsAlone) {
  const Case c = Cases()[0];
  auto harness = Open(c, 71, {.backend = "cuda",
                              .library_dir = directory_,
                              .pool_bytes = 0,           // all but a little
                              .scratch_max = 1 << 20});  // token counts of 4 GB, made when first used
  const auto run = [&](int32_t scratch) {
    StepBuilder step;
    step.Sequence({5, 6, 7}, 0, {140}, 3, scratch).Segment().Sample();
    EXPECT_TRUE(harness->Begin(step).ok());
    return harness->Await();
  };
  EXPECT_EQ(run(-1).header().status, CH_OK);
  const testing::ResultReader failed = run(0);
  EXPECT_EQ(failed.header().status, CH_RESOURCE_EXHAUSTED);
  EXPECT_NE(failed.fault().find("token counts"), std::string::npos) << failed.fault();
  EXPECT_EQ(run(-1).header().status, CH_OK);
}

// Where the pool has all the memory, shadow weights cannot be had: the merge fails alone and all else goes on. A log is
// kept room for when the engine is made to merge in place.
TEST_F(CudaEngineTest, MergesWhereThePoolHasAllTheMemory) {
  const ModelSpec spec = {6, 4096, 14336, 32, 8, 128, 512, 1024, 128, 1, 0, 0, 1e-5f, 1, 0.088388346f, 0};
  for (const std::string way : {"shadow", "in_place"}) {
    SCOPED_TRACE(way);
    EngineConfig config;
    config.backend = "cuda";
    config.library_dir = directory_;
    config.merge = way;
    auto harness = std::make_unique<EngineHarness>(spec, testing::DummyModel(spec, 3, kBF16), config);
    harness->Load(0, testing::DummyAdapter(spec, 4, 16, {kQ, kK, kV, kO, kGate, kUp, kDown}), 0);
    const auto merge = [](float scale) {
      StepBuilder step;
      step.Merge(0, scale);
      return step;
    };
    const auto run = [&](StepBuilder step, bool merged) {
      step.Sequence({5, 6, 7}, 0, {140}, 3).Segment().Sample();
      if (merged) step.Merged(0);
      EXPECT_TRUE(harness->Begin(step).ok());
      return harness->Await();
    };
    const auto logits = [&] { return harness->keeper().rows[0]; };
    ASSERT_EQ(run({}, false).header().status, CH_OK);
    const std::vector<float> before = logits();
    // The adapter changes weights by as much as they are: too much for a log as well.
    const testing::ResultReader refused = run(merge(1.0f), true);
    EXPECT_EQ(refused.header().status, CH_RESOURCE_EXHAUSTED);
    EXPECT_NE(refused.fault().find(way == "shadow" ? "shadow weights" : "the log of a merge"), std::string::npos)
        << refused.fault();
    EXPECT_EQ(run({}, true).header().status, CH_RESOURCE_EXHAUSTED);
    if (way == "in_place") {
      const testing::ResultReader merged = run(merge(0.05f), true);
      EXPECT_EQ(merged.header().status, CH_OK) << merged.fault();
      EXPECT_FALSE(testing::SameBits(logits(), before));
    }
    ASSERT_EQ(run({}, false).header().status, CH_OK);
    EXPECT_TRUE(testing::SameBits(logits(), before));
  }
}

// In pieces, by several threads, from a file or from memory, as they are or converted: the same weights.
TEST_F(CudaEngineTest, WeightsComeFromFiles) {
  const ModelSpec spec = {2, 512, 1280, 8, 2, 64, 20011, 1024, 64, 0, 0, 0, 1e-5f, 1, 0.125f, 0};
  testing::TempDirectory directory;
  for (const int32_t dtype : {kBF16, kF32}) {
    SCOPED_TRACE(dtype);
    testing::TensorSet model = testing::RandomModel(spec, 8, {{kQ}, {}, dtype});
    EngineConfig config;
    config.backend = "cuda";
    config.library_dir = directory_;
    config.pool_bytes = 1 << 24;
    config.poison = 1;
    const auto digest = [&](std::vector<uint8_t> built, SpanSource* source) {
      AlignedBytes manifest;
      manifest.Assign(built);
      Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
      EXPECT_TRUE(view.ok()) << view.status().message();
      FileSpans files(view.value());
      Result<std::unique_ptr<ShardedEngine>> engine =
          ShardedEngine::Create(config, view.value(), source != nullptr ? *source : files);
      EXPECT_TRUE(engine.ok()) << engine.status().message();
      return engine.ok() ? engine.value()->WeightsDigest().value() : 0;
    };
    testing::MemorySpans memory(model.data);
    const int64_t from_memory = digest(model.BuildFor("memory"), &memory);
    EXPECT_EQ(digest(model.WriteTo(directory.File("weights")), nullptr), from_memory);
    model.data[model.data.size() / 2 | 3] ^= 0x40;  // of the exponent, in either type
    EXPECT_NE(digest(model.WriteTo(directory.File("others")), nullptr), from_memory);
  }
}

}  // namespace
}  // namespace chorale
