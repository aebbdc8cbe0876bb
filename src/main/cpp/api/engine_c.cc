// The edge of the library: turns every failure into a status and a message, and lets nothing be thrown across it.
#include "chorale/engine_c.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "api/abi_names.h"
#include "base/aligned_bytes.h"
#include "base/device_watch.h"
#include "engine/sharded_engine.h"

#define CH_EXPORT __attribute__((visibility("default")))

namespace chorale {
namespace {

thread_local std::string last_error;

int32_t Report(const Status& status) noexcept {
  if (!status.ok()) last_error = status.message();
  return status.code();
}

// Runs a function that returns a Status; whatever it throws is a broken invariant.
template <typename Body>
int32_t Guard(const Body& body) noexcept {
  try {
    return Report(body());
  } catch (const std::bad_alloc&) {
    return Report(Status::Exhausted("out of memory"));
  } catch (const std::exception& error) {
    return Report(Status::Dead(error.what()));
  } catch (...) {
    return Report(Status::Dead("an unknown exception"));
  }
}

// Engines by handle. A call holds its engine, so that destroying it elsewhere cannot free it underneath.
class Handles {
 public:
  int64_t Add(std::unique_ptr<ShardedEngine> engine) {
    std::lock_guard lock(mutex_);
    engines_.emplace(++last_, std::move(engine));
    return last_;
  }
  Result<std::shared_ptr<ShardedEngine>> Find(int64_t handle) {
    std::lock_guard lock(mutex_);
    const auto found = engines_.find(handle);
    if (found == engines_.end()) return Unknown(handle);
    return found->second;
  }
  Result<std::shared_ptr<ShardedEngine>> Remove(int64_t handle) {
    std::lock_guard lock(mutex_);
    const auto found = engines_.find(handle);
    if (found == engines_.end()) return Unknown(handle);
    std::shared_ptr<ShardedEngine> engine = std::move(found->second);
    engines_.erase(found);
    return engine;
  }

 private:
  static Status Unknown(int64_t handle) {
    return Status::Invalid(Format("%lld is not the handle of an engine", static_cast<long long>(handle)));
  }

  std::mutex mutex_;
  std::map<int64_t, std::shared_ptr<ShardedEngine>> engines_;
  int64_t last_ = 0;
};

Handles& Engines() {
  static Handles* const handles = new Handles;  // never destroyed: threads may outlive static destructors
  return *handles;
}

template <typename Body>
int32_t WithEngine(int64_t handle, const Body& body) noexcept {
  return Guard([&]() -> Status {
    Result<std::shared_ptr<ShardedEngine>> engine = Engines().Find(handle);
    if (!engine.ok()) return engine.status();
    return body(*engine.value());
  });
}

Status WriteText(const std::string& text, uint8_t* out, int64_t capacity, int64_t* bytes_out) {
  *bytes_out = static_cast<int64_t>(text.size());
  if (capacity < *bytes_out) {
    return Status::Exhausted(Format("the text takes %zu bytes, there is room for %lld", text.size(),
                                    static_cast<long long>(capacity)));
  }
  std::memcpy(out, text.data(), text.size());
  return Status::Ok();
}

Result<std::span<const uint8_t>> Bytes(const uint8_t* data, int64_t bytes, const char* name) {
  if (bytes < 0 || (data == nullptr && bytes > 0)) {
    return Status::Invalid(Format("%s: no bytes at this address, or fewer than none", name));
  }
  return std::span<const uint8_t>(data, static_cast<size_t>(bytes));
}

Status CreateEngine(std::span<const uint8_t> config_bytes, std::span<const uint8_t> manifest_bytes, int64_t* out) {
  Result<EngineConfig> config = EngineConfig::Parse(
      {reinterpret_cast<const char*>(config_bytes.data()), config_bytes.size()});
  if (!config.ok()) return config.status();
  AlignedBytes aligned;
  aligned.Assign(manifest_bytes);
  Result<ManifestView> manifest = ManifestView::ParseModel(aligned.bytes());
  if (!manifest.ok()) return manifest.status();
  FileSpans spans(manifest.value());
  Result<std::unique_ptr<ShardedEngine>> engine = ShardedEngine::Create(config.value(), manifest.value(), spans);
  if (!engine.ok()) return engine.status();
  const StepRecorder& recorder = engine.value()->recorder();
  // What the engine has made of it comes last: another backend must have the same pages to run the same steps.
  std::string recorded(config_bytes.begin(), config_bytes.end());
  const StepLimits limits = engine.value()->Limits();
  recorded += Format("\npage_count=%d\npage_tokens=%d\n", limits.page_count, limits.page_tokens);
  CHORALE_RETURN_IF_ERROR(
      recorder.Write("config.txt", {reinterpret_cast<const uint8_t*>(recorded.data()), recorded.size()}));
  CHORALE_RETURN_IF_ERROR(recorder.Write("model.manifest", manifest_bytes));
  *out = Engines().Add(std::move(engine).value());
  return Status::Ok();
}

}  // namespace
}  // namespace chorale

