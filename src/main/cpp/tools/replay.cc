#include "tools/replay.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/aligned_bytes.h"
#include "model/image_view.h"
#include "tools/written_tokens.h"

namespace chorale {
namespace {

constexpr double kFloatTolerance = 1e-4;  // float32 sums in another order
constexpr double kHalfTolerance = 2e-2;   // bfloat16 keys, values or weights on one side

Result<EngineConfig> ConfigOf(const Recording& recording, const std::string& kind) {
  Result<EngineConfig> config = EngineConfig::Parse(recording.config);
  if (!config.ok()) return config;
  config.value().record_dir.clear();
  config.value().merge = "auto";  // each backend as it can
  config.value().backend = kind == "cuda" ? "cuda" : "cpu";
  config.value().mode = kind == "reference" ? "reference" : "fast";
  if (kind == "cuda" || kind == "reference" || kind == "fast") return config;
  return Status::Invalid(Format("%s is none of reference, fast and cuda", kind.c_str()));
}

// Handles are given in order: staging in order gives the recorded ones again.
Status CheckHandle(int64_t wanted, const Result<StagedAdapter>& staged) {
  if (!staged.ok()) return staged.status();
  if (staged.value().handle == wanted) return Status::Ok();
  return Status::Invalid(Format("the recording has adapter-%lld.manifest, but not adapter-%lld.manifest",
                                static_cast<long long>(wanted), static_cast<long long>(staged.value().handle)));
}

Result<std::unique_ptr<ShardedEngine>> MakeFromFiles(const Recording& recording, const EngineConfig& config) {
  AlignedBytes bytes;
  bytes.Assign(recording.model);
  Result<ManifestView> model = ManifestView::ParseModel(bytes.bytes());
  if (!model.ok()) return model.status();
  FileSpans spans(model.value());
  Result<std::unique_ptr<ShardedEngine>> engine = ShardedEngine::Create(config, model.value(), spans);
  if (!engine.ok()) return engine;
  for (const auto& [handle, manifest] : recording.adapters) {
    AlignedBytes adapter_bytes;
    adapter_bytes.Assign(manifest);
    Result<ManifestView> adapter = ManifestView::ParseAdapter(adapter_bytes.bytes(), model.value().spec());
    if (!adapter.ok()) return adapter.status();
    FileSpans adapter_spans(adapter.value());
    CHORALE_RETURN_IF_ERROR(CheckHandle(handle, engine.value()->Stage(adapter.value(), adapter_spans)));
  }
  return engine;
}

Result<std::unique_ptr<ShardedEngine>> MakeFromImage(const Recording& recording, const EngineConfig& config,
                                              const ReplayImage& image) {
  Result<PackView> pack = PackView::Open(image.path);
  if (!pack.ok()) return pack.status();
  PackSpans spans(pack.value());
  Result<std::unique_ptr<ShardedEngine>> engine = ShardedEngine::Create(config, pack.value().model(), spans);
  if (!engine.ok()) return engine;
  for (const auto& [handle, unused] : recording.adapters) {
    auto name = image.adapters.find(handle);
    if (name == image.adapters.end()) {
      return Status::Invalid(Format("which adapter of the image has the handle %lld is not said",
                                    static_cast<long long>(handle)));
    }
    int32_t index = 0;
    while (index < pack.value().adapters() && pack.value().adapter_name(index) != name->second) ++index;
    if (index == pack.value().adapters()) {
      return Status::Invalid(Format("%s: has no adapter %s", image.path.c_str(), name->second.c_str()));
    }
    CHORALE_RETURN_IF_ERROR(CheckHandle(handle, engine.value()->Stage(pack.value().adapter(index), spans)));
  }
  return engine;
}

bool UsesFloats(const ShardedEngine& engine) { return engine.Describe().find("kv_type=f32\n") != std::string::npos; }

// A result buffer, read back. Fault and success are both results; a failure is that of the engine.
class StepOutput {
 public:
  Status Await(ShardedEngine& engine) {
    int64_t bytes = 0;
    Status status = engine.Await(buffer_, &bytes);
    if (status.code() != CH_RESOURCE_EXHAUSTED) return status;
    buffer_.resize(bytes);
    return engine.Await(buffer_, &bytes);
  }

