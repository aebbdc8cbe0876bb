#include "engine/engine.h"

#include <algorithm>
#include <numeric>

#include "engine/backend_registry.h"
#include "engine/step_job.h"
#include "shard/shard_cut.h"
#include "shard/shard_group.h"

namespace chorale {
namespace {

constexpr int32_t kLayerGroupsMax = 8;  // an adapter's load is spread over at most as many steps

// The widest window of any layer; 0 when some layer sees the whole context.
int32_t WidestWindow(const std::vector<LayerWeights>& layers) {
  int32_t widest = 0;
  for (const LayerWeights& layer : layers) {
    if (layer.window == 0) return 0;
    widest = std::max(widest, layer.window);
  }
  return widest;
}

// What the shards have each, and added up.
std::vector<int64_t> OfAll(const Shard& shard, int64_t value) {
  return shard.count == 1 ? std::vector<int64_t>{value} : shard.group->Tell(shard.index, value);
}
int64_t SumOfAll(const Shard& shard, int64_t value) {
  const std::vector<int64_t> values = OfAll(shard, value);
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(const EngineConfig& config, const ManifestView& manifest,
                                               SpanSource& source, const Shard& shard) {
  BackendParams params;
  params.spec = ShardSpec(manifest.spec(), shard);
  params.shard = shard;
  if (const SpanEntry* weight = manifest.Find(kRoleWeight, 0)) params.dtype = weight->dtype;
  params.inv_freq = manifest.inv_freq();
  params.windows = manifest.windows();
  params.pool_bytes = config.pool_bytes;
  params.page_count = static_cast<int32_t>(config.page_count);
  params.page_tokens = static_cast<int32_t>(config.page_tokens);
  params.threads = static_cast<int32_t>(config.threads);
  params.rows_max = static_cast<int32_t>(config.rows_max);
  params.samples_max = static_cast<int32_t>(config.samples_max);
  params.scratch_max = static_cast<int32_t>(config.scratch_max);
  params.slots_max = static_cast<int32_t>(config.slots_max);
  params.graphs = config.graphs != 0;
  params.poison = config.poison != 0;
  params.reference = config.reference();
  params.merges_in_place = config.merge_way() == MergeWay::kInPlace;
  Result<std::unique_ptr<Backend>> backend = CreateBackend(config.backend, config.library_dir, params);
  if (!backend.ok()) return backend.status();
  Result<ModelWeights> weights = ModelWeights::Load(manifest, source, shard, *backend.value());
  if (!weights.ok()) return weights.status();
  Result<Llama> llama =
      Llama::Create(manifest.spec(), shard, *backend.value(), params.rows_max, params.samples_max);
  if (!llama.ok()) return llama.status();
  CHORALE_RETURN_IF_ERROR(backend.value()->Settle());
  return std::unique_ptr<Engine>(new Engine(config, shard, std::move(backend).value(), std::move(weights).value(),
                                            std::move(llama).value(), ShapesOf(manifest.spec(), shard)));
}

Engine::Engine(const EngineConfig& config, const Shard& shard, std::unique_ptr<Backend> backend, ModelWeights weights,
               Llama llama, const LinearShapes& shapes)
    : config_(config),
      shard_(shard),
      recorder_(config.record_dir, config.record_steps),
      backend_(std::move(backend)),
      weights_(std::move(weights)),
      llama_(std::move(llama)),
      shapes_(shapes),
      layer_groups_(std::min(weights_.spec.layers, kLayerGroupsMax)),
      window_max_(WidestWindow(weights_.layers)),
      pages_of_shards_(OfAll(shard, backend_->page_count())),
      page_count_(static_cast<int32_t>(*std::min_element(pages_of_shards_.begin(), pages_of_shards_.end()))),
      weight_bytes_(SumOfAll(shard, weights_.bytes)),
      adapters_(std::make_unique<AdapterTable>(static_cast<int32_t>(config.slots_max), page_count_, layer_groups_)) {
  for (int32_t turn = 0; turn < kStepsInFlightMax; ++turn) {
    jobs_[turn] = std::make_unique<StepJob>();
    jobs_[turn]->turn = turn;
  }
  thread_ = std::thread([this] { Work(); });
}

Engine::~Engine() {
  Stop();
  Join();
}

void Engine::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  begun_or_late_.notify_all();
}

void Engine::Join() {
  if (thread_.joinable()) thread_.join();
}

std::string Engine::Describe() const {
  const BackendInfo& info = backend_->info();
  const PageGeometry& g = geometry();
  const std::string unequal = UnequalPages(pages_of_shards_);
  std::string text = Format("backend=%s\ndevice=%s%s\nmode=%s\nkv_type=%s\n", info.name.c_str(), info.device.c_str(),
                            unequal.c_str(), info.mode.c_str(), info.kv_type.c_str());
  const std::pair<const char*, int64_t> numbers[] = {{"page_count", page_count_},
                                                     {"page_bytes", page_bytes()},
                                                     {"page_tokens", g.page_tokens},
                                                     {"slice_bytes", g.slice_bytes * shard_.count},
                                                     {"layers", spec().layers},
                                                     {"hidden", spec().hidden},
                                                     {"vocab", spec().vocab},
                                                     {"context_max", spec().context_max},
                                                     {"slots_max", config_.slots_max},
                                                     {"scratch_max", config_.scratch_max},
                                                     {"rows_max", config_.rows_max},
                                                     {"sequences_max", config_.sequences_max},
                                                     {"samples_max", config_.samples_max},
                                                     {"layer_groups", layer_groups_},
                                                     {"weight_bytes", weight_bytes_},
                                                     {"shards", shard_.count},
                                                     {"steps_in_flight_max", kStepsInFlightMax}};
  for (const auto& [name, number] : numbers) text += Format("%s=%lld\n", name, static_cast<long long>(number));
  return text;
}

StepLimits Engine::Limits() const {
  return {.page_count = page_count_,
          .page_tokens = geometry().page_tokens,
          .page_bytes = page_bytes(),
          .vocab = spec().vocab,
          .context_max = spec().context_max,
          .window_max = window_max_,
          .layer_groups = layer_groups_,
          .slots_max = static_cast<int32_t>(config_.slots_max),
          .scratch_max = static_cast<int32_t>(config_.scratch_max),
          .rows_max = static_cast<int32_t>(config_.rows_max),
          .sequences_max = static_cast<int32_t>(config_.sequences_max),
          .samples_max = static_cast<int32_t>(config_.samples_max),
          .top_logprobs_max = backend_->top_logprobs_max(),
          .previous_samples = last_samples_};
}

Status Engine::CheckAlive() {
  if (!dead_.load()) return Status::Ok();
  std::lock_guard lock(mutex_);
  return Status::Dead(dead_text_);
}

Result<AdapterImage> Engine::Stage(const ManifestView& manifest, SpanSource& source, const AdapterGains& gains) {
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  backend_->Bind();
  Result<AdapterImage> image = StageAdapter(manifest, source, shapes_, gains, *backend_, staged_bytes_);
  if (image.ok() && image.value().layout()->page_count() > page_count_) {
    return Status::Invalid(Format("the adapter takes %d pages, the pool has %d",
                                  image.value().layout()->page_count(), page_count_));
  }
  return image;
}

Status Engine::CheckPoison(const char* what) const {
  if (config_.poison != 0) return Status::Ok();
  return Status::Invalid(Format("%s: only an engine created with poison=1 does this", what));
}

void Engine::WaitUntilIdle() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return executed_ == begun_ || dead_.load(); });
}

Status Engine::PoisonAdapter(int64_t handle) {
  CHORALE_RETURN_IF_ERROR(CheckPoison("ch_adapter_poison"));
  return adapters_->PoisonStaged(handle);
}

Status Engine::PoisonPages(std::span<const int32_t> pages) {
  CHORALE_RETURN_IF_ERROR(CheckPoison("ch_pool_poison"));
  for (int32_t page : pages) {
    if (page < 0 || page >= page_count_) {
      return Status::Invalid(Format("ch_pool_poison: page %d is outside [0, %d)", page, page_count_));
    }
  }
  WaitUntilIdle();
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  backend_->Bind();
  backend_->PoisonPages(pages);
  return Status::Ok();
}

Result<int64_t> Engine::WeightsDigest() {
  CHORALE_RETURN_IF_ERROR(CheckPoison("ch_weights_digest"));
  WaitUntilIdle();
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  backend_->Bind();
  return static_cast<int64_t>(weights_.Digest(*backend_));
}

}  // namespace chorale
