#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_sample.h"
#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/sample.h"
#include "kernels/spread.h"
#include "shard/shard_cut.h"

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

// One of several shards that share the lab's device, or the only one.
struct SampleShard {
  SampleShard(Lab& lab, int32_t count, int32_t vocab, const SampleWords& words_of_it, int32_t chunks, int32_t shards)
      : launcher(lab.MakeShardLauncher()),
        words(words_of_it),
        logits(lab, count, (words.count + 7) / 8 * 8, 4096, 132),
        whole(int64_t{count} * ((vocab + 7) / 8 * 8)),
        summaries(int64_t{count} * chunks),
        arrivals(std::vector<uint32_t>(static_cast<size_t>(1 + count) * shards, 0)),
        ids(count),
        top_ids(int64_t{count} * kTopLogprobsMax),
        logprobs(count),
        top_logprobs(int64_t{count} * kTopLogprobsMax) {}
  ~SampleShard() { cudaStreamDestroy(launcher.stream); }
  // The device adds partials in float, in order.
  void AppendLine(int32_t row, std::vector<float>* line) const {
    const Product& p = logits.product;
    for (int32_t i = 0; i < words.count; ++i) {
      const uint32_t first = static_cast<uint32_t>(i / kProductTile) * p.units_per_tile;
      const uint32_t parts = (first + p.units_per_tile - 1) / p.units_per_block - first / p.units_per_block;
      float sum = logits.host[int64_t{row} * p.cols + i];
      for (uint32_t part = 1; part <= parts; ++part) sum += logits.host[part * p.partial_stride + int64_t{row} * p.cols + i];
      line->push_back(sum);
    }
  }

  Launcher launcher;
  SampleWords words;
  RandomProduct logits;
  std::unique_ptr<DeviceArray<float>> coarse;  // the logits, once they have been changed
  DeviceArray<float> whole;
  DeviceArray<SampleSummary> summaries;
  DeviceArray<uint32_t> arrivals;  // of the whole, then of each row's summaries
  DeviceArray<int32_t> ids, top_ids;
  DeviceArray<float> logprobs, top_logprobs;
};

std::vector<std::unique_ptr<SampleShard>> CutVocabulary(Lab& lab, int32_t count, int32_t vocab, int32_t shards) {
  ModelSpec spec{};
  spec.vocab = vocab;
  std::vector<SampleWords> words;
  int32_t chunks = 0;
  for (int32_t s = 0; s < shards; ++s) {
    const Part part = VocabOf(spec, {.index = s, .count = shards});
    words.push_back({.first = static_cast<int32_t>(part.begin), .count = static_cast<int32_t>(part.size()), .chunk = chunks});
    chunks += SampleChunks(words.back().count);
  }
  std::vector<std::unique_ptr<SampleShard>> cut;
  for (const SampleWords& of_it : words) cut.push_back(std::make_unique<SampleShard>(lab, count, vocab, of_it, chunks, shards));
  return cut;
}

// The scans of all shards first: none of them waits for another. Whether none has waited in vain.
bool DrawOverShards(Lab& lab, std::vector<std::unique_ptr<SampleShard>>& shards, int32_t count, const SampleArgs& common) {
  const auto number = static_cast<int32_t>(shards.size());
  DeviceArray<uint32_t> state(std::vector<uint32_t>(1, 0));
  const SampleWords& last = shards.back()->words;
  const int64_t stride = shards[0]->whole.size() / count;
  std::vector<SampleArgs> all(shards.size(), common);
  for (int32_t s = 0; s < number; ++s) {
    SampleArgs& args = all[s];
    SampleShard& own = *shards[s];
    args.chunks = last.chunk + SampleChunks(last.count);
    args.logits = {own.whole.data(), count * stride, static_cast<int32_t>(stride), 1, 1};
    args.summaries = own.summaries.data();
    args.ids = own.ids.data();
    args.logprobs = own.logprobs.data();
    args.top_ids = own.top_ids.data();
    args.top_logprobs = own.top_logprobs.data();
    args.exchange = {.shard = s, .shards = number, .state = state.data(), .patience_nanos = kLabPatienceNanos};
    for (int32_t i = 0; i < number; ++i) {
      args.exchange.summaries[i] = shards[i]->summaries.data();
      args.exchange.arrivals[i] = shards[i]->arrivals.data() + number;
      args.exchange.expected[i] = static_cast<uint32_t>(SampleChunks(shards[i]->words.count));
    }
    SampleWords words = own.words;
    words.logits = own.logits.product;
    SampleScan(own.launcher, count, true, args, words);
  }
  for (int32_t s = 0; s < number; ++s) {
    SampleShard& own = *shards[s];
    SpreadArgs spread{.own = own.logits.product,
                      .cols = own.words.count,
                      .first = own.words.first,
                      .stride = stride,
                      .shard = s,
                      .shards = number,
                      .state = state.data(),
                      .patience_nanos = kLabPatienceNanos};
    spread.own.units_per_tile = spread.own.units_per_block = 1;
    for (int32_t i = 0; i < number; ++i) {
      spread.whole[i] = shards[i]->whole.data();
      spread.arrivals[i] = shards[i]->arrivals.data();
      spread.expected[i] = static_cast<uint32_t>(count * SpreadBlocks(shards[i]->words.count));
    }
    Spread(own.launcher, count, spread);
  }
  for (int32_t s = 0; s < number; ++s) SampleFinish(shards[s]->launcher, count, all[s]);
  for (const auto& shard : shards) {
    Must(shard->launcher.error, "sample over shards");
    Must(cudaStreamSynchronize(shard->launcher.stream), "sample over shards");
  }
  return lab.ExpectPatience("draws over shards", state);
}

