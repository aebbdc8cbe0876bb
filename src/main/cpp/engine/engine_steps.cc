// Steps: what the threads that begin and await them do, and what the engine thread does in between.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>

#include "engine/engine.h"
#include "engine/step_job.h"
#include "shard/shard_group.h"

namespace chorale {
namespace {

int64_t Now() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

}  // namespace

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

// ---- the engine thread -----------------------------------------------------------------------------------------------

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
  CHORALE_RETURN_IF_ERROR(AgreeOn(shard_, prepared));
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
                            .observed = observer_ != nullptr || observed_elsewhere_});
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

}  // namespace chorale
