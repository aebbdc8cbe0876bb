// step_replay: steps recorded through the C ABI agree on both CPU paths, and a fault in any operation is named.
#include "tools/replay.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <set>

#include "chorale/engine_c.h"
#include "testing/image_builder.h"
#include "testing/step_builder.h"
#include "testing/tiny_model.h"

namespace chorale {
namespace {

using testing::LateBuilder;
using testing::PackBuilder;
using testing::RandomAdapter;
using testing::RandomModel;
using testing::StepBuilder;
using testing::TempDirectory;
using testing::TensorSet;

constexpr int32_t kLayers = 3;

// Odd shapes, norms on q and k, untied, rank 5 on every linear.
ModelSpec Spec() { return {kLayers, 20, 28, 6, 3, 8, 50, 96, 8, 0, 1, 0, 1e-5f, 1, 0.35f, 0}; }
TensorSet Model() { return RandomModel(Spec(), 1, {.biases = {kQ, kK, kV}, .windows = {}}); }
TensorSet Adapter() {
  return RandomAdapter(Spec(), 2, [](int32_t, Target) { return 5; });
}

void Ok(int32_t status) {
  std::vector<uint8_t> text(1000);
  int64_t length = ch_last_error(text.data(), static_cast<int64_t>(text.size()));
  ASSERT_EQ(status, CH_OK) << std::string(text.begin(), text.begin() + std::min<int64_t>(length, 1000));
}

std::vector<StepBuilder> Steps(int64_t adapter) {
  std::vector<StepBuilder> steps(5);
  steps[0].Load(1, adapter, {9, 10}, 0, kLayers);
  steps[0].Sequence({3, 1, 4, 1, 5}, 0, {2}, 5, 0).Segment({{1, 1.0f}});
  steps[0].Sample({.temperature = 0.8f, .repetition = 1.2f, .seed = 4, .top_logprobs = 3});
  steps[0].Sequence({9, 2, 6}, 0, {4}, 3).Segment();
  steps[0].Sample();
  steps[1].Late();
  steps[1].Sequence({-1}, 5, {2}, 5, 0).Segment({{1, 0.5f}}).Sample({.temperature = 1, .top_k = 9});
  steps[1].Sequence({-2}, 3, {4}, 3).Segment().Sample({}, -1, 0);
  steps[2].Merge(1).Merged(1);
  steps[2].Sequence({-1}, 6, {2}, 5, 0).Segment().Sample().hidden_rows = {0};
  steps[3].Export({2, 4}).Unmerge();
  steps[3].Sequence({7, 7}, 7, {2}, 5, 0).Segment({{1, 1.0f}}).Sample();
  steps[4].Reset(0);
  for (size_t i = 0; i < steps.size(); ++i) steps[i].Id(static_cast<int64_t>(i) + 30);
  return steps;
}

class ReplayTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDirectory;
    std::string config = "pool_bytes=3000000\nscratch_max=2\nsamples_max=8\nrows_max=16\nthreads=2\nrecord_dir=" +
                         directory_->File("") + "\n";
    std::vector<uint8_t> model = Model().WriteTo(directory_->File("model.data"));
    std::vector<uint8_t> adapter = Adapter().WriteTo(directory_->File("adapter.data"));
    int64_t engine = 0, handle = 0, pages = 0, bytes = 0;
    Ok(ch_engine_create(reinterpret_cast<const uint8_t*>(config.data()), static_cast<int64_t>(config.size()),
                        model.data(), static_cast<int64_t>(model.size()), &engine));
    Ok(ch_adapter_stage(engine, adapter.data(), static_cast<int64_t>(adapter.size()), &handle, &pages, &bytes));
    ASSERT_EQ(pages, 2);
    for (const StepBuilder& builder : Steps(handle)) {
      std::vector<uint8_t> step = builder.Build();
      Ok(ch_engine_begin(engine, step.data(), static_cast<int64_t>(step.size())));
      if ((builder.header.flags & kStepLate) != 0) {
        std::vector<uint8_t> late = LateBuilder(builder.header.step_id, Spec().vocab).Mask({5, 6, 7, 8}).Build();
        Ok(ch_engine_late(engine, late.data(), static_cast<int64_t>(late.size())));
      }
      std::vector<uint8_t> result(1 << 20);
      Ok(ch_engine_await(engine, result.data(), static_cast<int64_t>(result.size()), &bytes));
      ASSERT_EQ(reinterpret_cast<const ResultHeader*>(result.data())->status, CH_OK);
    }
    Ok(ch_engine_destroy(engine));
  }
  static void TearDownTestSuite() { delete directory_; }

  static Recording Recorded() {
    auto recording = Recording::Open(directory_->File(""));
    EXPECT_TRUE(recording.ok()) << recording.status().message();
    return std::move(recording).value();
  }