extern "C" {

using chorale::ShardedEngine;
using chorale::Format;
using chorale::Result;
using chorale::Status;

CH_EXPORT int32_t ch_abi_version(void) { return chorale::kAbiVersion; }

CH_EXPORT int32_t ch_abi_describe(uint8_t* out, int64_t capacity, int64_t* bytes_out) {
  return chorale::Guard([&] { return chorale::WriteText(chorale::DescribeAbi(), out, capacity, bytes_out); });
}

CH_EXPORT int64_t ch_last_error(uint8_t* out, int64_t capacity) {
  const std::string& text = chorale::last_error;
  const int64_t length = static_cast<int64_t>(text.size());
  const int64_t kept = std::min(length, std::max<int64_t>(capacity, 0));
  if (kept > 0) std::memcpy(out, text.data(), static_cast<size_t>(kept));
  return length;
}

CH_EXPORT int32_t ch_engine_create(const uint8_t* config, int64_t config_bytes, const uint8_t* manifest,
                                   int64_t manifest_bytes, int64_t* engine_out) {
  return chorale::Guard([&]() -> Status {
    *engine_out = 0;
    auto config_span = chorale::Bytes(config, config_bytes, "config");
    if (!config_span.ok()) return config_span.status();
    auto manifest_span = chorale::Bytes(manifest, manifest_bytes, "manifest");
    if (!manifest_span.ok()) return manifest_span.status();
    return chorale::CreateEngine(config_span.value(), manifest_span.value(), engine_out);
  });
}

CH_EXPORT int32_t ch_engine_spec(int64_t engine, uint8_t* out, int64_t capacity, int64_t* bytes_out) {
  return chorale::WithEngine(
      engine, [&](ShardedEngine& e) { return chorale::WriteText(e.Describe(), out, capacity, bytes_out); });
}

CH_EXPORT int32_t ch_engine_begin(int64_t engine, const uint8_t* step, int64_t bytes) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    auto span = chorale::Bytes(step, bytes, "step");
    return span.ok() ? e.Begin(span.value()) : span.status();
  });
}

CH_EXPORT int32_t ch_engine_late(int64_t engine, const uint8_t* late, int64_t bytes) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    auto span = chorale::Bytes(late, bytes, "late");
    return span.ok() ? e.Late(span.value()) : span.status();
  });
}

CH_EXPORT int32_t ch_engine_await(int64_t engine, uint8_t* result, int64_t capacity, int64_t* bytes_out) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    if (capacity < 0) return Status::Invalid("await: the capacity is negative");
    return e.Await({result, static_cast<size_t>(capacity)}, bytes_out);
  });
}

CH_EXPORT int32_t ch_adapter_stage(int64_t engine, const uint8_t* manifest, int64_t manifest_bytes,
                                   int64_t* staged_out, int64_t* pages_out, int64_t* bytes_out) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    auto span = chorale::Bytes(manifest, manifest_bytes, "manifest");
    if (!span.ok()) return span.status();
    chorale::AlignedBytes aligned;
    aligned.Assign(span.value());
    Result<chorale::ManifestView> view = chorale::ManifestView::ParseAdapter(aligned.bytes(), e.spec());
    if (!view.ok()) return view.status();
    chorale::ReadSpans spans(view.value());
    Result<chorale::StagedAdapter> staged = e.Stage(view.value(), spans);
    if (!staged.ok()) return staged.status();
    *staged_out = staged.value().handle;
    *pages_out = staged.value().pages;
    *bytes_out = staged.value().bytes;
    e.recorder().Adapter(*staged_out, span.value());
    return Status::Ok();
  });
}

CH_EXPORT int32_t ch_adapter_release(int64_t engine, int64_t staged) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) { return e.Release(staged); });
}

CH_EXPORT int32_t ch_adapter_bytes(int64_t engine, int64_t* bytes_out) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) {
    *bytes_out = e.staged_bytes();
    return Status::Ok();
  });
}

CH_EXPORT int32_t ch_adapter_poison(int64_t engine, int64_t staged) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) { return e.PoisonAdapter(staged); });
}

CH_EXPORT int32_t ch_pool_poison(int64_t engine, const int32_t* pages, int64_t count) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    if (count < 0) return Status::Invalid("ch_pool_poison: the count is negative");
    return e.PoisonPages({pages, static_cast<size_t>(count)});
  });
}

CH_EXPORT int32_t ch_weights_digest(int64_t engine, int64_t* digest_out) {
  return chorale::WithEngine(engine, [&](ShardedEngine& e) -> Status {
    Result<int64_t> digest = e.WeightsDigest();
    if (!digest.ok()) return digest.status();
    *digest_out = digest.value();
    return Status::Ok();
  });
}

CH_EXPORT int32_t ch_devices_describe(uint8_t* out, int64_t capacity, int64_t* bytes_out) {
  // Made by the first call and never destroyed: the driver's library does not like to be closed at the end of a process.
  static chorale::DeviceWatch* const devices = new chorale::DeviceWatch;
  return chorale::Guard([&] { return chorale::WriteText(devices->Describe(), out, capacity, bytes_out); });
}

CH_EXPORT int32_t ch_engine_destroy(int64_t engine) {
  return chorale::Guard([&]() -> Status {
    Result<std::shared_ptr<ShardedEngine>> removed = chorale::Engines().Remove(engine);
    return removed.ok() ? Status::Ok() : removed.status();
  });
}

}  // extern "C"
