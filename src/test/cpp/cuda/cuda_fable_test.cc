// The bundled model and its six adapters on a GPU, against what transformers and PEFT computed in float32 and against
// the CPU. Needs a packed image (./chorale pack models/fable/model models/fable/adapters FILE) and expected.json:
//   CHORALE_FABLE_IMAGE, CHORALE_FABLE_EXPECTED; without them, or without a device, it skips itself.
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

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

// An engine with all adapters of the image resident; the logits of every sampled row are kept.
class Server {
 public:
  Server(const PackView& pack, const std::string& backend, const std::string& library_dir, int32_t shards = 1) {
    PackSpans spans(pack);
    EngineConfig config;
    config.backend = backend;
    config.library_dir = library_dir;
    config.pool_bytes = int64_t{64} << 20;
    config.shards = shards;
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

  // What the model would say after every prefix of the answer.
  std::vector<int32_t> Follow(const Conversation& c) {
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
    return Run(step);
  }

  std::string problem;
  std::map<std::string, int32_t> slots;
  testing::LogitsKeeper keeper;

 private:
  std::vector<int32_t> Run(testing::StepBuilder& step) {
    const Status status = engine_->Begin(step.Id(next_step_++).Build());
    EXPECT_TRUE(status.ok()) << status.message();
    std::vector<uint8_t> out(1 << 22);
    int64_t bytes = 0;
    EXPECT_TRUE(engine_->Await(out, &bytes).ok());
    out.resize(static_cast<size_t>(bytes));
    const testing::ResultReader result(std::move(out));
    EXPECT_EQ(result.header().status, CH_OK) << result.fault();
    const auto ids = result.drawn_ids();
    return {ids.begin(), ids.end()};
  }

  std::unique_ptr<ShardedEngine> engine_;
  int32_t next_page_ = 0;
  int64_t next_step_ = 0;
};

class CudaFableTest : public ::testing::TestWithParam<int32_t> {};  // shards

TEST_P(CudaFableTest, SaysWhatItShould) {
  const char* image = std::getenv("CHORALE_FABLE_IMAGE");
  const char* expected = std::getenv("CHORALE_FABLE_EXPECTED");
  const char* library_dir = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
  if (image == nullptr || expected == nullptr || library_dir == nullptr) GTEST_SKIP() << "no image is named";
  Result<PackView> pack = PackView::Open(image);
  ASSERT_TRUE(pack.ok()) << pack.status().message();
  Server cuda(pack.value(), "cuda", library_dir, GetParam()), cpu(pack.value(), "cpu", "");
  const auto lacks = [&](const char* what) { return cuda.problem.find(what) != std::string::npos; };
  if (lacks("no device") || lacks("this machine shows 1")) GTEST_SKIP() << cuda.problem;
  ASSERT_EQ(cuda.problem, "");
  int32_t tokens = 0, same = 0;
  double error = 0, norm = 0;
  for (const Conversation& c : ReadConversations(expected)) {
    const std::vector<int32_t> said = cuda.Follow(c), on_cpu = cpu.Follow(c);
    ASSERT_EQ(said.size(), c.answer.size());
    for (size_t i = 0; i < said.size(); ++i) {
      ++tokens;
      same += said[i] == c.answer[i] ? 1 : 0;
      for (size_t t = 0; t < cuda.keeper.rows[i].size(); ++t) {
        const double want = cpu.keeper.rows[i][t];
        error += std::pow(cuda.keeper.rows[i][t] - want, 2);
        norm += want * want;
      }
    }
  }
  ASSERT_GT(tokens, 1000);
  const double agreement = static_cast<double>(same) / tokens, relative = std::sqrt(error / norm);
  RecordProperty("agreement", std::to_string(agreement));
  std::printf("Fable, %d shards: %d tokens, %.2f %% as expected, logits within %.1e of the CPU's\n", GetParam(), tokens, agreement * 100, relative);
  EXPECT_GE(agreement, 0.995);
  EXPECT_LE(relative, 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Shards, CudaFableTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace chorale