  static std::unique_ptr<ShardedEngine> Make(const Recording& recording, const std::string& kind,
                                      const ReplayImage& image = {}) {
    auto engine = MakeEngine(recording, kind, image);
    EXPECT_TRUE(engine.ok()) << engine.status().message();
    return std::move(engine).value();
  }

  // The first difference when `actual` is run against what was recorded, or a word on how it ended.
  static std::string Run(const Recording& recording, ShardedEngine& actual, std::optional<Plant> plant = {},
                         double tolerance = 1e-4) {
    auto expected = Make(Recorded(), "reference");
    auto report = Replay(recording, *expected, actual, tolerance, plant);
    if (!report.ok()) return report.status().message();
    if (!report.value().difference) return Format("%lld agree", static_cast<long long>(report.value().steps));
    return OpName(report.value().difference->op, report.value().difference->layer);
  }
  static std::string Run(const Recording& recording, std::optional<Plant> plant = {}, double tolerance = 1e-4) {
    return Run(recording, *Make(recording, "fast"), plant, tolerance);
  }

  static TempDirectory* directory_;
};

TempDirectory* ReplayTest::directory_ = nullptr;

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

// On a machine with a GPU: the steps that the CPU has recorded run on it, though its pages hold half as many bytes.
TEST_F(ReplayTest, RunsOnADevice) {
  const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
  if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
  Recording recording = Recorded();
  recording.config += Format("library_dir=%s\n", directory);
  auto cuda = MakeEngine(recording, "cuda");
  if (!cuda.ok() && cuda.status().message().find("no device") != std::string::npos) GTEST_SKIP() << cuda.status().message();
  ASSERT_TRUE(cuda.ok()) << cuda.status().message();
  EXPECT_EQ(cuda.value()->Limits().page_tokens, Make(recording, "fast")->Limits().page_tokens);
  EXPECT_EQ(Run(recording, *cuda.value(), {}, 2e-2), "5 agree");
  auto faulty = MakeEngine(recording, "cuda");
  ASSERT_TRUE(faulty.ok());
  EXPECT_EQ(Run(recording, *faulty.value(), Plant{kOpDown, 1}, 2e-2), "down@1");
}

TEST_F(ReplayTest, TheFastPathAgreesWithTheReference) {
  EXPECT_EQ(Run(Recorded()), "5 agree");
  EXPECT_EQ(Run(Recorded(), {}, 2e-6), "5 agree") << "each operation starts from the same values: rounding is small";
  EXPECT_NE(Run(Recorded(), {}, 0), "5 agree") << "and it is there";
}

TEST_F(ReplayTest, NamesAFaultPlantedInEachOperation) {
  std::set<std::string> planted;
  for (int32_t op = 0; op <= kOpSample; ++op) {
    for (int32_t layer = 0; layer < (IsLayerOp(op) ? kLayers : 1); ++layer) {
      std::string name = OpName(op, IsLayerOp(op) ? layer : -1);
      std::optional<Plant> plant = Plant::Parse(name);
      ASSERT_TRUE(plant) << name;
      EXPECT_EQ(Run(Recorded(), plant), name);
      planted.insert(name);
    }
  }
  EXPECT_EQ(planted.size(), 13u * kLayers + 4u);
}

// No plant in the observer, but an engine that really computes something else: one number of one tensor is another.
TEST_F(ReplayTest, NamesTheOperationWhoseWeightsDiffer) {
  struct Case {
    int32_t role, layer;
    const char* op;
  };
  std::vector<Case> cases = {{kRoleEmbed, -1, "embed"},         {kRoleAttnNorm, 1, "attn_norm@1"},
                             {kRoleQNorm, 2, "rope_q@2"},       {kRoleKNorm, 0, "rope_k@0"},
                             {kRoleMlpNorm, 2, "mlp_norm@2"},   {kRoleFinalNorm, -1, "final_norm"},
                             {kRoleHead, -1, "logits"},         {RoleOf(kRoleBias, kV), 1, "v@1"}};
  const char* linears[kTargets] = {"q@1", "k@1", "v@1", "o@1", "gate@1", "up@1", "down@1"};
  for (int32_t t = 0; t < kTargets; ++t) {
    cases.push_back({RoleOf(kRoleWeight, static_cast<Target>(t)), 1, linears[t]});
    cases.push_back({RoleOf(kRoleLoraB, static_cast<Target>(t)), 1, linears[t]});
  }
  for (const Case& fault : cases) {
    bool in_adapter = fault.role >= kRoleLoraA;
    TensorSet tensors = in_adapter ? Adapter() : Model();
    for (const SpanEntry& span : tensors.builder.spans) {
      if (span.role != fault.role || span.layer != fault.layer) continue;
      int64_t row = fault.role == kRoleEmbed ? 4 : 0;  // of a token that the first step feeds
      float value;
      std::memcpy(&value, tensors.data.data() + span.offset + row * span.cols * 4, sizeof(value));
      value += 0.5f;
      std::memcpy(tensors.data.data() + span.offset + row * span.cols * 4, &value, sizeof(value));
    }
    Recording other = Recorded();
    std::vector<uint8_t> manifest = tensors.WriteTo(directory_->File("other.data"));
    (in_adapter ? other.adapters.begin()->second : other.model) = manifest;
    EXPECT_EQ(Run(Recorded(), *Make(other, "fast")), fault.op) << SpanName(fault.role, fault.layer);
  }
}