  const ResultHeader& header() const { return *reinterpret_cast<const ResultHeader*>(buffer_.data()); }
  template <typename T>
  std::span<T> Section(ResultSection section) {
    const auto* table = reinterpret_cast<const SectionEntry*>(buffer_.data() + sizeof(ResultHeader));
    return {reinterpret_cast<T*>(buffer_.data() + table[section].offset), static_cast<size_t>(table[section].count)};
  }
  std::string Fault() {
    auto text = Section<uint8_t>(kFaultText);
    return {text.begin(), text.end()};
  }

 private:
  std::vector<uint8_t> buffer_;
};

// What differs in the results of a step whose operations agree, or "".
std::string CompareResults(StepOutput& expected, StepOutput& actual, bool same_pages) {
  if (expected.header().status != actual.header().status) {
    return Format("one run failed: expected status %d (%s), got %d (%s)", expected.header().status,
                  expected.Fault().c_str(), actual.header().status, actual.Fault().c_str());
  }
  auto ids = expected.Section<int32_t>(kDrawnIds), other_ids = actual.Section<int32_t>(kDrawnIds);
  auto logprobs = expected.Section<float>(kDrawnLogprobs), other_logprobs = actual.Section<float>(kDrawnLogprobs);
  for (size_t k = 0; k < std::min(ids.size(), other_ids.size()); ++k) {
    if (ids[k] != other_ids[k]) return Format("sample %zu: expected token %d, got %d", k, ids[k], other_ids[k]);
    double error = std::abs(static_cast<double>(logprobs[k]) - static_cast<double>(other_logprobs[k]));
    if (error > kFloatTolerance || std::isnan(logprobs[k]) != std::isnan(other_logprobs[k])) {
      return Format("sample %zu: expected log-probability %.9g, got %.9g", k, static_cast<double>(logprobs[k]),
                    static_cast<double>(other_logprobs[k]));
    }
  }
  auto same = [&](ResultSection section) {
    auto left = expected.Section<int32_t>(section), right = actual.Section<int32_t>(section);
    return std::equal(left.begin(), left.end(), right.begin(), right.end());
  };
  if (!same(kTopStart) || !same(kTopIds)) return "other tokens are among the best";
  if (!same(kCompletedLoads)) return "other loads are complete";
  auto pages = expected.Section<uint8_t>(kPageBytes), other_pages = actual.Section<uint8_t>(kPageBytes);
  if (same_pages && !std::equal(pages.begin(), pages.end(), other_pages.begin(), other_pages.end())) {
    return "other bytes are in the exported pages";
  }
  return "";
}

class Replayer {
 public:
  Replayer(ShardedEngine& expected, ShardedEngine& actual, double tolerance, std::optional<Plant> plant)
      : expected_(expected), actual_(actual), plant_(plant), lockstep_(tolerance, plant), written_(expected.Limits()) {
    expected_.SetObserver(lockstep_.expected());
    actual_.SetObserver(lockstep_.actual());
  }
  ~Replayer() {
    expected_.SetObserver(nullptr);
    actual_.SetObserver(nullptr);
  }

