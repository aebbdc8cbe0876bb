#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cuda/cublaslt.h"
#include "cuda/lab.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"
#include "kernels/probe.h"
#include "kernels/random.h"
#include "kernels/sample.h"

namespace chorale::cuda {
namespace {

constexpr Element kElement = Element::kBf16;
constexpr int64_t kBeyondL2 = 600'000'000;  // inputs rotate over as many bytes

void BenchBandwidth(Lab& lab) {
  DeviceArray<uint8_t> data(int64_t{2} << 30);
  DeviceArray<uint32_t> sink(1);
  FillNormal(lab.launcher, kElement, data.data(), data.size() / 2, 1, 1.0f);
  const double us = lab.Microseconds(1, [&] { ReadOnce(lab.launcher, data.data(), data.size(), sink.data()); });
  lab.read_bandwidth = static_cast<double>(data.size()) / us * 1e6;
  std::printf("read bandwidth %.3f TB/s: all percentages of bytes below are of it\n", lab.read_bandwidth / 1e12);
}

double Percent(const Lab& lab, double bytes, double us) { return bytes / lab.read_bandwidth * 1e6 / us * 100; }

void BenchGemm(Lab& lab) {
  std::string reason;
  const std::unique_ptr<CublasLt> lt = CublasLt::Load(&reason);
  std::printf("\nproducts, us (percent of weight bytes): own kernel | %s\n",
              lt != nullptr ? lt->name().c_str() : reason.c_str());
  struct Shape {
    const char* name;
    int32_t cols, inputs;
  };
  const Shape shapes[] = {{"L3 qkv", 6144, 4096},       {"L3 o", 4096, 4096},        {"L3 gate+up", 28672, 4096},
                          {"L3 down", 4096, 14336},     {"L3 head", 128256, 4096},   {"L2 qkv", 12288, 4096},
                          {"L2 gate+up", 22016, 4096},  {"L2 down", 4096, 11008}};
  const int32_t row_counts[] = {1, 8, 32, 64, 128};
  DeviceArray<uint8_t> weights(int64_t{2200} << 20);
  FillNormal(lab.launcher, kElement, weights.data(), weights.size() / 2, 2, 0.02f);
  DeviceArray<uint8_t> x(int64_t{128} * 14336 * 2);
  FillNormal(lab.launcher, kElement, x.data(), x.size() / 2, 3, 1.0f);
  DeviceArray<float> y(int64_t{kProductPartialsMax} * 128 * 128256);
  for (const Shape& s : shapes) {
    const int64_t bytes = int64_t{2} * s.cols * s.inputs;
    const auto copies = static_cast<int32_t>(std::clamp<int64_t>(kBeyondL2 / bytes + 1, 2, 24));
    std::printf("  %-11s", s.name);
    for (const int32_t rows : row_counts) {
      const ProductPlan plan = PlanProduct(s.cols, s.inputs, lab.launcher.sm_count);
      GemmStreamArgs args;
      args.y = {y.data(), int64_t{rows} * s.cols, s.cols, plan.units_per_tile, plan.units_per_block};
      args.rows = rows;
      bool good = EncodeStreamMap(kElement, x.data(), rows, s.inputs, s.inputs, StreamBox(rows), &args.x);
      std::vector<CUtensorMap> maps(copies);
      for (int32_t i = 0; i < copies; ++i) {
        good = good && EncodeStreamMap(kElement, weights.data() + i * bytes, s.cols, s.inputs, s.inputs, kProductTile, &maps[i]);
      }
      if (!good) {
        std::printf(" no tensor maps\n");
        return;
      }
      const double own = lab.Microseconds(copies, [&] {
        for (const CUtensorMap& map : maps) {
          args.weight = map;
          GemmStream(lab.launcher, kElement, plan, args);
        }
      });
      std::printf("  M=%-3d %6.1f (%2.0f)", rows, own, Percent(lab, static_cast<double>(bytes), own));
      if (lt == nullptr) continue;
      const double library = lab.Microseconds(copies, [&] {
        for (int32_t i = 0; i < copies; ++i) {
          lt->Gemm(lab.launcher, kElement,
                   {.weight = weights.data() + i * bytes,
                    .weight_stride = s.inputs,
                    .x = x.data(),
                    .x_stride = s.inputs,
                    .y = y.data(),
                    .rows = rows,
                    .cols = s.cols,
                    .inputs = s.inputs});
        }
      });
      std::printf(" | %6.1f (%2.0f)", library, Percent(lab, static_cast<double>(bytes), library));
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

void BenchPrefillGemm(Lab& lab) {
  std::string reason;
  const std::unique_ptr<CublasLt> lt = CublasLt::Load(&reason);
  if (lt == nullptr) return;
  std::printf("\nproducts of many rows, TFLOP/s: library with float32 | 16-bit output (its first choice, ours, the best of %d)\n",
              CublasLt::kChoices);
  DeviceArray<uint8_t> weights(int64_t{1} << 30), x(int64_t{2048} * 14336 * 2), y(int64_t{2048} * 28672 * 4);
  FillNormal(lab.launcher, kElement, weights.data(), weights.size() / 2, 2, 0.02f);
  FillNormal(lab.launcher, kElement, x.data(), x.size() / 2, 3, 1.0f);
  for (const auto& [name, cols, inputs] : {std::tuple{"L3 qkv", 6144, 4096}, {"L3 o", 4096, 4096}, {"L3 gate+up", 28672, 4096},
                                           {"L3 down", 4096, 14336}, {"L2 qkv", 12288, 4096}, {"L2 gate+up", 22016, 4096},
                                           {"L2 down", 4096, 11008}}) {
    std::printf("  %-10s", name);
    for (const int32_t rows : {512, 1024, 2048}) {
      std::printf("  M=%d", rows);
      for (const bool half : {false, true}) {
        double first = 0, preferred = 0, best = 0;
        int32_t best_choice = 0;
        for (int32_t choice = CublasLt::kPreferred; choice < CublasLt::kChoices; ++choice) {
          bool good = true;
          const double us = lab.Microseconds(4, [&, cols = cols, inputs = inputs] {
            for (int32_t i = 0; i < 4; ++i) {
              good = good && lt->Gemm(lab.launcher, kElement,
                                      {.weight = weights.data() + (i % 2) * int64_t{2} * cols * inputs,
                                       .weight_stride = inputs,
                                       .x = x.data(),
                                       .x_stride = inputs,
                                       .y = y.data(),
                                       .half = half,
                                       .rows = rows,
                                       .cols = cols,
                                       .inputs = inputs,
                                       .choice = choice});
            }
          });
          const double rate = good ? 2.0 * rows * cols * inputs / us / 1e6 : 0;
          if (choice == CublasLt::kPreferred) {
            preferred = rate;
            continue;
          }
          if (choice == 0) first = rate;
          if (rate > best) best_choice = choice;
          best = std::max(best, rate);
        }
        std::printf(" %s%.0f %.0f %.0f(#%d)", half ? "| " : "", first, preferred, best, best_choice);
      }
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

// Sequences of `context` tokens with pages in random order.
struct Sequences {
  Sequences(Lab& lab, int32_t count, int32_t context, int32_t kv_heads, int32_t head_dim)
      : page_tokens(16), slice(int64_t{4} * kv_heads * head_dim * page_tokens), pages_each((context + 15) / 16) {
    page_total = count * pages_each;
    layers = static_cast<int32_t>(std::clamp<int64_t>(kBeyondL2 / (slice * page_total), 2, 32));
    std::vector<int32_t> ids(page_total);
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), lab.random);
    page_ids = std::make_unique<DeviceArray<int32_t>>(ids);
    std::vector<int32_t> starts;
    for (int32_t s = 0; s <= count; ++s) starts.push_back(s * pages_each);
    page_start = std::make_unique<DeviceArray<int32_t>>(starts);
    pool = std::make_unique<DeviceArray<uint8_t>>(slice * layers * page_total);
    FillNormal(lab.launcher, kElement, pool->data(), pool->size() / 2, 5, 1.0f);
  }
  KvPages Layer(int32_t layer, int32_t kv_heads, int32_t head_dim) const {
    return {pool->data() + layer * slice, slice * layers, page_tokens, kv_heads, head_dim};
  }
  int32_t page_tokens;
  int64_t slice;
  int32_t pages_each, page_total = 0, layers = 0;
  std::unique_ptr<DeviceArray<int32_t>> page_ids, page_start;
  std::unique_ptr<DeviceArray<uint8_t>> pool;
};

void BenchDecodeAttention(Lab& lab) {
  std::printf("\ndecode attention of one layer, us (percent of KV bytes)\n");
  for (const auto& [name, heads, kv_heads] : {std::tuple{"L3 32/8", 32, 8}, std::tuple{"L2 32/32", 32, 32}}) {
    std::printf("  %-9s", name);
    for (const auto& [batch, context] : {std::pair{1, 1024}, {1, 8192}, {8, 1024}, {32, 1024}, {128, 1024}, {32, 4096}}) {
      if (int64_t{batch} * context * kv_heads > int64_t{64} * 1024 * 32) continue;
      Sequences sequences(lab, batch, context, kv_heads, 128);
      std::vector<int32_t> positions(batch, context - 1), ids(batch);
      std::iota(ids.begin(), ids.end(), 0);
      DeviceArray<int32_t> d_positions(positions), d_sequence(ids);
      DeviceArray<uint8_t> q(int64_t{batch} * heads * 256), out(int64_t{batch} * heads * 256);
      FillNormal(lab.launcher, kElement, q.data(), q.size() / 2, 6, 1.0f);
      std::vector<DecodeRow> rows;
      for (int32_t i = 0; i < batch; ++i) rows.push_back({i, context - 1});
      DecodePlan plan;
      PlanDecode(rows, heads, kv_heads, 0, lab.launcher.sm_count, &plan);
      DeviceArray<DecodeItem> items(plan.items);
      DeviceArray<int32_t> block_start(plan.block_start);
      DeviceArray<float> partial(int64_t{plan.partials} * kDecodeHeads * 128);
      DeviceArray<float2> stats(int64_t{plan.partials} * kDecodeHeads);
      DeviceArray<int32_t> tickets(std::vector<int32_t>(plan.tickets, 0));
      AttentionArgs args;
      args.q = q.data();
      args.out = out.data();
      args.out_stride = heads * 128;
      args.heads = heads;
      args.scale = 0.088388f;
      args.positions = d_positions.data();
      args.sequence = d_sequence.data();
      args.page_start = sequences.page_start->data();
      args.page_ids = sequences.page_ids->data();
      const DecodeWork work{items.data(), block_start.data(), partial.data(), stats.data(), tickets.data()};
      const double us = lab.Microseconds(sequences.layers, [&] {
        for (int32_t layer = 0; layer < sequences.layers; ++layer) {
          args.kv = sequences.Layer(layer, kv_heads, 128);
          AttentionDecode(lab.launcher, kElement, args, work);
        }
      });
      const double bytes = 4.0 * kv_heads * 128 * batch * context;
      std::printf("  %dx%d %.1f (%2.0f)", batch, context, us, Percent(lab, bytes, us));
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

void BenchPrefillAttention(Lab& lab) {
  std::printf("\nprefill attention of one layer, one sequence, causal, TFLOP/s\n ");
  for (const int32_t kv_heads : {8, 32}) {
    for (const int32_t length : {512, 2048, 8192}) {
      const int32_t heads = 32;
      Sequences sequences(lab, 1, length, kv_heads, 128);
      std::vector<int32_t> positions(length);
      std::iota(positions.begin(), positions.end(), 0);
      DeviceArray<int32_t> d_positions(positions), d_sequence(std::vector<int32_t>(length, 0));
      DeviceArray<uint8_t> q(int64_t{length} * heads * 256), out(int64_t{length} * heads * 256);
      FillNormal(lab.launcher, kElement, q.data(), q.size() / 2, 6, 1.0f);
      std::vector<PrefillItem> items;
      PlanPrefill({{0, length, 0}}, heads, kv_heads, &items);
      DeviceArray<PrefillItem> d_items(items);
      AttentionArgs args;
      args.q = q.data();
      args.out = out.data();
      args.out_stride = heads * 128;
      args.heads = heads;
      args.scale = 0.088388f;
      args.positions = d_positions.data();
      args.sequence = d_sequence.data();
      args.page_start = sequences.page_start->data();
      args.page_ids = sequences.page_ids->data();
      args.kv = sequences.Layer(0, kv_heads, 128);
      const double us = lab.Microseconds(4, [&] {
        for (int32_t i = 0; i < 4; ++i) {
          AttentionPrefill(lab.launcher, kElement, static_cast<int32_t>(items.size()), args, d_items.data());
        }
      });
      const double flops = 4.0 * heads * 128 * length * length / 2;
      std::printf("  32/%d x%d %.0f (%.0f us)", kv_heads, length, flops / us / 1e6, us);
      std::fflush(stdout);
    }
  }
  std::printf("\n");
}

void BenchLayerOps(Lab& lab) {
  std::printf("\nlayer operations of Llama-3-8B in a chain, us (products cut as by the own kernel; one part from 2048)\n");
  constexpr int32_t kLaunches = 20;
  for (const int32_t rows : {1, 32, 128, 2048}) {
    const auto product = [&](DeviceArray<float>& data, int32_t cols, int32_t inputs) {
      const ProductPlan plan = PlanProduct(cols, inputs, lab.launcher.sm_count);
      if (rows > 128) return Product{data.data(), 0, cols, 1, 1};
      return Product{data.data(), int64_t{rows} * cols, cols, plan.units_per_tile, plan.units_per_block};
    };
    const int64_t parts = rows > 128 ? 1 : kProductPartialsMax;
    DeviceArray<float> residual(int64_t{rows} * 4096), norm(4096), y(parts * rows * 28672);
    FillNormal(lab.launcher, residual.data(), residual.size(), 1, 0.0f, 1.0f);
    FillNormal(lab.launcher, norm.data(), norm.size(), 1, 1.0f, 0.1f);
    FillNormal(lab.launcher, y.data(), y.size(), 2, 0.0f, 0.01f);
    DeviceArray<uint8_t> out(int64_t{rows} * 14336 * 2);
    AddNormArgs norm_args;
    norm_args.residual = residual.data();
    norm_args.delta = product(y, 4096, 14336);
    norm_args.norm = norm.data();
    norm_args.out = out.data();
    norm_args.hidden = norm_args.hidden_real = 4096;
    norm_args.eps = 1e-5f;
    const double add_norm = lab.Microseconds(kLaunches, [&] {
      for (int32_t i = 0; i < kLaunches; ++i) AddNorm(lab.launcher, kElement, rows, norm_args);
    });
    Sequences sequences(lab, rows, 16, 8, 128);
    std::vector<int32_t> positions(rows, 3);
    DeviceArray<int32_t> d_positions(positions);
    DeviceArray<float2> rotation(int64_t{rows} * 64);
    QkvPostArgs post;
    post.rows = {nullptr, d_positions.data(), sequences.page_ids->data()};  // a page each
    post.qkv = product(y, 6144, 4096);
    post.rotation = rotation.data();
    post.rotary_pairs = 64;
    post.q = out.data();
    post.heads = 32;
    post.kv = sequences.Layer(0, 8, 128);
    const double qkv_post = lab.Microseconds(kLaunches, [&] {
      for (int32_t i = 0; i < kLaunches; ++i) QkvPost(lab.launcher, kElement, rows, post);
    });
    const SwiGluArgs swiglu_args{product(y, 28672, 4096), nullptr, out.data(), 14336, 14336};
    const double swiglu = lab.Microseconds(kLaunches, [&] {
      for (int32_t i = 0; i < kLaunches; ++i) SwiGlu(lab.launcher, kElement, rows, swiglu_args);
    });
    std::printf("  %4d rows: add_norm %.1f  qkv_post %.1f  swiglu %.1f\n", rows, add_norm, qkv_post, swiglu);
  }
}

void BenchSampling(Lab& lab) {
  std::printf("\nsampling, V = 128,256, us\n");
  constexpr int32_t kVocab = 128256;
  for (const int32_t count : {1, 32, 128}) {
    DeviceArray<float> logits(int64_t{count} * kVocab);
    FillNormal(lab.launcher, logits.data(), logits.size(), 7, 0.0f, 2.0f);
    DeviceArray<int32_t> ids(count), top_ids(int64_t{count} * kTopLogprobsMax);
    DeviceArray<float> logprobs(count), top_logprobs(int64_t{count} * kTopLogprobsMax);
    DeviceArray<SampleSummary> summaries(int64_t{count} * SampleChunks(kVocab));
    std::printf("  %3d rows:", count);
    for (const char* kind : {"greedy", "temperature", "top-k 40", "top-p 0.9"}) {
      std::vector<SampleRow> rows(count);
      for (int32_t i = 0; i < count; ++i) {
        rows[i].seed = i;
        rows[i].temperature = kind[0] == 'g' ? 0.0f : 0.8f;
        rows[i].top_k = kind[4] == 'k' ? 40 : 0;
        rows[i].top_p = kind[4] == 'p' && kind[3] == '-' ? 0.9f : 1.0f;
      }
      DeviceArray<SampleRow> d_rows(rows);
      SampleArgs args;
      // One part: the second pass writes there, so parts would add up from launch to launch.
      args.logits = {logits.data(), int64_t{count} * kVocab, kVocab, 1, 1};
      args.vocab = kVocab;
      args.rows = d_rows.data();
      args.summaries = summaries.data();
      args.ids = ids.data();
      args.logprobs = logprobs.data();
      args.top_ids = top_ids.data();
      args.top_logprobs = top_logprobs.data();
      const bool truncated = IsTruncated(rows[0]);
      const double us = lab.Microseconds(5, [&] {
        for (int32_t i = 0; i < 5; ++i) Sample(lab.launcher, count, truncated, args);
      });
      std::printf("  %s %.1f", kind, us);
    }
    std::printf("\n");
  }
}

}  // namespace

void BenchKernels(Lab& lab) {
  BenchBandwidth(lab);
  BenchGemm(lab);
  BenchPrefillGemm(lab);
  BenchDecodeAttention(lab);
  BenchPrefillAttention(lab);
  BenchLayerOps(lab);
  BenchSampling(lab);
}

}  // namespace chorale::cuda
