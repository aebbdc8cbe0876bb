// Whole models on a GPU against the CPU reference on the same rounded weights, and against what transformers and PEFT
// computed in float32. Needs a folder with, for each model, NAME.pack (./chorale pack MODEL ADAPTERS NAME.pack) and
// NAME.json (its expected.json):
//   CHORALE_MODELS; without it, or without a device, the test skips itself.
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/convert.h"
#include "engine/sharded_engine.h"
#include "model/span_source.h"
#include "testing/engine_harness.h"

namespace chorale {
namespace {

struct Conversation {
  std::string adapter;  // empty: the base model
  std::vector<int32_t> prompt, answer;
};

// The value of `key` in a JSON object of which only strings and lists of whole numbers are wanted.
std::string ValueOf(const std::string& object, const std::string& key, char end) {
  const size_t at = object.find("\"" + key + "\":") + key.size() + 3;
  return object.substr(at, object.find(end, at) - at);
}

std::vector<int32_t> Numbers(std::string text) {
  for (char& c : text) c = std::isdigit(static_cast<unsigned char>(c)) != 0 ? c : ' ';
  std::istringstream stream(text);
  return {std::istream_iterator<int32_t>(stream), {}};
}

std::vector<Conversation> ReadConversations(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::vector<Conversation> conversations;
  for (size_t at = text.find("\"adapter\""); at != std::string::npos;) {
    const size_t next = text.find("\"adapter\"", at + 1);
    const std::string object = text.substr(at, next - at);
    std::string name = ValueOf(object, "adapter", ',');
    name = name.find('"') == std::string::npos ? "" : name.substr(name.find('"') + 1, name.rfind('"') - name.find('"') - 1);
    conversations.push_back({name, Numbers(ValueOf(object, "prompt_ids", ']')), Numbers(ValueOf(object, "greedy_ids", ']'))});
    at = next;
  }
  return conversations;
}

// The pack's spans with matrices of float32 rounded to the device's type, as the device itself rounds them.
class RoundedSpans final : public SpanSource {
 public:
  explicit RoundedSpans(const PackView& pack) : pack_(pack) {
    const SpanEntry* weight = pack.model().Find(kRoleWeight, 0);
    if (weight != nullptr && weight->dtype == kF16) dtype_ = kF16;
  }
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override {
    Result<std::span<const uint8_t>> bytes = pack_.Map(span);
    if (!bytes.ok() || span.dtype != kF32 || IsNorm(span.role) || IsBias(span.role)) return bytes;
    std::vector<float>& values = rounded_.emplace_back(static_cast<size_t>(span.rows * span.cols));
    ConvertToFloat(bytes.value().data(), kF32, std::ssize(values), values.data());
    RoundTo(dtype_, std::ssize(values), values.data());
    const auto* rounded = reinterpret_cast<const uint8_t*>(values.data());
    return std::span<const uint8_t>(rounded, values.size() * sizeof(float));
  }

 private:
  const PackView& pack_;
  int32_t dtype_ = kBF16;
  std::vector<std::vector<float>> rounded_;  // kept: a fused matrix is made of several
};

// An engine with all adapters of the image resident; the logits of every sampled row are kept.
class Server {
 public:
  Server(const PackView& pack, const std::string& backend, const std::string& library_dir) {
    RoundedSpans spans(pack);
    EngineConfig config;
    config.backend = backend;
    config.mode = backend == "cpu" ? "reference" : "fast";
    config.library_dir = library_dir;
    config.pool_bytes = int64_t{64} << 20;
    Result<std::unique_ptr<ShardedEngine>> engine = ShardedEngine::Create(config, pack.model(), spans);
    if (!engine.ok()) {
      problem = engine.status().message();
      return;
    }
    engine_ = std::move(engine).value();
    engine_->SetObserver(&keeper);
    testing::StepBuilder step;
    for (int32_t i = 0; i < pack.adapters(); ++i) {
      Result<StagedAdapter> staged = engine_->Stage(pack.adapter(i), spans);
      if (!staged.ok()) {
        problem = staged.status().message();
        return;
      }
      std::vector<int32_t> pages;
      for (int64_t page = 0; page < staged.value().pages; ++page) pages.push_back(next_page_++);
      step.Load(i, staged.value().handle, pages, 0, std::min(engine_->spec().layers, 8));
      slots[std::string(pack.adapter_name(i))] = i;
    }
    Run(step);
  }

  // Leaves in the keeper what the model thinks after every prefix of the answer.
  void Follow(const Conversation& c) {
    std::vector<int32_t> ids = c.prompt;
    ids.insert(ids.end(), c.answer.begin(), c.answer.end() - 1);
    std::vector<int32_t> pages;
    for (size_t at = 0; at < ids.size(); at += engine_->geometry().page_tokens) {
      pages.push_back(next_page_ + static_cast<int32_t>(pages.size()));
    }
    testing::StepBuilder step;
    step.Sequence(ids, 0, pages, static_cast<int32_t>(c.prompt.size()));
    if (c.adapter.empty()) {
      step.Segment();
    } else {
      step.Segment({{slots.at(c.adapter), 1.0f}});
    }
    for (size_t row = c.prompt.size() - 1; row < ids.size(); ++row) step.Sample({}, static_cast<int32_t>(row));
    Run(step);
  }

