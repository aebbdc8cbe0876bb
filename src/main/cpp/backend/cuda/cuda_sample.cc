// Drawing tokens: what was drawn comes down while the next step is prepared.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {

// Token counts are kept from step to step for the sequences that have a scratch slot. Those that begin anew lose theirs.
void CudaBackend::ResetBegun() {
  const StepView& step = *step_;
  const std::span<const int32_t> scratch = step.seq_scratch();
  for (int32_t s = 0; s < std::ssize(scratch); ++s) {
    const int32_t begin = step.seq_token_start()[s];
    if (scratch[s] >= 0 && begin < step.seq_token_start()[s + 1] && step.positions()[begin] == 0) ResetCounts(scratch[s]);
  }
}

// Adds the tokens of the step's rows [begin, end).
void CudaBackend::CountRows(int32_t begin, int32_t end) {
  if (begin == end) return;
  CountTokens(launcher_, end - begin,
              {.token_ids = step_rows_.token_ids + begin,
               .drawn = drawn_.as<int32_t>(),
               .positions = step_rows_.positions + begin,
               .sequence = sequence_ + begin,
               .prompt = prompt_,
               .scratch = scratch_,
               .counts = counts_.as<uint32_t>(),
               .vocab = spec_.vocab});
}

// Whether some row is sampled in the middle of a sequence whose tokens are counted: its penalties must not see what
// comes after it.
bool CudaBackend::SamplesBetweenCounts() const {
  const StepView& step = *step_;
  if (step.seq_scratch().empty()) return false;
  return std::any_of(step.sample_row().begin(), step.sample_row().end(), [&](int32_t row) {
    const int32_t sequence = row_sequence_[row];
    return step.seq_scratch()[sequence] >= 0 && row + 1 != step.seq_token_start()[sequence + 1];
  });
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
    out.top_logprobs = p.top_logprobs;
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
}

Status CudaBackend::SendLate(const LateView& late) {
  MakeSampleRows(&late);
  std::span<const uint32_t> masks;
  if (late.masks() > 0) {  // they lie one after another
    masks = {late.Mask(0).data(), late.Mask(0).size() * static_cast<size_t>(late.masks())};
  }
  late_tables_.Begin();
  late_tables_.Add(sample_rows_, &device_sample_rows_);
  late_tables_.Add(bias_ids_, &device_bias_ids_);
  late_tables_.Add(bias_values_, &device_bias_values_);
  late_tables_.Add(masks, &device_masks_);
  CHORALE_RETURN_IF_ERROR(late_tables_.Place(launcher_.stream));
  late_tables_.Send(launcher_.stream, turn_);
  return Status::Ok();
}

Status CudaBackend::Sample(const SampleStepParams& params) {
  const int32_t samples = step_->samples();
  Turn& turn = turns_[turn_];
  const std::span<const int32_t> scratch = step_->seq_scratch();
  const bool counts = std::any_of(scratch.begin(), scratch.end(), [](int32_t slot) { return slot >= 0; });
  const bool one_by_one = counts && SamplesBetweenCounts();
  if (counts) ResetBegun();
  if (counts && !one_by_one) CountRows(0, rows_);
  if (params.late != nullptr) CHORALE_RETURN_IF_ERROR(SendLate(*params.late));
  turn.tops.clear();
  for (const SampleRow& row : sample_rows_) turn.tops.push_back(row.top_logprobs);
  if (samples > 0) {
    SampleArgs args;
    args.vocab = spec_.vocab;
    args.chunks = words_.back().chunk + SampleChunks(words_.back().count);
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
    const bool tops = std::any_of(turn.tops.begin(), turn.tops.end(), [](int32_t count) { return count > 0; });
    const bool look_twice = tops || std::any_of(sample_rows_.begin(), sample_rows_.end(), IsTruncated);
    if (one_by_one) {
      SampleOneByOne(look_twice, args);
    } else {
      Draw(look_twice, args);
    }
    const size_t bytes = tops ? static_cast<size_t>(drawn_.bytes()) : size_t{8} * samples_max_;
    Check(cudaMemcpyAsync(turn.drawn.data(), drawn_.data(), bytes, cudaMemcpyDeviceToHost, launcher_.stream), "draws");
  }
  Check(cudaEventRecord(turn.end, launcher_.stream), "a step");
  Check(launcher_.error, "a step");
  return Status::Ok();
}

