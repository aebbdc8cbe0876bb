// Drawing tokens: the step's rows of parameters go up, what was drawn comes down.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {

// Token counts are kept from step to step for the sequences that have a scratch slot.
void CudaBackend::CountStepTokens() {
  const StepView& step = *step_;
  const std::span<const int32_t> scratch = step.seq_scratch();
  if (std::all_of(scratch.begin(), scratch.end(), [](int32_t slot) { return slot < 0; })) return;
  if (counts_.bytes() == 0) {
    Result<DeviceMemory> made = AllocateZeros(int64_t{4} * scratch_max_ * spec_.vocab, "token counts");
    if (!made.ok()) throw std::runtime_error(made.status().message());
    counts_ = std::move(made).value();
  }
  for (int32_t s = 0; s < step.sequences(); ++s) {
    const int32_t begin = step.seq_token_start()[s];
    if (scratch[s] >= 0 && begin < step.seq_token_start()[s + 1] && step.positions()[begin] == 0) ResetCounts(scratch[s]);
  }
  CountTokens(launcher_, rows_,
              {.token_ids = step_rows_.token_ids,
               .drawn = drawn_.as<int32_t>(),
               .positions = step_rows_.positions,
               .sequence = sequence_,
               .prompt = seq_prompt_,
               .scratch = seq_scratch_,
               .counts = counts_.as<uint32_t>(),
               .vocab = spec_.vocab});
}

void CudaBackend::MakeSampleRows(const LateView* late) {
  const StepView& step = *step_;
  sample_rows_.clear();
  bias_ids_.clear();
  bias_values_.clear();
  for (int32_t k = 0; k < step.samples(); ++k) {
    const SampleParams p = step.ParamsOf(k);
    const int32_t row = step.sample_row()[k];
    SampleRow out;
    out.seed = p.seed;
    out.temperature = p.temperature;
    out.top_p = p.top_p;
    out.min_p = p.min_p;
    out.repetition = p.repetition;
    out.presence = p.presence;
    out.frequency = p.frequency;
    out.top_k = p.top_k;
    out.top_logprobs = std::min(p.top_logprobs, kTopLogprobsMax);
    out.position = step.positions()[row];
    if (!step.seq_scratch().empty()) out.scratch = step.seq_scratch()[row_sequence_[row]];
    out.bias_begin = static_cast<int32_t>(bias_ids_.size());
    if (late != nullptr) {
      if (!step.sample_mask().empty()) out.mask = step.sample_mask()[k];
      bias_ids_.insert(bias_ids_.end(), late->BiasIds(k).begin(), late->BiasIds(k).end());
      bias_values_.insert(bias_values_.end(), late->BiasValues(k).begin(), late->BiasValues(k).end());
    }
    out.bias_end = static_cast<int32_t>(bias_ids_.size());
    sample_rows_.push_back(out);
  }
  sample_upload_.Clear();
  sample_upload_.Add(sample_rows_, &device_sample_rows_);
  sample_upload_.Add(bias_ids_, &device_bias_ids_);
  sample_upload_.Add(bias_values_, &device_bias_values_);
  if (late != nullptr && late->masks() > 0) {
    const std::span<const uint32_t> first = late->Mask(0);  // they lie one after another
    sample_upload_.Add(std::span<const uint32_t>(first.data(), first.size() * late->masks()), &device_masks_);
  }
  sample_upload_.Send(launcher_.stream);
}

void CudaBackend::Sample(const SampleStepParams& params, Drawn* drawn) {
  const int32_t samples = step_->samples();
  CountStepTokens();
  drawn->ids.assign(samples, -1);
  drawn->logprobs.assign(samples, std::nanf(""));
  drawn->top_start.assign(1, 0);
  drawn->top_ids.clear();
  drawn->top_logprobs.clear();
  if (samples == 0) {
    Finish("a step");
    return;
  }
  MakeSampleRows(params.late);
  SampleArgs args;
  args.logits = Cuda(params.logits).product;
  args.vocab = spec_.vocab;
  args.rows = device_sample_rows_;
  args.counts = counts_.as<uint32_t>();
  args.mask_bits = device_masks_;
  args.bias_ids = device_bias_ids_;
  args.bias_values = device_bias_values_;
  args.summaries = summaries_.as<SampleSummary>();
  args.ids = drawn_.as<int32_t>();
  args.logprobs = drawn_.as<float>() + samples_max_;
  args.top_ids = drawn_.as<int32_t>() + int64_t{2} * samples_max_;
  args.top_logprobs = drawn_.as<float>() + int64_t{2 + kTopLogprobsMax} * samples_max_;
  const bool tops = std::any_of(sample_rows_.begin(), sample_rows_.end(),
                                [](const SampleRow& row) { return row.top_logprobs > 0; });
  const bool look_twice = tops || std::any_of(sample_rows_.begin(), sample_rows_.end(), IsTruncated);
  cuda::Sample(launcher_, samples, look_twice, args);
  const size_t bytes = tops ? static_cast<size_t>(drawn_.bytes()) : size_t{8} * samples_max_;
  Check(cudaMemcpyAsync(drawn_host_.data(), drawn_.data(), bytes, cudaMemcpyDeviceToHost, launcher_.stream), "draws");
  Finish("a step");

  const auto* ids = drawn_host_.as<int32_t>();
  const auto* logprobs = drawn_host_.as<float>() + samples_max_;
  const auto* top_ids = ids + int64_t{2} * samples_max_;
  const auto* top_logprobs = drawn_host_.as<float>() + int64_t{2 + kTopLogprobsMax} * samples_max_;
  for (int32_t k = 0; k < samples; ++k) {
    drawn->ids[k] = ids[k];
    if (ids[k] >= 0) {
      drawn->logprobs[k] = logprobs[k];
      for (int32_t i = 0; i < sample_rows_[k].top_logprobs && top_ids[k * kTopLogprobsMax + i] >= 0; ++i) {
        drawn->top_ids.push_back(top_ids[k * kTopLogprobsMax + i]);
        drawn->top_logprobs.push_back(top_logprobs[k * kTopLogprobsMax + i]);
      }
    }
    drawn->top_start.push_back(static_cast<int32_t>(drawn->top_ids.size()));
  }
}

}  // namespace chorale::cuda