TEST_F(ReplayTest, NamesTheOperationWhoseFactorsDiffer) {
  TensorSet tensors = Model();
  tensors.builder.spec.attention_scale *= 1.1f;
  Recording other = Recorded();
  other.model = tensors.BuildFor(directory_->File("model.data"));
  EXPECT_EQ(Run(Recorded(), *Make(other, "fast")), "attention@0");
  tensors = Model();
  tensors.builder.inv_freq[1] *= 1.1f;
  other.model = tensors.BuildFor(directory_->File("model.data"));
  EXPECT_EQ(Run(Recorded(), *Make(other, "reference")), "rope_q@0");
}

TEST_F(ReplayTest, SaysWhatARecordingLacks) {
  Recording late = Recorded();
  late.steps.erase(late.steps.begin(), late.steps.begin() + 3);
  EXPECT_CONTAINS(Run(late), "step 33: sequence 0 reads its token 0 in page 2, which no recorded step has written");

  Recording no_load = Recorded();
  StepBuilder alone;
  alone.Id(40).Sequence({1}, 0, {3}, 1).Segment({{1, 1.0f}});
  no_load.steps = {{40, alone.Build(), {}}};
  EXPECT_CONTAINS(Run(no_load), "slot 1 has 0 of 3 layer groups resident (the recording begins at step 40)");

  Recording no_late = Recorded();
  no_late.steps[1].late.clear();
  EXPECT_CONTAINS(Run(no_late), "step 31: its late buffer is missing");

  Recording no_adapter = Recorded();
  no_adapter.adapters[3] = no_adapter.adapters[1];
  EXPECT_CONTAINS(MakeEngine(no_adapter, "fast").status().message(), "adapter-3.manifest, but not adapter-2.manifest");

  EXPECT_CONTAINS(MakeEngine(Recorded(), "abacus").status().message(), "abacus is none of");
}

TEST_F(ReplayTest, ARefusedStepAtTheEndIsNoDifference) {
  Recording recording = Recorded();
  StepBuilder refused;
  refused.Id(35).Sequence({1}, 0, {3}, 1).Segment({{3, 1.0f}});
  recording.steps.push_back({35, refused.Build(), {}});
  EXPECT_EQ(Run(recording), "5 agree");
}

TEST_F(ReplayTest, RunsFromAPackedImage) {
  TensorSet model = Model(), adapter = Adapter();
  std::vector<uint8_t> image = PackBuilder::Of({{"base", model.builder, model.data},
                                                {"fives", adapter.builder, adapter.data}}).Build();
  std::string path = directory_->File("image.chpk");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
  EXPECT_EQ(Run(Recorded(), *Make(Recorded(), "fast", {path, {{1, "fives"}}})), "5 agree");
  EXPECT_CONTAINS(MakeEngine(Recorded(), "fast", {path, {}}).status().message(), "has the handle 1 is not said");
  EXPECT_CONTAINS(MakeEngine(Recorded(), "fast", {path, {{1, "sixes"}}}).status().message(), "has no adapter sixes");
}

TEST_F(ReplayTest, RefusesDirectoriesThatAreNoRecordings) {
  TempDirectory empty;
  EXPECT_CONTAINS(Recording::Open(empty.File("")).status().message(), "holds no step-<id>.bin");
  EXPECT_CONTAINS(Recording::Open(empty.File("none")).status().message(), "No such file");
  std::ofstream(empty.File("step-1.bin")) << "x";
  EXPECT_CONTAINS(Recording::Open(empty.File("")).status().message(), "config.txt: cannot be read");
  std::ofstream(empty.File("config.txt")) << "";
  std::ofstream(empty.File("model.manifest")) << "";
  std::ofstream(empty.File("step-3.bin")) << "x";
  EXPECT_CONTAINS(Recording::Open(empty.File("")).status().message(), "step 1 is followed by step 3");
}

TEST(Plant, ParsesOperationsAndTheirLayers) {
  EXPECT_EQ(Plant::Parse("o@12")->layer, 12);
  EXPECT_EQ(Plant::Parse("sample")->op, kOpSample);
  for (const char* wrong : {"", "o", "logits@1", "p@1", "o@", "o@x", "o@1x", "o@-1"}) {
    EXPECT_FALSE(Plant::Parse(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace chorale