// Where their logits are all here, from these: `count` rows from `first` on.
void CudaBackend::DrawFromAll(int32_t first, int32_t count, bool look_twice, SampleArgs args) {
  args.logits = logits_->product;
  args.logits.data = args.logits.floats() + int64_t{first} * args.logits.cols;
  for (SampleWords words : words_) {  // cut as where each shard scans its own, so that the same is drawn to the bit
    words.logits = args.logits;
    words.logits.data = args.logits.floats() + words.first;
    SampleScan(launcher_, count, look_twice, args, words);
  }
  SampleFinish(launcher_, count, args);
}

// Else each shard scans its words, and all draw from what is known of them then. Rows that need a second look are handed
// to all, as penalties and masks have left them.
void CudaBackend::Draw(bool look_twice, SampleArgs args) {
  const int32_t samples = step_->samples();
  if (has_all_logits_) {
    DrawFromAll(0, samples, look_twice, args);
    return;
  }
  args.summaries = peers_->summaries();
  args.exchange = peers_->NextDraw(words_);
  SampleWords own = words_[shard_.index];
  Product& logits = Cuda(shard_logits_.get()).product;
  own.logits = logits;
  SampleScan(launcher_, samples, look_twice, args, own);
  if (look_twice) {
    logits.units_per_tile = logits.units_per_block = 1;  // it is whole now
    GatherLogits(samples);
    args.logits = logits_->product;
  }
  SampleFinish(launcher_, samples, args);
}

// Counts up to each sampled row, then draws it. Rows still to be counted may refer to what the step before drew, so the
// draws take its place at the end.
void CudaBackend::SampleOneByOne(bool look_twice, const SampleArgs& all) {
  if (!has_all_logits_) GatherLogits(step_->samples());
  int32_t counted = 0;
  for (int32_t k = 0; k < step_->samples(); ++k) {
    const int32_t end = step_->sample_row()[k] + 1;
    CountRows(counted, end);
    counted = end;
    SampleArgs args = all;
    args.rows += k;
    args.ids = drawn_apart_.as<int32_t>() + k;
    args.logprobs += k;
    args.top_ids += int64_t{k} * kTopLogprobsMax;
    args.top_logprobs += int64_t{k} * kTopLogprobsMax;
    DrawFromAll(k, 1, look_twice, args);
  }
  CountRows(counted, rows_);
  Check(cudaMemcpyAsync(all.ids, drawn_apart_.data(), size_t{4} * step_->samples(), cudaMemcpyDeviceToDevice,
                        launcher_.stream),
        "draws");
}

void CudaBackend::Collect(int32_t turn_index, Drawn* drawn, StepTimes* times) {
  const Turn& turn = turns_[turn_index];
  Check(cudaEventSynchronize(turn.end), "a step");
  if (peers_ != nullptr) peers_->Check();
  collected_.fetch_add(1, std::memory_order_relaxed);
  const auto nanos = [](cudaEvent_t begin, cudaEvent_t end) {
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end), "a step");
    return static_cast<int64_t>(static_cast<double>(milliseconds) * 1e6);
  };
  times->forward_nanos = nanos(turn.begin, turn.forwarded);
  times->sample_nanos = nanos(turn.forwarded, turn.end);
  times->total_nanos = nanos(turn.begin, turn.end);

  const auto samples = static_cast<int32_t>(turn.tops.size());
  const auto* ids = turn.drawn.as<int32_t>();
  const auto* logprobs = turn.drawn.as<float>() + samples_max_;
  const auto* top_ids = ids + int64_t{2} * samples_max_;
  const auto* top_logprobs = turn.drawn.as<float>() + int64_t{2 + kTopLogprobsMax} * samples_max_;
  drawn->Clear();
  drawn->ids.assign(ids, ids + samples);
  drawn->logprobs.assign(samples, std::nanf(""));
  for (int32_t k = 0; k < samples; ++k) {
    if (ids[k] >= 0) {
      drawn->logprobs[k] = logprobs[k];
      for (int32_t i = 0; i < turn.tops[k] && top_ids[k * kTopLogprobsMax + i] >= 0; ++i) {
        drawn->top_ids.push_back(top_ids[k * kTopLogprobsMax + i]);
        drawn->top_logprobs.push_back(top_logprobs[k * kTopLogprobsMax + i]);
      }
    }
    drawn->top_start.push_back(static_cast<int32_t>(drawn->top_ids.size()));
  }
}

}  // namespace chorale::cuda