// The device's draws against those of the CPU sampler, on the same logits.
void CheckVocabulary(Lab& lab, int32_t vocab, int32_t shards) {
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
  const int32_t mask_words = (vocab + 31) / 32;
  constexpr int32_t kZeros = 9;  // a row of which the best tokens are wanted, all equal
  std::vector<std::unique_ptr<SampleShard>> cut = CutVocabulary(lab, count, vocab, shards);
  for (const auto& shard : cut) {
    RandomProduct& logits = shard->logits;
    const int32_t cols = logits.product.cols;
    for (int32_t row = 0; row < count; ++row) {  // coarse logits make ties
      for (int32_t i = 0; row % 3 == 0 && i < cols; ++i) {
        for (int32_t part = 0; part < kProductPartialsMax; ++part) {
          float& value = logits.host[part * logits.product.partial_stride + int64_t{row} * cols + i];
          value = std::round(value * 4) / 4;
          if (row == kZeros) value = i % 2 == 0 ? 0.0f : -0.0f;
        }
      }
    }
    if (shard == cut.back()) logits.host[int64_t{count - 2} * cols + 7] = NAN;  // two rows from which nothing can be drawn
    shard->coarse = std::make_unique<DeviceArray<float>>(logits.host);
    logits.product.data = shard->coarse->data();
  }

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
  DeviceArray<int32_t> d_bias_ids(bias_ids);
  DeviceArray<float> d_bias_values(bias_values);
  SampleShard& first = *cut.front();
  SampleArgs args;
  args.logits = first.logits.product;
  args.vocab = vocab;
  args.rows = d_rows.data();
  args.counts = d_counts.data();
  args.mask_bits = d_masks.data();
  args.bias_ids = d_bias_ids.data();
  args.bias_values = d_bias_values.data();
  args.summaries = first.summaries.data();
  args.ids = first.ids.data();
  args.logprobs = first.logprobs.data();
  args.top_ids = first.top_ids.data();
  args.top_logprobs = first.top_logprobs.data();
  if (shards == 1) {
    Sample(lab.launcher, count, true, args);
    lab.Finish("sample");
  } else if (!DrawOverShards(lab, cut, count, args)) {
    return;
  }
  const std::vector<int32_t> got_ids = first.ids.Download(), got_top = first.top_ids.Download();
  const std::vector<float> got_logprobs = first.logprobs.Download(), got_top_logprobs = first.top_logprobs.Download();

  Sampler sampler;
  int32_t wrong_ids = 0, wrong_tops = 0;
  std::vector<double> want, got;
  for (int32_t k = 0; k < count; ++k) {
    std::vector<float> line;
    for (const auto& shard : cut) shard->AppendLine(k, &line);
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
  const std::string name = "sample V=" + std::to_string(vocab) + (shards == 1 ? "" : " over " + std::to_string(shards) + " shards");
  for (const auto& shard : cut) {
    lab.Expect(name + ": the same on all",
               shard->ids.Download() == got_ids && shard->top_ids.Download() == got_top &&
                   std::memcmp(shard->logprobs.Download().data(), got_logprobs.data(), got_logprobs.size() * 4) == 0);
    const std::vector<uint32_t> arrivals = shard->arrivals.Download();
    lab.Expect(name + ": counts are back at zero", std::ranges::all_of(arrivals, [](uint32_t n) { return n == 0; }));
  }
  lab.Expect(name + " draws", wrong_ids == 0);
  lab.Expect(name + " best tokens", wrong_tops == 0);
  lab.Compare(name + " log-probabilities", got, want, 1e-5);
}

}  // namespace

void CheckSampling(Lab& lab) {
  for (const int32_t vocab : {61, 2048, 32003, 128256}) CheckVocabulary(lab, vocab, 1);
  for (const auto& [vocab, shards] : {std::pair{61, 3}, {32003, 4}}) CheckVocabulary(lab, vocab, shards);
}

}  // namespace chorale::cuda
