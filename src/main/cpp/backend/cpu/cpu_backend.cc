#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_fast.h"
#include "backend/cpu/cpu_reference.h"

namespace chorale {
namespace {

// Rows of activations start at cache lines, and the fast path writes whole panels of outputs.
constexpr int64_t kStrideElements = 32;

}  // namespace

Result<std::unique_ptr<Backend>> CreateCpuBackend(const BackendParams& params) {
  const ModelSpec& spec = params.spec;
  const PageGeometry geometry =
      PageGeometry::Of(spec.layers, spec.kv_heads, spec.head_dim, kF32, params.page_tokens);
  Result<PageArena> arena = PageArena::Create(
      geometry, params.page_count > 0 ? params.page_count * geometry.page_bytes : params.pool_bytes);
  if (!arena.ok()) return arena.status();
  if (params.poison) {
    for (int32_t page = 0; page < arena.value().page_count(); ++page) arena.value().FillWithNan(page);
  }
  if (params.reference) {
    return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>(params, std::move(arena).value()));
  }
  return FastBackend::Create(params, std::move(arena).value());
}

uint64_t HashFloats(std::span<const float> values, uint64_t previous) {
  uint64_t hash = previous;
  for (float value : values) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3ULL;
  return hash;
}

CpuBackend::CpuBackend(const BackendParams& params, PageArena arena, BackendInfo info, int32_t threads)
    : info_(std::move(info)),
      shard_(params.shard),
      spec_(params.spec),
      arena_(std::move(arena)),
      pool_(threads),
      inv_freq_(params.inv_freq.begin(), params.inv_freq.end()),
      counts_(static_cast<size_t>(params.scratch_max)),
      samplers_(static_cast<size_t>(pool_.threads())) {
  if (shard_.count > 1) communicator_ = std::make_unique<HostCommunicator>(*shard_.group, shard_.index);
}

Result<std::unique_ptr<Weight>> CpuBackend::MakeVector(std::span<const HostTensor> parts) {
  int64_t cols = 0;
  for (const HostTensor& part : parts) cols += part.cols;
  // Zeros behind the last element, so that whole vectors of it can be read.
  Result<AnonymousMemory> memory =
      AnonymousMemory::Allocate((cols + kStrideElements) * static_cast<int64_t>(sizeof(float)), "a vector");
  if (!memory.ok()) return memory.status();
  auto weight = std::make_unique<DenseWeight>(1, cols, std::move(memory).value());
  float* out = weight->data();
  for (const HostTensor& part : parts) {
    part.Read(0, part.cols, out);
    out += part.cols;
  }
  return std::unique_ptr<Weight>(std::move(weight));
}

Result<std::unique_ptr<Activation>> CpuBackend::MakeActivation(ActivationKind, int64_t rows_max, int64_t cols) {
  const int64_t stride = (cols + kStrideElements - 1) / kStrideElements * kStrideElements;
  Result<AnonymousMemory> memory =
      AnonymousMemory::Allocate(rows_max * stride * static_cast<int64_t>(sizeof(float)), "activations");
  if (!memory.ok()) return memory.status();
  return std::unique_ptr<Activation>(std::make_unique<CpuActivation>(cols, stride, std::move(memory).value()));
}

Result<StagingMemory> CpuBackend::AllocateStaging(int64_t bytes) {
  Result<AnonymousMemory> made = AnonymousMemory::Allocate(bytes, "a staged adapter");
  if (!made.ok()) return made.status();
  auto memory = std::make_shared<AnonymousMemory>(std::move(made).value());
  uint8_t* data = memory->data();
  return StagingMemory(data, [memory](uint8_t*) mutable { memory.reset(); });
}

void CpuBackend::LoadAdapter(const AdapterLoad& load) {
  const auto bytes = static_cast<size_t>((load.layer_end - load.layer_begin) * geometry().slice_bytes);
  for (size_t i = 0; i < load.pages.size(); ++i) {
    std::memcpy(arena_.slice(load.pages[i], load.layer_begin),
                load.image->slice(static_cast<int32_t>(i), load.layer_begin), bytes);
  }
}

