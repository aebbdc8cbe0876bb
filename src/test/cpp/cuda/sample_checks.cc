#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_sample.h"
#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/sample.h"

namespace chorale::cuda {
namespace {

struct Rows {
  std::vector<SampleRow> rows;
  std::vector<SampleParams> params;
};

SampleRow RowOf(const SampleParams& p, int32_t position) {
  SampleRow row;
  row.seed = p.seed;
  row.temperature = p.temperature;
  row.top_p = p.top_p;
  row.min_p = p.min_p;
  row.repetition = p.repetition;
  row.presence = p.presence;
  row.frequency = p.frequency;
  row.top_k = p.top_k;
  row.top_logprobs = p.top_logprobs;
  row.position = position;
  return row;
}

// The device's draws against those of the CPU sampler, on the same logits.
void CheckVocabulary(Lab& lab, int32_t vocab) {
  const std::vector<SampleParams> kinds = {
      {},
      {.top_logprobs = 5},
      {.temperature = 1.0f, .top_logprobs = 0},
      {.temperature = 0.7f, .top_k = 1},
      {.temperature = 0.7f, .top_k = 40, .top_logprobs = 20},
      {.temperature = 1.3f, .top_p = 0.9f},
      {.temperature = 1.0f, .top_p = 0.01f},
      {.temperature = 1.0f, .top_k = 100, .top_p = 0.95f, .min_p = 0.02f, .top_logprobs = 1},
      {.temperature = 0.5f, .min_p = 0.1f},
      {.temperature = 1.0f, .repetition = 1.3f, .presence = 0.4f, .frequency = 0.2f, .top_logprobs = 3},
      {.repetition = 0.5f, .frequency = 2.0f},
      {.temperature = 3.0f, .top_k = 1 << 30, .top_p = 0.999f},
  };
  const int32_t per_kind = 8, count = static_cast<int32_t>(kinds.size()) * per_kind + 2;
  const int32_t cols = (vocab + 7) / 8 * 8, mask_words = (vocab + 31) / 32;
  RandomProduct logits(lab, count, cols, 4096, 132);
  for (int32_t row = 0; row < count; ++row) {  // coarse logits make ties
    for (int32_t i = 0; row % 3 == 0 && i < cols; ++i) {
      for (int32_t part = 0; part < kProductPartialsMax; ++part) {
        float& value = logits.host[part * logits.product.partial_stride + int64_t{row} * cols + i];
        value = std::round(value * 4) / 4;
      }
    }
  }
  logits.host[int64_t{count - 2} * cols + 7] = NAN;  // two rows from which nothing can be drawn
  DeviceArray<float> d_logits(logits.host);
  logits.product.data = d_logits.data();

  std::vector<SampleRow> rows;
  std::vector<SampleParams> params;
  std::vector<uint32_t> counts(static_cast<size_t>(3) * vocab, 0);
  std::vector<TokenCounts> reference_counts(3, TokenCounts(vocab));
  for (int32_t scratch = 0; scratch < 3; ++scratch) {
    for (int32_t i = 0; i < 50; ++i) {
      const int32_t token = lab.Uniform(0, std::min(vocab, 60) - 1);
      if (i % 2 == 0) {
        reference_counts[scratch].AddPrompt(token);
        counts[scratch * vocab + token] |= 0x80000000u;
      } else {
        reference_counts[scratch].AddOutput(token);
        ++counts[scratch * vocab + token];
      }
    }
  }
  std::vector<uint32_t> masks(static_cast<size_t>(2) * mask_words);
  for (uint32_t& word : masks) word = static_cast<uint32_t>(lab.random());
  masks[0] |= 1;
  masks[mask_words] |= 1;
  std::vector<int32_t> bias_ids;
  std::vector<float> bias_values;
  for (int32_t k = 0; k < count; ++k) {
    SampleParams p = kinds[std::min<size_t>(k / per_kind, kinds.size() - 1)];
    p.seed = k >= count - 2 ? 0 : static_cast<int64_t>(lab.random());
    SampleRow row = RowOf(p, lab.Uniform(0, 100000));
    if (p.HasPenalties()) row.scratch = k % 3;
    if (k % 5 == 1) row.mask = k % 2;
    row.bias_begin = static_cast<int32_t>(bias_ids.size());
    for (int32_t i = 0; k % 4 == 2 && i < 7; ++i) {
      bias_ids.push_back(lab.Uniform(0, vocab - 1));
      bias_values.push_back(i == 6 ? -INFINITY : static_cast<float>(lab.Normal(3.0)));
    }
    for (int32_t i = 0; k == count - 1 && i < vocab; ++i) {
      bias_ids.push_back(i);
      bias_values.push_back(-INFINITY);
    }
    row.bias_end = static_cast<int32_t>(bias_ids.size());
    rows.push_back(row);
    params.push_back(p);
  }
  DeviceArray<SampleRow> d_rows(rows);
  DeviceArray<uint32_t> d_counts(counts), d_masks(masks);
  DeviceArray<int32_t> d_bias_ids(bias_ids), ids(count), top_ids(int64_t{count} * kTopLogprobsMax);
  DeviceArray<float> d_bias_values(bias_values), logprobs(count), top_logprobs(int64_t{count} * kTopLogprobsMax);
  DeviceArray<SampleSummary> summaries(int64_t{count} * SampleChunks(vocab));
  SampleArgs args;
  args.logits = logits.product;
  args.vocab = vocab;
  args.rows = d_rows.data();
  args.counts = d_counts.data();
  args.mask_bits = d_masks.data();
  args.bias_ids = d_bias_ids.data();
  args.bias_values = d_bias_values.data();
  args.summaries = summaries.data();
  args.ids = ids.data();
  args.logprobs = logprobs.data();
  args.top_ids = top_ids.data();
  args.top_logprobs = top_logprobs.data();
  Sample(lab.launcher, count, true, args);
  lab.Finish("sample");
  const std::vector<int32_t> got_ids = ids.Download(), got_top = top_ids.Download();
  const std::vector<float> got_logprobs = logprobs.Download(), got_top_logprobs = top_logprobs.Download();

  Sampler sampler;
  int32_t wrong_ids = 0, wrong_tops = 0;
  std::vector<double> want, got;
  for (int32_t k = 0; k < count; ++k) {
    std::vector<float> line(vocab);
    for (int32_t i = 0; i < vocab; ++i) {  // the device adds partials in float, in order
      const uint32_t tile = static_cast<uint32_t>(i / kProductTile), first = tile * args.logits.units_per_tile;
      const uint32_t parts =
          (first + args.logits.units_per_tile - 1) / args.logits.units_per_block - first / args.logits.units_per_block;
      line[i] = logits.host[int64_t{k} * cols + i];
      for (uint32_t part = 1; part <= parts; ++part) {
        line[i] += logits.host[part * args.logits.partial_stride + int64_t{k} * cols + i];
      }
    }
    SampleInput input{.logits = line, .params = params[k], .position = rows[k].position};
    if (rows[k].scratch >= 0) input.counts = &reference_counts[rows[k].scratch];
    const auto entries = static_cast<size_t>(rows[k].bias_end - rows[k].bias_begin);
    input.bias_ids = {bias_ids.data() + rows[k].bias_begin, entries};
    input.bias_values = {bias_values.data() + rows[k].bias_begin, entries};
    if (rows[k].mask >= 0) {
      input.mask = {masks.data() + static_cast<size_t>(rows[k].mask) * mask_words, static_cast<size_t>(mask_words)};
    }
    int32_t want_top[kTopLogprobsMax];
    float want_top_logprobs[kTopLogprobsMax];
    const Draw draw = sampler.Sample(input, want_top, want_top_logprobs);
    if (draw.id != got_ids[k]) {
      ++wrong_ids;
      std::printf("  vocab %d sample %d (kind %d): drew %d, the CPU %d\n", vocab, k, k / per_kind, got_ids[k], draw.id);
    }
    if (draw.id < 0 || params[k].top_logprobs < 0) {
      wrong_ids += std::isnan(got_logprobs[k]) ? 0 : 1;
      continue;
    }
    want.push_back(draw.logprob);
    got.push_back(got_logprobs[k]);
    for (int32_t i = 0; i < kTopLogprobsMax; ++i) {
      const int32_t id = i < draw.top_count ? want_top[i] : -1;
      if (got_top[k * kTopLogprobsMax + i] != id) ++wrong_tops;
      if (id < 0) continue;
      want.push_back(want_top_logprobs[i]);
      got.push_back(got_top_logprobs[k * kTopLogprobsMax + i]);
    }
  }
  const std::string name = "sample V=" + std::to_string(vocab);
  lab.Expect(name + " draws", wrong_ids == 0);
  lab.Expect(name + " best tokens", wrong_tops == 0);
  lab.Compare(name + " log-probabilities", got, want, 1e-5);
}

}  // namespace

void CheckSampling(Lab& lab) {
  for (const int32_t vocab : {61, 2048, 32003, 128256}) CheckVocabulary(lab, vocab);
}

}  // namespace chorale::cuda
