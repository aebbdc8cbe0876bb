// The C edge: what Java sees, through the shared library alone.
#include "chorale/engine_c.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::ModelOptions;
using testing::RandomModel;
using testing::TempDirectory;

std::string LastError() {
  std::string text(1000, '\0');
  text.resize(std::min<int64_t>(ch_last_error(reinterpret_cast<uint8_t*>(text.data()), 1000), 1000));
  return text;
}

const uint8_t* Data(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

class EngineCTest : public ::testing::Test {
 protected:
  EngineCTest() : model_(RandomModel(testing::SmallSpec(), 3)) { manifest_ = model_.WriteTo(directory_.File("model")); }

  int32_t Create(const std::string& config, int64_t* engine) {
    return ch_engine_create(Data(config), static_cast<int64_t>(config.size()), manifest_.data(),
                            static_cast<int64_t>(manifest_.size()), engine);
  }
  void ExpectRefused(const std::string& config, const std::string& what) {
    int64_t engine = 1;
    EXPECT_EQ(Create(config, &engine), CH_INVALID_ARGUMENT) << config;
    EXPECT_EQ(engine, 0);
    EXPECT_NE(LastError().find(what), std::string::npos) << config << ": " << LastError();
  }

  TempDirectory directory_;
  testing::TensorSet model_;
  std::vector<uint8_t> manifest_;
};

TEST_F(EngineCTest, DescribesItsLayout) {
  EXPECT_EQ(ch_abi_version(), kAbiVersion);
  int64_t bytes = 0;
  EXPECT_EQ(ch_abi_describe(nullptr, 0, &bytes), CH_RESOURCE_EXHAUSTED);
  std::string text(bytes, '\0');
  ASSERT_EQ(ch_abi_describe(reinterpret_cast<uint8_t*>(text.data()), bytes, &bytes), CH_OK);
  std::map<std::string, int64_t> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) values[line.substr(0, line.find('='))] = std::stoll(line.substr(line.find('=') + 1));
  EXPECT_EQ(values["kStepMagic"], kStepMagic);
  EXPECT_EQ(values["kMoveBytes"], kMoveBytes);
  EXPECT_EQ(values["kPhaseTotal"], kPhaseTotal);
  EXPECT_EQ(values["kRoleLoraB"], kRoleLoraB);
  EXPECT_EQ(values["sizeof.Move"], 40);
  EXPECT_EQ(values["offsetof.StepHeader.merged_slot"], 36);
  EXPECT_EQ(values["offsetof.SpanEntry.crc"], 52);
}