void CpuBackend::PoisonPages(std::span<const int32_t> pages) {
  for (int32_t page : pages) arena_.FillWithNan(page);
}

void CpuBackend::CopyPage(int32_t from, int32_t to) {
  std::memmove(arena_.page(to), arena_.page(from), static_cast<size_t>(geometry().page_bytes));
}

void CpuBackend::ReadPage(int32_t page, uint8_t* out) {
  std::memcpy(out, arena_.page(page), static_cast<size_t>(geometry().page_bytes));
}

void CpuBackend::WritePage(int32_t page, const uint8_t* bytes) {
  std::memcpy(arena_.page(page), bytes, static_cast<size_t>(geometry().page_bytes));
}

void CpuBackend::ResetCounts(int32_t scratch) {
  if (counts_[scratch] != nullptr) counts_[scratch]->Reset();
}

Status CpuBackend::Prepare(const StepPlan& plan) {
  step_ = plan.step;
  lora_ = plan.lora;
  turn_ = plan.turn;
  const StepView& step = *step_;
  const int32_t count = step.rows();
  token_ids_.assign(step.token_ids().begin(), step.token_ids().end());
  for (int32_t& id : token_ids_) {
    // A draw of -1 was no draw: its sequence has ended, and whatever is fed in its name is thrown away.
    if (id < 0) id = std::max(0, drawn_before_[-(id + 1)]);
  }
  row_sequence_.resize(count);
  for (int32_t s = 0; s < step.sequences(); ++s) {
    std::fill(row_sequence_.begin() + step.seq_token_start()[s], row_sequence_.begin() + step.seq_token_start()[s + 1], s);
  }
  const int32_t half = spec_.rotary_dims / 2;
  angles_.resize(static_cast<size_t>(count) * spec_.rotary_dims);
  pool_.Run((count + 63) / 64, [&](int64_t slice, int32_t) {
    for (int64_t row = slice * 64; row < std::min<int64_t>(count, slice * 64 + 64); ++row) {
      float* cosine = angles_.data() + row * spec_.rotary_dims;
      for (int32_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(step.positions()[row]) * inv_freq_[i];  // rounded to float, as trained
        cosine[i] = std::cos(angle) * spec_.rope_magnitude;
        cosine[half + i] = std::sin(angle) * spec_.rope_magnitude;
      }
    }
  });
  const int64_t ranks = shard_.cuts_both_factors() ? std::max(lora_->rank_sum_max, shard_.count * lora_->rank_part_max)
                                                   : lora_->rank_sum_max;
  rank_activations_.resize(std::max(rank_activations_.size(), static_cast<size_t>(count * ranks)));
  return Status::Ok();
}

void CpuBackend::Gather(const GatherParams& params) {
  for (size_t i = 0; i < params.rows.size(); ++i) {
    std::memcpy(Cpu(params.out).row(static_cast<int64_t>(i)), Cpu(params.x).row(params.rows[i]),
                static_cast<size_t>(params.x->cols()) * sizeof(float));
  }
}

Status CpuBackend::Sample(const SampleStepParams& params) {
  Drawn* drawn = &drawn_[turn_];
  const int32_t samples = step_->samples();
  const int32_t sequences = step_->sequences();
  drawn->ids.assign(samples, -1);
  drawn->logprobs.assign(samples, std::nanf(""));
  drawn->top_start.assign(samples + 1, 0);
  top_count_.assign(samples, 0);
  for (int32_t k = 0; k < samples; ++k) {
    drawn->top_start[k + 1] = drawn->top_start[k] + std::clamp(step_->ParamsOf(k).top_logprobs, 0, spec_.vocab);
  }
  drawn->top_ids.resize(drawn->top_start[samples]);
  drawn->top_logprobs.resize(drawn->top_start[samples]);

  sample_begin_.assign(sequences + 1, samples);
  for (int32_t s = 0, k = 0; s < sequences; ++s) {
    sample_begin_[s] = k;
    while (k < samples && step_->sample_row()[k] < step_->seq_token_start()[s + 1]) ++k;
  }
  pool_.Run(sequences, [&](int64_t sequence, int32_t thread) {
    SampleSequence(static_cast<int32_t>(sequence), params, drawn, &samplers_[thread]);
  });

  int32_t kept = 0;  // close the gaps that rows with fewer candidates than wanted have left
  for (int32_t k = 0; k < samples; ++k) {
    const int32_t begin = drawn->top_start[k];
    drawn->top_start[k] = kept;
    for (int32_t i = begin; i < begin + top_count_[k]; ++i, ++kept) {
      drawn->top_ids[kept] = drawn->top_ids[i];
      drawn->top_logprobs[kept] = drawn->top_logprobs[i];
    }
  }
  drawn->top_start[samples] = kept;
  drawn->top_ids.resize(kept);
  drawn->top_logprobs.resize(kept);
  drawn_before_ = drawn->ids;
  return Status::Ok();
}