  Status Step(const RecordedStep& recorded, ReplayReport* report) {
    AlignedBytes bytes, late;
    bytes.Assign(recorded.step);
    late.Assign(recorded.late);
    Result<StepView> view = StepView::Parse(bytes.bytes(), expected_.Limits());
    if (!view.ok()) return TakeRefusal(view.status(), report);
    // Whatever can be wrong is found before anything is begun: a begun step waits for its late buffer.
    CHORALE_RETURN_IF_ERROR(written_.Advance(view.value()));
    if (view.value().expects_late()) {
      Result<LateView> parsed = LateView::Parse(late.bytes(), view.value(), expected_.spec().vocab);
      if (!parsed.ok()) {
        return Status::Invalid(Format("step %lld: its late buffer is missing or broken: %s",
                                      static_cast<long long>(recorded.id), parsed.status().message().c_str()));
      }
    }
    StepOutput expected, actual;
    Status expected_status, actual_status;
    lockstep_.Begin(recorded.id);
    std::thread other([&] {
      actual_status = Run(actual_, recorded, &actual);
      lockstep_.EndActual();
    });
    expected_status = Run(expected_, recorded, &expected);
    lockstep_.EndExpected();
    other.join();
    if (!expected_status.ok() && !actual_status.ok()) return TakeRefusal(expected_status, report);
    for (const auto& [name, status] : {std::pair{"expected", &expected_status}, std::pair{"actual", &actual_status}}) {
      if (status->ok()) continue;
      return Status::Invalid(Format("the %s engine alone refuses step %lld: %s", name,
                                    static_cast<long long>(recorded.id), status->message().c_str()));
    }
    ++report->steps;
    report->difference = lockstep_.difference();
    if (!report->difference) CompareOutputs(recorded, expected, actual, report);
    return Status::Ok();
  }

  const std::string& refusal() const { return refusal_; }

 private:
  // Only a ring's last step may be one that the recorded engine has refused: the next takes its place.
  Status TakeRefusal(const Status& refusal, ReplayReport* report) {
    ++report->refused;
    refusal_ = refusal.message();
    return Status::Ok();
  }

  static Status Run(ShardedEngine& engine, const RecordedStep& recorded, StepOutput* output) {
    CHORALE_RETURN_IF_ERROR(engine.Begin(recorded.step));
    if (!recorded.late.empty()) CHORALE_RETURN_IF_ERROR(engine.Late(recorded.late));
    return output->Await(engine);
  }

  void CompareOutputs(const RecordedStep& recorded, StepOutput& expected, StepOutput& actual, ReplayReport* report) {
    if (plant_ && plant_->op == kOpSample && !actual.Section<int32_t>(kDrawnIds).empty()) {
      ++actual.Section<int32_t>(kDrawnIds)[0];
    }
    std::string text = CompareResults(expected, actual, UsesFloats(expected_) == UsesFloats(actual_));
    if (!text.empty()) report->difference = Difference{recorded.id, kOpSample, -1, text};
  }

  ShardedEngine& expected_;
  ShardedEngine& actual_;
  const std::optional<Plant> plant_;
  Lockstep lockstep_;
  WrittenTokens written_;
  std::string refusal_;
};

}  // namespace

Result<std::unique_ptr<ShardedEngine>> MakeEngine(const Recording& recording, const std::string& kind,
                                           const ReplayImage& image) {
  Result<EngineConfig> config = ConfigOf(recording, kind);
  if (!config.ok()) return config.status();
  return image.path.empty() ? MakeFromFiles(recording, config.value())
                            : MakeFromImage(recording, config.value(), image);
}

double DefaultTolerance(const ShardedEngine& expected, const ShardedEngine& actual) {
  return UsesFloats(expected) && UsesFloats(actual) ? kFloatTolerance : kHalfTolerance;
}

Result<ReplayReport> Replay(const Recording& recording, ShardedEngine& expected, ShardedEngine& actual, double tolerance,
                            std::optional<Plant> plant) {
  Replayer replayer(expected, actual, tolerance, plant);
  ReplayReport report;
  for (const RecordedStep& step : recording.steps) {
    CHORALE_RETURN_IF_ERROR(replayer.Step(step, &report));
    if (report.difference) return report;
    if (report.refused > 0 && (report.steps == 0 || &step != &recording.steps.back())) {
      return Status::Invalid(Format("step %lld cannot be run: %s (the recording begins at step %lld)",
                                    static_cast<long long>(step.id), replayer.refusal().c_str(),
                                    static_cast<long long>(recording.steps[0].id)));
    }
  }
  return report;
}

}  // namespace chorale
