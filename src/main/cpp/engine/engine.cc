#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <numeric>

#include "backend/backend_registry.h"
#include "lora/adapter_staging.h"
#include "shard/shard_cut.h"
#include "shard/shard_group.h"

namespace chorale {
namespace {

constexpr int32_t kLayerGroupsMax = 8;  // an adapter's load is spread over at most as many steps

int32_t LayerOfGroup(int32_t group, int32_t groups, int32_t layers) {
  return static_cast<int32_t>(int64_t{group} * layers / groups);
}

int64_t Now() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

// The widest window of any layer; 0 when some layer sees the whole context.
int32_t WidestWindow(const std::vector<LayerWeights>& layers) {
  int32_t widest = 0;
  for (const LayerWeights& layer : layers) {
    if (layer.window == 0) return 0;
    widest = std::max(widest, layer.window);
  }
  return widest;
}

// What the shards have each, added up or the least of it.
std::vector<int64_t> OfAll(const Shard& shard, int64_t value) {
  return shard.count == 1 ? std::vector<int64_t>{value} : shard.group->Tell(shard.index, value);
}
int64_t LeastOfAll(const Shard& shard, int64_t value) {
  const std::vector<int64_t> values = OfAll(shard, value);
  return *std::min_element(values.begin(), values.end());
}
int64_t SumOfAll(const Shard& shard, int64_t value) {
  const std::vector<int64_t> values = OfAll(shard, value);
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

}  // namespace

// Reused for every second step, so that a steady state allocates nothing.
struct Engine::StepJob {
  int32_t turn = 0;
  AlignedBytes buffer;
  AlignedBytes late_buffer;
  std::optional<StepView> view;
  std::optional<LateView> late;
  std::vector<ResolvedMove> moves;
  LoraBatch lora;
  bool done = false;      // the engine thread has done with it
  bool collects = false;  // the backend still has what it drew