void CpuBackend::Collect(int32_t turn, Drawn* drawn, StepTimes*) { std::swap(*drawn, drawn_[turn]); }

// Counts the sequence's tokens in their order and draws each sampled row when its own token has just been counted, so
// that a row's penalties see exactly what its sequence holds up to it.
void CpuBackend::SampleSequence(int32_t sequence, const SampleStepParams& params, Drawn* drawn, Sampler* sampler) {
  const int32_t scratch = step_->seq_scratch().empty() ? -1 : step_->seq_scratch()[sequence];
  TokenCounts* counts = nullptr;
  if (scratch >= 0) {
    if (counts_[scratch] == nullptr) counts_[scratch] = std::make_unique<TokenCounts>(spec_.vocab);
    counts = counts_[scratch].get();
  }
  int32_t k = sample_begin_[sequence];
  const int32_t end = sample_begin_[sequence + 1];
  if (counts == nullptr && k == end) return;
  for (int32_t row = step_->seq_token_start()[sequence]; row < step_->seq_token_start()[sequence + 1]; ++row) {
    const int32_t position = step_->positions()[row];
    if (counts != nullptr) {
      if (position == 0) counts->Reset();  // fed from the start again, after a preemption or by a new owner
      if (position < step_->seq_prompt()[sequence]) {
        counts->AddPrompt(token_ids_[row]);
      } else {
        counts->AddOutput(token_ids_[row]);
      }
    }
    for (; k < end && step_->sample_row()[k] == row; ++k) {
      SampleInput input{.logits = {Cpu(params.logits).row(k), static_cast<size_t>(spec_.vocab)},
                        .params = step_->ParamsOf(k),
                        .position = position,
                        .counts = counts};
      if (params.late != nullptr) {
        input.bias_ids = params.late->BiasIds(k);
        input.bias_values = params.late->BiasValues(k);
        const int32_t mask = step_->sample_mask().empty() ? -1 : step_->sample_mask()[k];
        if (mask >= 0) input.mask = params.late->Mask(mask);
      }
      const int32_t top = drawn->top_start[k];
      const auto room = static_cast<size_t>(drawn->top_start[k + 1] - top);
      const Draw draw = sampler->Sample(input, {drawn->top_ids.data() + top, room},
                                        {drawn->top_logprobs.data() + top, room});
      drawn->ids[k] = draw.id;
      if (draw.id < 0) continue;
      drawn->logprobs[k] = draw.logprob;
      top_count_[k] = draw.top_count;
    }
  }
}

void CpuBackend::ReadActivation(const Activation& x, const Rectangle& part, float* out) {
  for (int64_t row = 0; row < part.rows; ++row) {
    std::copy_n(Cpu(&x).row(part.row_begin + row) + part.col_begin, part.cols, out + row * part.cols);
  }
}

void CpuBackend::WriteActivation(Activation& x, const Rectangle& part, const float* values) {
  for (int64_t row = 0; row < part.rows; ++row) {
    std::copy_n(values + row * part.cols, part.cols, Cpu(&x).row(part.row_begin + row) + part.col_begin);
  }
}

}  // namespace chorale