TEST_F(EngineCTest, ServesFromFilesAndNamesWhatItIs) {
  int64_t engine = 0;
  ASSERT_EQ(Create("pool_bytes=1000000\nmode=reference\n", &engine), CH_OK) << LastError();
  std::string spec(2000, '\0');
  int64_t bytes = 0;
  ASSERT_EQ(ch_engine_spec(engine, reinterpret_cast<uint8_t*>(spec.data()), 2000, &bytes), CH_OK);
  spec.resize(bytes);
  for (const char* line : {"backend=cpu\n", "mode=reference\n", "kv_type=f32\n", "page_tokens=64\n", "layers=3\n",
                           "layer_groups=3\n", "steps_in_flight_max=2\n", "vocab=61\n"}) {
    EXPECT_NE(spec.find(line), std::string::npos) << line << " in " << spec;
  }
  testing::TensorSet adapter = testing::RandomAdapter(testing::SmallSpec(), 4, [](int32_t, Target) { return 3; });
  const std::vector<uint8_t> adapter_manifest = adapter.WriteTo(directory_.File("adapter"));
  int64_t staged = 0, pages = 0, host_bytes = 0;
  ASSERT_EQ(ch_adapter_stage(engine, adapter_manifest.data(), static_cast<int64_t>(adapter_manifest.size()), &staged,
                             &pages, &host_bytes),
            CH_OK)
      << LastError();
  EXPECT_GT(pages, 0);
  EXPECT_GT(host_bytes, 0);

  testing::StepBuilder step;
  std::vector<int32_t> page_list(pages);
  std::iota(page_list.begin(), page_list.end(), 1);
  step.Load(7, staged, page_list, 0, 3).Sequence({1, 2, 3}, 0, {0}, 3).Segment({{7, 1.0f}}).Sample();
  const std::vector<uint8_t> buffer = step.Id(0).Build();
  ASSERT_EQ(ch_engine_begin(engine, buffer.data(), static_cast<int64_t>(buffer.size())), CH_OK) << LastError();
  EXPECT_EQ(ch_adapter_release(engine, staged), CH_OK);
  std::vector<uint8_t> out(100'000);
  ASSERT_EQ(ch_engine_await(engine, out.data(), static_cast<int64_t>(out.size()), &bytes), CH_OK) << LastError();
  out.resize(bytes);
  const testing::ResultReader result(std::move(out));
  EXPECT_EQ(result.header().status, CH_OK) << result.fault();
  EXPECT_EQ(result.drawn_ids().size(), 1u);

  EXPECT_EQ(ch_engine_destroy(engine), CH_OK);
  EXPECT_EQ(ch_engine_destroy(engine), CH_INVALID_ARGUMENT);
  EXPECT_EQ(ch_engine_begin(engine, buffer.data(), 10), CH_INVALID_ARGUMENT);
  EXPECT_NE(LastError().find("handle"), std::string::npos);
}

TEST_F(EngineCTest, RefusesSettingsByName) {
  ExpectRefused("", "pool_bytes");
  ExpectRefused("pool_bytes=ten\n", "pool_bytes=ten");
  ExpectRefused("pool_bytes=1000000\npool=3\n", "unknown key pool");
  ExpectRefused("pool_bytes=1000000\nrows_max=0\n", "rows_max=0");
  ExpectRefused("pool_bytes=1000000\nmode=slow\n", "mode=slow is none of fast, reference");
  ExpectRefused("pool_bytes=1000000\nbackend=tpu\n", "backend=tpu");
  ExpectRefused("pool_bytes=1000000\nnonsense\n", "nonsense");
  ExpectRefused("pool_bytes=100\n", "holds no page");
  ExpectRefused("pool_bytes=1000000\nbackend=cuda\nlibrary_dir=/nowhere\n", "/nowhere/libchorale_cuda.so");
  ExpectRefused("pool_bytes=1000000\nrecord_dir=/nowhere\n", "record_dir");
}

TEST_F(EngineCTest, TheVariableForcesTheReferencePath) {
  setenv("CHORALE_CPU", "reference", 1);
  int64_t engine = 0, bytes = 0;
  ASSERT_EQ(Create("pool_bytes=1000000\nmode=fast\n", &engine), CH_OK) << LastError();
  std::string spec(2000, '\0');
  ASSERT_EQ(ch_engine_spec(engine, reinterpret_cast<uint8_t*>(spec.data()), 2000, &bytes), CH_OK);
  EXPECT_NE(spec.find("mode=reference\n"), std::string::npos);
  setenv("CHORALE_CPU", "quick", 1);
  ExpectRefused("pool_bytes=1000000\n", "quick");
  unsetenv("CHORALE_CPU");
  EXPECT_EQ(ch_engine_destroy(engine), CH_OK);
}

TEST_F(EngineCTest, RefusesFilesThatAreNotWhatWasVerified) {
  std::ofstream(directory_.File("model"), std::ios::app) << "more";
  ExpectRefused("pool_bytes=1000000\n", "model");
  std::filesystem::remove(directory_.File("model"));
  ExpectRefused("pool_bytes=1000000\n", "model");
}

TEST_F(EngineCTest, RefusesAdaptersOfAnotherBase) {
  int64_t engine = 0;
  ASSERT_EQ(Create("pool_bytes=1000000\n", &engine), CH_OK) << LastError();
  ModelSpec other = testing::SmallSpec();
  other.hidden = 64;
  testing::TensorSet adapter = testing::RandomAdapter(other, 4, [](int32_t, Target t) { return t == kUp ? 3 : 0; });
  std::vector<uint8_t> manifest = adapter.WriteTo(directory_.File("adapter"));
  int64_t staged = 0, pages = 0, bytes = 0;
  EXPECT_EQ(ch_adapter_stage(engine, manifest.data(), static_cast<int64_t>(manifest.size()), &staged, &pages, &bytes),
            CH_INVALID_ARGUMENT);
  EXPECT_NE(LastError().find("layer 0 LoRA A of up"), std::string::npos) << LastError();
  // A number that is none: the whole adapter is refused.
  adapter = testing::RandomAdapter(testing::SmallSpec(), 4, [](int32_t, Target t) { return t == kUp ? 3 : 0; });
  const float infinity = INFINITY;
  std::memcpy(adapter.data.data() + 8, &infinity, sizeof(infinity));
  manifest = adapter.WriteTo(directory_.File("adapter"));
  EXPECT_EQ(ch_adapter_stage(engine, manifest.data(), static_cast<int64_t>(manifest.size()), &staged, &pages, &bytes),
            CH_INVALID_ARGUMENT);
  EXPECT_NE(LastError().find("element 2"), std::string::npos) << LastError();
  EXPECT_EQ(ch_engine_destroy(engine), CH_OK);
}

TEST_F(EngineCTest, RefusesBytesThatAreNotThere) {
  int64_t engine = 0;
  EXPECT_EQ(ch_engine_create(nullptr, 5, manifest_.data(), 5, &engine), CH_INVALID_ARGUMENT);
  EXPECT_EQ(ch_engine_create(nullptr, 0, manifest_.data(), -1, &engine), CH_INVALID_ARGUMENT);
  EXPECT_EQ(ch_engine_begin(0, nullptr, 0), CH_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace chorale