  std::string problem;
  std::map<std::string, int32_t> slots;
  testing::LogitsKeeper keeper;

 private:
  void Run(testing::StepBuilder& step) {
    const Status status = engine_->Begin(step.Id(next_step_++).Build());
    EXPECT_TRUE(status.ok()) << status.message();
    std::vector<uint8_t> out(1 << 22);
    int64_t bytes = 0;
    EXPECT_TRUE(engine_->Await(out, &bytes).ok());
    out.resize(static_cast<size_t>(bytes));
    const testing::ResultReader result(std::move(out));
    EXPECT_EQ(result.header().status, CH_OK) << result.fault();
  }

  std::unique_ptr<ShardedEngine> engine_;
  int32_t next_page_ = 0;
  int64_t next_step_ = 0;
};

int32_t Best(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

float MarginOf(std::vector<float> logits) {
  std::nth_element(logits.begin(), logits.begin() + 1, logits.end(), std::greater<>());
  return *std::max_element(logits.begin(), logits.begin() + 1) - logits[1];
}

// What a model's rows on the device are like beside those on the CPU.
struct Agreement {
  int32_t rows = 0, as_on_cpu = 0, as_expected = 0;
  int32_t clear = 0, clear_and_other = 0;  // rows whose best token is ahead by more than four times the row's error
  double error = 0, norm = 0;

  void Add(const std::vector<float>& got, const std::vector<float>& want, int32_t expected) {
    double row_error = 0;
    for (size_t t = 0; t < want.size(); ++t) {
      row_error += std::pow(static_cast<double>(got[t]) - want[t], 2);
      norm += static_cast<double>(want[t]) * want[t];
    }
    error += row_error;
    const bool same = Best(got) == Best(want);
    const bool is_clear = MarginOf(want) > 4 * std::sqrt(row_error / static_cast<double>(want.size()));
    ++rows;
    as_on_cpu += same ? 1 : 0;
    as_expected += Best(got) == expected ? 1 : 0;
    clear += is_clear ? 1 : 0;
    clear_and_other += is_clear && !same ? 1 : 0;
  }
  double relative_error() const { return std::sqrt(error / norm); }
  double part_as_on_cpu() const { return static_cast<double>(as_on_cpu) / rows; }
};

// The bundled model has learnt to be sure of what it says; the small ones of random weights are not.
struct Limits {
  double error = 6e-2, part_as_on_cpu = 0, part_as_expected = 0;
};
Limits LimitsOf(const std::string& name) { return name == "fable" ? Limits{1e-2, 0.995, 0.995} : Limits{}; }

TEST(CudaModelsTest, SayWhatTheySayOnTheCpu) {
  const char* folder = std::getenv("CHORALE_MODELS");
  const char* library_dir = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
  if (folder == nullptr || library_dir == nullptr) GTEST_SKIP() << "CHORALE_MODELS does not say where models are";
  int32_t models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".pack") continue;
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    Result<PackView> pack = PackView::Open(entry.path());
    ASSERT_TRUE(pack.ok()) << pack.status().message();
    Server cuda(pack.value(), "cuda", library_dir), cpu(pack.value(), "cpu", "");
    if (cuda.problem.find("no device") != std::string::npos) GTEST_SKIP() << cuda.problem;
    ASSERT_EQ(cuda.problem + cpu.problem, "");
    Agreement agreement;
    for (const Conversation& c : ReadConversations(std::filesystem::path(entry.path()).replace_extension(".json"))) {
      cuda.Follow(c);
      cpu.Follow(c);
      ASSERT_EQ(cuda.keeper.rows.size(), c.answer.size());
      for (size_t i = 0; i < c.answer.size(); ++i) {
        agreement.Add(cuda.keeper.rows[i], cpu.keeper.rows[i], c.answer[i]);
      }
    }
    ++models;
    std::printf("%-20s %2d adapters, %4d rows: logits within %.1e of the CPU's; best token the same in %.2f %%, in %d of "
                "the %d that are clear; as transformers says in %.2f %%\n",
                name.c_str(), pack.value().adapters(), agreement.rows, agreement.relative_error(),
                agreement.part_as_on_cpu() * 100, agreement.clear - agreement.clear_and_other, agreement.clear,
                100.0 * agreement.as_expected / agreement.rows);
    const Limits limits = LimitsOf(name);
    ASSERT_GT(agreement.clear, 50);
    EXPECT_LE(agreement.relative_error(), limits.error);
    EXPECT_EQ(agreement.clear_and_other, 0);
    EXPECT_GE(agreement.part_as_on_cpu(), limits.part_as_on_cpu);
    EXPECT_GE(agreement.as_expected, limits.part_as_expected * agreement.rows);
  }
  EXPECT_GT(models, 0) << folder << " has no .pack";
}

}  // namespace
}  // namespace chorale