  Status status;
  Drawn drawn;
  std::vector<float> hidden;
  std::vector<int32_t> completed_loads;
  std::vector<uint8_t> page_bytes;
  std::array<int64_t, kPhases> phase_nanos{};
};

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
      page_count_(static_cast<int32_t>(LeastOfAll(shard, backend_->page_count()))),
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
  std::string text = Format("backend=%s\ndevice=%s\nmode=%s\nkv_type=%s\n", info.name.c_str(), info.device.c_str(),
                            info.mode.c_str(), info.kv_type.c_str());
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

Status Engine::Begin(std::span<const uint8_t> step) {
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  StepJob* job = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (begun_ - awaited_ == kStepsInFlightMax) {
      return Status::Invalid(Format("step: %d steps are begun and not yet awaited", kStepsInFlightMax));
    }
    job = jobs_[begun_ % kStepsInFlightMax].get();
  }
  job->buffer.Assign(step);
  Result<StepView> view = StepView::Parse(job->buffer.bytes(), Limits());
  if (!view.ok()) return view.status();
  job->view = view.value();
  const int64_t step_id = job->view->step_id();
  if (last_step_id_ >= 0 && step_id != last_step_id_ + 1) {
    return Status::Invalid(Format("step: step_id is %lld, the next is %lld", static_cast<long long>(step_id),
                                  static_cast<long long>(last_step_id_ + 1)));
  }
  recorder_.Step(step_id, job->buffer.bytes());
  if (Status status = adapters_->Advance(*job->view, &job->moves); !status.ok()) {
    recorder_.ForgetStep(step_id);
    return status;
  }
  ResolveSegments(job);
  job->late.reset();
  job->done = false;
  last_step_id_ = step_id;
  last_samples_ = job->view->samples();
  {
    std::lock_guard lock(mutex_);
    ++begun_;
  }
  begun_or_late_.notify_all();
  return Status::Ok();
}

void Engine::ResolveSegments(StepJob* job) const {
  const StepView& step = *job->view;
  job->lora.Clear();
  for (int32_t segment = 0; segment < step.segments(); ++segment) {
    const int32_t begin = step.segment_slot_start()[segment], end = step.segment_slot_start()[segment + 1];
    for (int32_t i = begin; i < end; ++i) {
      job->lora.uses.push_back({adapters_->resident(step.segment_slots()[i]), step.segment_scales()[i]});
    }
    job->lora.AddRows(step.segment_start()[segment], step.segment_start()[segment + 1], end - begin);
  }
}

Engine::StepJob* Engine::FindJob(int64_t step_id) {
  for (int64_t n = awaited_; n < begun_; ++n) {
    StepJob* job = jobs_[n % kStepsInFlightMax].get();
    if (job->view->step_id() == step_id) return job;
  }
  return nullptr;
}

Status Engine::Late(std::span<const uint8_t> late) {
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  if (late.size() < sizeof(LateHeader)) return Status::Invalid("late: the buffer is shorter than its header");
  LateHeader header;
  std::memcpy(&header, late.data(), sizeof(header));
  StepJob* job = nullptr;
  {
    std::lock_guard lock(mutex_);
    job = FindJob(header.step_id);
  }
  if (job == nullptr || !job->view->expects_late()) {
    return Status::Invalid(Format("late: no begun step %lld waits for it", static_cast<long long>(header.step_id)));
  }
  if (job->late.has_value()) {
    return Status::Invalid(Format("late: step %lld has its late buffer", static_cast<long long>(header.step_id)));
  }
  job->late_buffer.Assign(late);
  Result<LateView> view = LateView::Parse(job->late_buffer.bytes(), *job->view, spec().vocab);
  if (!view.ok()) return view.status();
  recorder_.Late(header.step_id, job->late_buffer.bytes());
  {
    std::lock_guard lock(mutex_);
    job->late = view.value();
  }
  begun_or_late_.notify_all();
  return Status::Ok();
}

Result<Engine::StepJob*> Engine::WaitForOldest() {
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  StepJob* job = nullptr;
  {
    std::unique_lock lock(mutex_);
    if (awaited_ == begun_) return Status::Invalid("await: no step is begun");
    job = jobs_[awaited_ % kStepsInFlightMax].get();
    if (job->view->expects_late() && !job->late.has_value()) {
      return Status::Invalid(
          Format("await: step %lld has no late buffer yet", static_cast<long long>(job->view->step_id())));
    }
    done_.wait(lock, [&] { return job->done || dead_.load(); });
  }
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  CHORALE_RETURN_IF_ERROR(Collect(job));
  return job;
}

Status Engine::Await(std::span<uint8_t> out, int64_t* bytes) {
  Result<StepJob*> oldest = WaitForOldest();
  if (!oldest.ok()) return oldest.status();
  const StepJob* job = oldest.value();
  const int64_t step_id = job->view->step_id();
  if (!job->status.ok()) {
    CHORALE_RETURN_IF_ERROR(WriteFault(step_id, job->status, out, bytes));
  } else {
    CHORALE_RETURN_IF_ERROR(WriteResult({.step_id = step_id,
                                         .drawn_ids = job->drawn.ids,
                                         .drawn_logprobs = job->drawn.logprobs,
                                         .top_start = job->drawn.top_start,
                                         .top_ids = job->drawn.top_ids,
                                         .top_logprobs = job->drawn.top_logprobs,
                                         .hidden = job->hidden,
                                         .completed_loads = job->completed_loads,
                                         .page_bytes = job->page_bytes,
                                         .phase_nanos = job->phase_nanos},
                                        out, bytes));
  }
  std::lock_guard lock(mutex_);
  ++awaited_;
  return Status::Ok();
}

Status Engine::AwaitUnread() {
  Result<StepJob*> oldest = WaitForOldest();
  if (!oldest.ok()) return oldest.status();
  std::lock_guard lock(mutex_);
  ++awaited_;
  return Status::Ok();
}

std::span<const int32_t> Engine::drawn() const { return jobs_[(awaited_ - 1) % kStepsInFlightMax]->drawn.ids; }

// Waits for the device here, on the thread that awaits, so that the engine thread can prepare the next step meanwhile.
Status Engine::Collect(StepJob* job) {
  if (!job->collects) return Status::Ok();
  job->collects = false;
  StepTimes times;
  try {
    backend_->Bind();
    backend_->Collect(job->turn, &job->drawn, &times);
  } catch (const std::exception& error) {
    Die(Format("step %lld failed on the device: %s", static_cast<long long>(job->view->step_id()), error.what()));
    return CheckAlive();
  }
  if (times.forward_nanos >= 0) job->phase_nanos[kPhaseForward] = times.forward_nanos;
  if (times.sample_nanos >= 0) job->phase_nanos[kPhaseSample] = times.sample_nanos;
  if (times.total_nanos >= 0) job->phase_nanos[kPhaseTotal] = times.total_nanos;
  return Status::Ok();
}

Result<AdapterImage> Engine::Stage(const ManifestView& manifest, SpanSource& source) {
  CHORALE_RETURN_IF_ERROR(CheckAlive());
  backend_->Bind();
  Result<AdapterImage> image = StageAdapter(manifest, source, shapes_, *backend_);
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

void Engine::Work() {
  for (;;) {
    StepJob* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      begun_or_late_.wait(lock, [this] { return stop_ || executed_ < begun_; });
      if (executed_ == begun_) return;  // stopped, and nothing begun is left
      job = jobs_[executed_ % kStepsInFlightMax].get();
    }
    try {
      Execute(job);
    } catch (const ShardsAborted& aborted) {
      Die(aborted.what());
      return;
    } catch (const std::exception& error) {
      Die(Format("the engine thread failed: %s", error.what()));
      return;
    }
    {
      std::lock_guard lock(mutex_);
      ++executed_;
      job->done = true;
    }
    done_.notify_all();
  }
}

void Engine::Die(std::string message) {
  if (shard_.count > 1) shard_.group->Abort(Format("shard %d: %s", shard_.index, message.c_str()));
  {
    std::lock_guard lock(mutex_);
    dead_text_ = std::move(message);
    dead_.store(true);
  }
  done_.notify_all();
}

void Engine::Execute(StepJob* job) {
  const int64_t begin = Now();
  backend_->Bind();
  job->collects = false;
  job->phase_nanos = {};
  job->hidden.clear();
  job->completed_loads.clear();
  job->page_bytes.clear();
  job->drawn.Clear();
  job->status = RunStep(job);
  last_failed_ = !job->status.ok();
  job->phase_nanos[kPhaseTotal] = Now() - begin;
}

Status Engine::RunStep(StepJob* job) {
  const StepView& step = *job->view;
  const int64_t begin = Now();
  const Status prepared = Prepare(job);
  // One shard must not wait in a collective for another that does not come.
  CHORALE_RETURN_IF_ERROR(shard_.count == 1 ? prepared : shard_.group->Agree(shard_.index, prepared));
  const int64_t moved = Now();
  job->phase_nanos[kPhaseMoves] = moved - begin;
  if (step.rows() == 0) return Status::Ok();
  const bool merged = step.merged_slot() >= 0;
  if (!backend_->Replay()) {
    llama_.Forward(weights_, step.sample_row(), step.hidden_rows(), merged ? merged_.get() : nullptr, observer_);
    backend_->EndForward();
  }
  job->hidden.resize(step.hidden_rows().size() * static_cast<size_t>(spec().hidden));
  if (!job->hidden.empty()) llama_.ReadHidden(job->hidden.data());
  const int64_t forwarded = Now();
  job->phase_nanos[kPhaseForward] = forwarded - moved;
  if (config_.poison != 0) CHORALE_RETURN_IF_ERROR(CheckForNan(*job));
  if (step.expects_late()) {
    std::unique_lock lock(mutex_);
    begun_or_late_.wait(lock, [&] { return job->late.has_value() || stop_; });
    if (!job->late.has_value()) return Status::Invalid("the engine was destroyed before the late buffer came");
  }
  const int64_t ready = Now();  // waiting for the late buffer is no work of sampling
  CHORALE_RETURN_IF_ERROR(
      backend_->Sample({llama_.logits(), job->late.has_value() ? &*job->late : nullptr}));
  job->collects = true;
  job->phase_nanos[kPhaseSample] = Now() - ready;
  return Status::Ok();
}

// The moves, and what the forward pass needs. All that can fail on one shard and not on another is here.
Status Engine::Prepare(StepJob* job) {
  const StepView& step = *job->view;
  CHORALE_RETURN_IF_ERROR(RunMoves(job));
  if (step.rows() == 0) return Status::Ok();
  const std::span<const int32_t> ids = step.token_ids();
  if (last_failed_ && std::any_of(ids.begin(), ids.end(), [](int32_t id) { return id < 0; })) {
    return Status::Invalid(Format("step %lld feeds what the step before drew, but that step failed",
                                  static_cast<long long>(step.step_id())));
  }
  const bool merged = step.merged_slot() >= 0;
  if (merged && step.merged_slot() != merged_slot_) {
    return Status::Exhausted(Format("slot %d has no merged weights: its merge failed", step.merged_slot()));
  }
  if (merged_ != nullptr) merged_->Select(merged);
  return backend_->Prepare({.step = &step,
                            .lora = &job->lora,
                            .turn = job->turn,
                            .weights = merged && !merged_->in_place() ? merges_ : 0,
                            .observed = observer_ != nullptr});
}

// Poisoned memory is NaN: what reads it turns up here.
Status Engine::CheckForNan(const StepJob& job) {
  const StepView& step = *job.view;
  const auto is_nan = [](float value) { return std::isnan(value); };
  checked_.resize(static_cast<size_t>(spec().vocab));
  for (int32_t k = 0; k < step.samples(); ++k) {
    backend_->ReadActivation(*llama_.logits(), {.row_begin = k, .rows = 1, .cols = spec().vocab}, checked_.data());
    if (std::any_of(checked_.begin(), checked_.end(), is_nan)) {
      return Status::Invalid(Format("row %d (sample %d): NaN in its logits: it has read memory that nobody has written",
                                    step.sample_row()[k], k));
    }
  }
  const auto bad = std::find_if(job.hidden.begin(), job.hidden.end(), is_nan);
  if (bad == job.hidden.end()) return Status::Ok();
  const int64_t index = (bad - job.hidden.begin()) / spec().hidden;
  return Status::Invalid(Format("row %d (hidden row %lld): NaN in its state: it has read memory that nobody has written",
                                step.hidden_rows()[index], static_cast<long long>(index)));
}

Status Engine::RunMoves(StepJob* job) {
  Status first_failure;
  for (const ResolvedMove& resolved : job->moves) {
    // Java has taken note of every move, so the others happen though one has failed.
    Status status = RunMove(resolved, job);
    if (first_failure.ok()) first_failure = status;
  }
  job->moves.clear();  // lets go of the images
  return first_failure;
}

void Engine::Unmerge() {
  merged_slot_ = -1;
  if (merged_ == nullptr) return;
  merged_->Select(false);
  backend_->WaitForSteps();  // they may still read what is freed
  merged_.reset();
}

// Layer group by layer group when the step itself reads the adapter, so that its first layers need not wait for the last.
void Engine::Load(const ResolvedMove& resolved, const StepJob& job) {
  const Move& move = resolved.move;
  const bool read_now = std::any_of(job.lora.uses.begin(), job.lora.uses.end(),
                                    [&](const LoraUse& use) { return use.adapter->slot == move.slot; });
  const int32_t stride = read_now ? 1 : move.b - move.a;
  for (int32_t group = move.a; group < move.b; group += stride) {
    backend_->LoadAdapter({.slot = move.slot,
                           .image = resolved.image,
                           .pages = resolved.pages,
                           .layer_begin = LayerOfGroup(group, layer_groups_, spec().layers),
                           .layer_end = LayerOfGroup(group + stride, layer_groups_, spec().layers)});
  }
}

Status Engine::RunMove(const ResolvedMove& resolved, StepJob* job) {
  const Move& move = resolved.move;
  switch (move.kind) {
    case kMoveLoad:
      Load(resolved, *job);
      job->completed_loads.insert(job->completed_loads.end(), {move.slot, move.b});
      return Status::Ok();
    case kMoveDrop:
      backend_->DropAdapter(move.slot);
      if (config_.poison != 0) backend_->PoisonPages(resolved.pages);
      return Status::Ok();
    case kMoveCopyPage:
      backend_->CopyPage(resolved.pages[0], resolved.pages[1]);
      return Status::Ok();
    case kMoveExportPages:
      for (int32_t page : resolved.pages) ExportPage(page, job);
      return Status::Ok();
    case kMoveImportPages: {
      const uint8_t* bytes = job->view->move_bytes().data() + move.handle;
      for (int32_t page : resolved.pages) {
        backend_->WritePage(page, bytes + shard_.index * geometry().page_bytes);
        bytes += page_bytes();
      }
      return Status::Ok();
    }
    case kMoveMerge: {
      Unmerge();  // first, so that two sets of merged weights never exist at once
      Result<std::unique_ptr<MergedWeights>> made =
          MergedWeights::Make(weights_, resolved.adapter, move.scale, config_.merge_way(), *backend_);
      if (!made.ok()) return made.status();
      merged_ = std::move(made).value();
      ++merges_;
      merged_slot_ = move.slot;
      return Status::Ok();
    }
    case kMoveUnmerge:
      Unmerge();
      return Status::Ok();
    case kMoveResetSequence:
      backend_->ResetCounts(move.a);
      return Status::Ok();
    default:
      return Status::Invalid(Format("move of kind %d is not built", move.kind));
  }
}

// The shards' parts of a page, one after another; the first shard puts them together.
void Engine::ExportPage(int32_t page, StepJob* job) {
  page_part_.resize(static_cast<size_t>(geometry().page_bytes));
  backend_->ReadPage(page, page_part_.data());
  std::vector<uint8_t>& out = job->page_bytes;
  if (shard_.count == 1) {
    out.insert(out.end(), page_part_.begin(), page_part_.end());
    return;
  }
  for (const void* part : shard_.group->Meet(shard_.index, page_part_.data())) {
    const auto* bytes = static_cast<const uint8_t*>(part);
    if (shard_.index == 0) out.insert(out.end(), bytes, bytes + geometry().page_bytes);
  }
  shard_.group->Meet(shard_.index, nullptr);
}

}  // namespace chorale
