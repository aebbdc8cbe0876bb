#include "engine/sharded_engine.h"

#include <algorithm>
#include <exception>
#include <new>
#include <thread>

#include "shard/shard_cut.h"

namespace chorale {
namespace {

// The shards read their weights at the same time from one source, which is for one thread.
class SharedSpans final : public SpanSource {
 public:
  explicit SharedSpans(SpanSource& source) : source_(source) {}
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override {
    std::lock_guard lock(mutex_);
    return source_.Map(span);
  }
  FilePlace PlaceOf(const SpanEntry& span) const override {
    std::lock_guard lock(mutex_);
    return source_.PlaceOf(span);
  }

 private:
  SpanSource& source_;
  mutable std::mutex mutex_;
};

EngineConfig ConfigOfShard(const EngineConfig& whole, int32_t shard) {
  EngineConfig config = whole;
  config.pool_bytes = whole.pool_bytes / whole.shards;
  const int64_t threads = whole.threads > 0 ? whole.threads : std::max(1u, std::thread::hardware_concurrency());
  config.threads = whole.shards == 1 ? whole.threads : std::max<int64_t>(1, threads / whole.shards);
  if (shard > 0) config.record_dir.clear();  // all are given the same steps
  return config;
}

Result<std::unique_ptr<Engine>> CreateShard(const EngineConfig& config, const ManifestView& manifest,
                                            SpanSource& source, const Shard& shard) {
  try {
    return Engine::Create(config, manifest, source, shard);
  } catch (const ShardsAborted&) {
    throw;
  } catch (const std::bad_alloc&) {
    return Status::Exhausted("out of memory");
  } catch (const std::exception& error) {
    return Status::Invalid(error.what());
  }
}

}  // namespace

Result<std::unique_ptr<ShardedEngine>> ShardedEngine::Create(const EngineConfig& config, const ManifestView& manifest,
                                                             SpanSource& source) {
  const auto count = static_cast<int32_t>(config.shards);
  CHORALE_RETURN_IF_ERROR(CheckShards(manifest.spec(), count, config.sharding()));
  auto group = std::make_unique<ShardGroup>(count);
  SharedSpans spans(source);
  std::vector<std::unique_ptr<Engine>> engines(count);
  std::vector<Status> failures(count);  // of each shard's own; one that another has kept from going on has none
  const auto create = [&](int32_t index) {
    const Shard shard{
        .index = index, .count = count, .lora = config.sharding(), .group = count == 1 ? nullptr : group.get()};
    try {
      Result<std::unique_ptr<Engine>> engine = CreateShard(ConfigOfShard(config, index), manifest, spans, shard);
      failures[index] = engine.status();
      if (engine.ok()) engines[index] = std::move(engine).value();
    } catch (const ShardsAborted&) {
      return;
    }
    // The others need not come to where they would wait for this one.
    if (!failures[index].ok()) group->Abort(failures[index].message());
  };
  std::vector<std::thread> threads;
  for (int32_t index = 1; index < count; ++index) threads.emplace_back(create, index);
  create(0);
  for (std::thread& thread : threads) thread.join();
  CHORALE_RETURN_IF_ERROR(FirstFailure(failures));
  if (const std::string why = group->failure(); !why.empty()) return Status::Dead(why);
  return std::unique_ptr<ShardedEngine>(new ShardedEngine(manifest.spec(), std::move(group), std::move(engines)));
}

ShardedEngine::~ShardedEngine() {
  // Together: a shard may be waiting for another, and reads the memory of all until it has ended.
  for (const auto& engine : engines_) engine->Stop();
  for (const auto& engine : engines_) engine->Join();
}

template <typename Call>
Status ShardedEngine::OnAll(const Call& call) {
  CHORALE_RETURN_IF_ERROR(CheckTogether());
  CHORALE_RETURN_IF_ERROR(call(first()));
  for (int32_t shard = 1; shard < shards(); ++shard) {
    const Status status = call(*engines_[shard]);
    if (!status.ok()) return Fail(Format("shard %d: %s", shard, status.message().c_str()));
  }
  return Status::Ok();
}

Status ShardedEngine::CheckTogether() const {
  const std::string failure = group_->failure();
  return failure.empty() ? Status::Ok() : Status::Dead(failure);
}

// The shards are no longer in step, and nothing can bring them back.
Status ShardedEngine::Fail(const std::string& why) {
  group_->Abort(why);
  return CheckTogether();  // what failed first has caused the rest
}

Status ShardedEngine::Begin(std::span<const uint8_t> step) {
  return OnAll([&](Engine& engine) { return engine.Begin(step); });
}

Status ShardedEngine::Late(std::span<const uint8_t> late) {
  return OnAll([&](Engine& engine) { return engine.Late(late); });
}

Status ShardedEngine::Await(std::span<uint8_t> out, int64_t* bytes) {
  CHORALE_RETURN_IF_ERROR(CheckTogether());
  if (const Status status = first().Await(out, bytes); !status.ok()) {
    CHORALE_RETURN_IF_ERROR(CheckTogether());  // what failed first has caused the rest
    return status;
  }
  for (int32_t shard = 1; shard < shards(); ++shard) {
    Engine& engine = *engines_[shard];
    if (const Status status = engine.AwaitUnread(); !status.ok()) return Fail(status.message());
    if (!std::ranges::equal(engine.drawn(), first().drawn())) {
      return Fail(Format("shard %d has drawn other tokens than shard 0", shard));
    }
  }
  return Status::Ok();
}

Result<StagedAdapter> ShardedEngine::Stage(const ManifestView& manifest, SpanSource& source) {
  std::vector<BasePart> bases;
  for (const auto& engine : engines_) {
    CHORALE_RETURN_IF_ERROR(engine->CheckAlive());  // gains are measured on its device
    bases.push_back(engine->base());
  }
  const Result<AdapterGains> gains = AdapterGains::Of(manifest, source, bases);
  if (!gains.ok()) return gains.status();
  std::vector<AdapterImage> images;
  for (const auto& engine : engines_) {
    Result<AdapterImage> image = engine->Stage(manifest, source, gains.value());
    if (!image.ok()) return image.status();
    images.push_back(std::move(image).value());
  }
  StagedAdapter staged;
  std::lock_guard lock(staged_);
  for (size_t shard = 0; shard < engines_.size(); ++shard) {
    const StagedAdapter part = engines_[shard]->Keep(std::move(images[shard]));
    staged = {.handle = part.handle, .pages = part.pages, .bytes = staged.bytes + part.bytes};
  }
  return staged;
}

int64_t ShardedEngine::staged_bytes() const {
  int64_t bytes = 0;
  for (const auto& engine : engines_) bytes += engine->staged_bytes();
  return bytes;
}

Status ShardedEngine::Release(int64_t handle) {
  return OnAll([&](Engine& engine) { return engine.Release(handle); });
}

Status ShardedEngine::PoisonAdapter(int64_t handle) {
  return OnAll([&](Engine& engine) { return engine.PoisonAdapter(handle); });
}

Status ShardedEngine::PoisonPages(std::span<const int32_t> pages) {
  return OnAll([&](Engine& engine) { return engine.PoisonPages(pages); });
}

Result<int64_t> ShardedEngine::WeightsDigest() {
  uint64_t digest = 0;
  for (const auto& engine : engines_) {
    Result<int64_t> part = engine->WeightsDigest();
    if (!part.ok()) return part;
    digest = digest * 0x100000001b3ULL + static_cast<uint64_t>(part.value());  // of one shard: its own
  }
  return static_cast<int64_t>(digest);
}

}  // namespace chorale
