// A whole step of the shape of step_weights.h by the kernels alone: keys, values and adapters of random numbers.
#pragma once

#include <array>
#include <cmath>
#include <numeric>

#include "backend/cuda/cublaslt.h"
#include "cuda/step_weights.h"
#include "kernels/attention.h"
#include "kernels/gemm_many.h"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"
#include "kernels/sample.h"
#include "memory/page_layout.h"

namespace chorale::cuda {

// Which products of many rows are by the own kernel, with what follows them.
struct OwnProducts {
  bool qkv = true, o = true, gate_up = true, down = true;
};

// What parts of a step to leave out, to see what they cost.
struct Parts {
  bool attention = true, small = true, lora = true, expand = true, sample = true;
};

class Step {
 public:
  // `batch` sequences: with chunk 1 they decode at position context - 1, else all their `chunk` rows are prefilled.
  Step(Lab& lab, const Weights& weights, CublasLt* lt, int32_t batch, int32_t context, int32_t chunk, int32_t adapters,
       int32_t rank, bool all_targets)
      : lab_(lab), w_(weights), shape_(weights.shape), lt_(lt), rows_(batch * chunk), batch_(batch), chunk_(chunk), adapters_(adapters),
        geometry_(PageGeometry::Of(kLayers, shape_.kv_heads, kHeadDim, kBF16)) {
    std::vector<int32_t> page_ids, page_start{0}, positions, sequence, tokens, row_pages;
    const int32_t pages_each = (context + geometry_.page_tokens - 1) / geometry_.page_tokens;
    std::vector<AdapterLayout> layouts;
    LinearShapes shapes{.layers = kLayers,
                        .in = {kHidden, kHidden, kHidden, shape_.q_cols, kHidden, kHidden, shape_.intermediate},
                        .out = {shape_.q_cols, shape_.kv_cols, shape_.kv_cols, kHidden, shape_.intermediate, shape_.intermediate, kHidden}};
    int32_t adapter_pages = 0;
    for (int32_t a = 0; a < adapters; ++a) {
      std::vector<int32_t> ranks(kLayers * kTargets, rank > 0 ? rank : 8 << a % 4);
      for (int32_t i = 0; i < kLayers * kTargets; ++i) {
        if (!all_targets && i % kTargets > kO) ranks[i] = 0;
        adapter_bytes += int64_t{2} * ranks[i] * (shapes.in[i % kTargets] + shapes.out[i % kTargets]);
      }
      layouts.emplace_back(shapes, geometry_, ranks, std::vector<float>(ranks.size(), 0.01f));
      adapter_pages += layouts.back().page_count();
    }
    int32_t page_total = batch * pages_each + adapter_pages;
    std::vector<int32_t> order(page_total);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), lab.random);
    pool_ = std::make_unique<DeviceArray<uint8_t>>(page_total * geometry_.page_bytes);
    FillNormal(lab.launcher, kElement, pool_->data(), pool_->size() / 2, 13, 0.05f);
    for (int32_t s = 0; s < batch; ++s) {
      for (int32_t i = 0; i < pages_each; ++i) {
        page_ids.push_back(order.back());
        order.pop_back();
      }
      page_start.push_back(static_cast<int32_t>(page_ids.size()));
      for (int32_t i = 0; i < chunk; ++i) {
        positions.push_back(context - chunk + i);
        sequence.push_back(s);
        tokens.push_back(lab.Uniform(0, shape_.vocab - 1));
        row_pages.push_back(page_ids[page_start[s] + positions.back() / geometry_.page_tokens]);
      }
    }
    page_ids_ = Upload(page_ids);
    page_start_ = Upload(page_start);
    positions_ = Upload(positions);
    sequence_ = Upload(sequence);
    tokens_ = Upload(tokens);
    row_pages_ = Upload(row_pages);
    PlanAttention(positions);
    PlanAdapters(layouts, order);
    MakeActivations();
    kv_bytes = int64_t{4} * shape_.kv_heads * kHeadDim * kLayers * (chunk == 1 ? int64_t{batch} * context : 0);
  }

  void Run(const Parts& parts = {}) {
    Launcher& l = lab_.launcher;
    EmbedArgs embed;
    embed.rows = Rows();
    embed.drawn = drawn_->data();
    embed.table = w_.embed;
    embed.table_stride = kHidden;
    embed.residual = residual_->data();
    embed.hidden = kHidden;
    embed.inv_freq = inv_freq_->data();
    embed.rotation = rotation_->data();
    embed.rotary_pairs = kHeadDim / 2;
    embed.beside_plan = parts.lora && lora_memory_ != nullptr && rows_ <= kStreamRowsMax;
    if (embed.beside_plan) LoraPlan(l, lora_plan_);
    Embed(l, kElement, rows_, embed);
    Product delta;
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      const Matrix* m = w_.layers[layer];
      if (parts.small) Norm(delta);
      QkvPostArgs post;
      post.rows = Rows();
      post.rotation = rotation_->data();
      post.rotary_pairs = kHeadDim / 2;
      post.q = q_.memory->data();
      post.heads = shape_.heads;
      post.kv = Kv(layer);
      if (rows_ > kStreamRowsMax && own.qkv) {
        GemmManyQkv(l, kElement, ManyArgs(layer, 0, m[0], x_, parts), post);
      } else {
        post.qkv = Linear(layer, 0, m[0], x_, parts);
        if (parts.small && pending_.groups != nullptr && parts.expand) {
          QkvPostLora(l, kElement, post, group_count_host_, pending_);
        } else if (parts.small) {
          QkvPost(l, kElement, rows_, post);
        }
      }
      if (parts.attention) Attend(layer);
      delta = Linear(layer, 1, m[1], attended_, parts);
      if (parts.small) Norm(delta);
      SwiGluArgs swiglu{{}, nullptr, hidden_.memory->data(), shape_.intermediate, shape_.intermediate};
      if (rows_ > kStreamRowsMax && own.gate_up) {
        GemmManySwiGlu(l, kElement, ManyArgs(layer, 2, m[2], x_, parts), swiglu);
      } else {
        swiglu.gate_up = Linear(layer, 2, m[2], x_, parts);
        if (parts.small && pending_.groups != nullptr && parts.expand) {
          SwiGluLora(l, kElement, swiglu, group_count_host_, pending_);
        } else if (parts.small) {
          SwiGlu(l, kElement, rows_, swiglu);
        }
      }
      delta = Linear(layer, 3, m[3], hidden_, parts);
    }
    Norm(delta);
    if (chunk_ > 1) {
      GatherRows(l, x_.memory->data(), sampled_->data(), batch_, kHidden, last_.memory->data());
    }
    const Product logits = Multiply(w_.head, chunk_ > 1 ? last_ : x_, batch_);
    if (!parts.sample) return;
    SampleArgs sample;
    sample.logits = logits;
    sample.vocab = shape_.vocab;
    sample.rows = sample_rows_->data();
    sample.summaries = summaries_->data();
    sample.ids = drawn_->data();
    sample.logprobs = logprobs_->data();
    sample.top_ids = top_ids_->data();
    sample.top_logprobs = top_logprobs_->data();
    Sample(l, batch_, false, sample);
  }

  // A x of one site of all layers.
  void Shrink(int32_t site) {
    const Activation& x = site == 1 ? attended_ : site == 3 ? hidden_ : x_;
    for (int32_t layer = 0; layer < kLayers; ++layer) ManyArgs(layer, site, w_.layers[layer][site], x, {});
  }

  std::vector<float> Residual() const { return residual_->Download(); }
  std::vector<int32_t> Drawn() const { return drawn_->Download(); }
  int64_t kv_bytes = 0, adapter_bytes = 0;
  OwnProducts own;
  uint32_t lora_sites = 0xf;        // where adapters are used

 private:
  struct Activation {  // [rows, cols] of 16 bits, and its map
    std::unique_ptr<DeviceArray<uint8_t>> memory;
    CUtensorMap map{}, patch_map{};
    int32_t cols = 0;
  };

  template <typename T>
  std::unique_ptr<DeviceArray<T>> Upload(const std::vector<T>& values) {
    return std::make_unique<DeviceArray<T>>(values);
  }

  StepRows Rows() const {
    return {tokens_->data(), positions_->data(), row_pages_->data()};
  }
  KvPages Kv(int32_t layer) const {
    return {pool_->data() + layer * geometry_.slice_bytes, geometry_.page_bytes, geometry_.page_tokens, shape_.kv_heads, kHeadDim};
  }

  void PlanAttention(const std::vector<int32_t>& positions) {
    if (chunk_ == 1) {
      std::vector<DecodeRow> rows;
      for (int32_t i = 0; i < rows_; ++i) rows.push_back({i, positions[i]});
      DecodePlan plan;
      PlanDecode(rows, shape_.heads, shape_.kv_heads, 0, lab_.launcher.sm_count, &plan);
      decode_items_ = Upload(plan.items);
      block_start_ = Upload(plan.block_start);
      partial_ = std::make_unique<DeviceArray<float>>(int64_t{plan.partials} * kDecodeHeads * kHeadDim);
      stats_ = std::make_unique<DeviceArray<float2>>(int64_t{plan.partials} * kDecodeHeads);
      tickets_ = Upload(std::vector<int32_t>(plan.tickets, 0));
    } else {
      std::vector<PrefillSequence> sequences;
      for (int32_t s = 0; s < batch_; ++s) sequences.push_back({s * chunk_, chunk_, positions[s * chunk_]});
      std::vector<PrefillItem> items;
      PlanPrefill(sequences, shape_.heads, shape_.kv_heads, &items);
      prefill_items_ = Upload(items);
    }
  }

  // The rows of a batch in runs of one adapter each, cut in groups of 16.
  void PlanAdapters(const std::vector<AdapterLayout>& layouts, std::vector<int32_t>& free_pages) {
    if (adapters_ == 0) return;
    std::vector<LoraMatrix> matrices;
    for (const AdapterLayout& layout : layouts) {
      for (int32_t i = 0; i < kLayers * kTargets; ++i) {
        const LoraMatrices& m = layout.at(i / kTargets, i % kTargets);
        matrices.push_back({static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale});
      }
    }
    matrices_ = Upload(matrices);
    adapter_pages_ = Upload(free_pages);
    std::vector<LoraUse> uses;
    std::vector<LoraGroup> groups;
    int32_t v_floats = 0, first_page = 0;
    group_rows_ = rows_ <= kStreamRowsMax ? kLoraGroupRows : kLoraGroupRowsMany;
    for (int32_t a = 0; a < adapters_; ++a) {
      uses.push_back({matrices_->data() + a * kLayers * kTargets, adapter_pages_->data() + first_page, 1.0f, 0});
      first_page += layouts[a].page_count();
      const int32_t begin = rows_ * a / adapters_, end = rows_ * (a + 1) / adapters_;
      const int32_t v_cols = 3 * LoraColumns(layouts[a].at(0, kQ).rank());
      for (int32_t row = begin; row < end; row += group_rows_) {
        groups.push_back({row, std::min(group_rows_, end - row), a, a + 1, v_floats, v_cols});
        v_floats += static_cast<int32_t>(LoraActivationFloats(v_cols));
      }
    }
    group_count_host_ = static_cast<int32_t>(groups.size());
    lora_memory_ = std::make_unique<LoraMemory>(groups, kLayers, rows_, lab_.launcher.sm_count);
    uses_ = Upload(WithRoom(uses));
    groups_ = Upload(WithRoom(groups));
    group_count_ = Upload(std::vector<int32_t>{group_count_host_});
    use_count_ = Upload(std::vector<int32_t>{adapters_});
    lora_plan_ = {groups_->data(), group_count_->data(), uses_->data(), use_count_->data(), lora_memory_->tables(), StreamBox(rows_)};
    for (int32_t site = 0; site < kLoraSites; ++site) {
      const Matrix& m = w_.layers[0][site];
      lora_plan_.products[site] = LoraProductOf(PlanProduct(m.cols, m.inputs, lab_.launcher.sm_count), ShapeOf(site).outputs);
    }
    lab_.Expect("maps of the pool", EncodePoolMaps(kElement, pool_->data(), pool_->size(), &stream_lora_));
    v_ = std::make_unique<DeviceArray<float>>(v_floats);
    mlp_lora_ = layouts[0].at(0, kGate).rank() > 0;
  }

  void MakeActivations() {
    const auto make = [&](Activation& a, int32_t rows, int32_t cols) {
      a.memory = std::make_unique<DeviceArray<uint8_t>>(int64_t{2} * rows * cols);
      FillNormal(lab_.launcher, kElement, a.memory->data(), a.memory->size() / 2, 17, 1.0f);
      a.cols = cols;
      lab_.Expect("map", EncodeStreamMap(kElement, a.memory->data(), rows, cols, cols, StreamBox(rows), &a.map) &&
                             EncodePatchMap(kElement, a.memory->data(), rows, cols, cols, &a.patch_map));
    };
    make(x_, rows_, kHidden);
    make(q_, rows_, shape_.q_cols);
    make(attended_, rows_, shape_.q_cols);
    make(hidden_, rows_, shape_.intermediate);
    make(last_, batch_, kHidden);
    residual_ = std::make_unique<DeviceArray<float>>(int64_t{rows_} * kHidden);
    rotation_ = std::make_unique<DeviceArray<float2>>(int64_t{rows_} * kHeadDim / 2);
    const int64_t parts = rows_ > kStreamRowsMax ? 1 : kProductPartialsMax;
    for (auto& y : y_) y = std::make_unique<DeviceArray<float>>(parts * rows_ * std::max(2 * shape_.intermediate, kHidden));
    logits_ = std::make_unique<DeviceArray<float>>(int64_t{kProductPartialsMax} * batch_ * shape_.vocab);
    std::vector<float> inv_freq;
    for (int32_t i = 0; i < kHeadDim / 2; ++i) inv_freq.push_back(static_cast<float>(std::pow(500000.0, -i / 64.0)));
    inv_freq_ = Upload(inv_freq);
    sample_rows_ = Upload(std::vector<SampleRow>(batch_));
    std::vector<int32_t> sampled;
    for (int32_t s = 0; s < batch_; ++s) sampled.push_back((s + 1) * chunk_ - 1);
    sampled_ = Upload(sampled);
    summaries_ = std::make_unique<DeviceArray<SampleSummary>>(int64_t{batch_} * SampleChunks(shape_.vocab));
    drawn_ = std::make_unique<DeviceArray<int32_t>>(batch_);
    logprobs_ = std::make_unique<DeviceArray<float>>(batch_);
    top_ids_ = std::make_unique<DeviceArray<int32_t>>(int64_t{batch_} * kTopLogprobsMax);
    top_logprobs_ = std::make_unique<DeviceArray<float>>(int64_t{batch_} * kTopLogprobsMax);
    lab_.Finish("activations");
  }

  void Norm(const Product& delta) {
    AddNormArgs args;
    args.residual = residual_->data();
    args.delta = delta;
    args.norm = w_.norm->data();
    args.out = x_.memory->data();
    args.hidden = args.hidden_real = kHidden;
    args.eps = 1e-5f;
    AddNorm(lab_.launcher, kElement, rows_, args);
  }

  Product Multiply(const Matrix& m, const Activation& x, int32_t rows, const LoraSiteArgs* lora = nullptr) {
    float* y = &m == &w_.head ? logits_->data() : y_[turn_++ % 2]->data();
    if (rows > kStreamRowsMax) {
      const bool half = m.cols != shape_.qkv_cols() && m.inputs != shape_.intermediate;
      lab_.Expect("cublaslt", lt_ != nullptr && lt_->Gemm(lab_.launcher, kElement,
                                                          {.weight = m.data,
                                                           .weight_stride = m.inputs,
                                                           .x = x.memory->data(),
                                                           .x_stride = m.inputs,
                                                           .y = y,
                                                           .half = half,
                                                           .rows = rows,
                                                           .cols = m.cols,
                                                           .inputs = m.inputs}));
      return {y, 0, m.cols, 1, 1, half};
    }
    const ProductPlan plan = PlanProduct(m.cols, m.inputs, lab_.launcher.sm_count);
    GemmStreamArgs args{m.map, x.map, {y, int64_t{rows} * m.cols, m.cols, plan.units_per_tile, plan.units_per_block}, rows};
    if (lora != nullptr) {
      args.lora = stream_lora_;
      args.lora.site = *lora;
      args.lora.x = x.patch_map;
      args.lora.patches = CanHavePatches(lora_plan_.products, StreamBox(rows));
    }
    GemmStream(lab_.launcher, kElement, plan, args);
    return args.y;
  }

  struct SiteShape {
    int32_t first, count, outputs[3];
  };
  SiteShape ShapeOf(int32_t site) const {
    return std::array<SiteShape, kLoraSites>{{{kQ, 3, {shape_.q_cols, shape_.kv_cols, shape_.kv_cols}},
                                              {kO, 1, {kHidden, 0, 0}},
                                              {kGate, 2, {shape_.intermediate, shape_.intermediate, 0}},
                                              {kDown, 1, {kHidden, 0, 0}}}}[site];
  }

  bool LoraArgs(int32_t layer, int32_t site, const Matrix& m, const Activation& x, const Parts& parts, LoraSiteArgs* args) {
    if (!parts.lora || adapters_ == 0 || (site >= 2 && !mlp_lora_) || (lora_sites >> site & 1) == 0) return false;
    args->groups = groups_->data();
    args->group_count = group_count_->data();
    args->uses = uses_->data();
    args->pool = {pool_->data(), geometry_.page_bytes, static_cast<uint32_t>(geometry_.slice_bytes)};
    args->layer = layer;
    const SiteShape shape = ShapeOf(site);
    args->targets = shape.count;
    args->first_target = shape.first;
    args->inputs = args->columns = m.inputs;
    std::copy_n(shape.outputs, 3, args->outputs);
    args->x = x.memory->data();
    args->v = v_->data();
    lora_memory_->Place(layer * kLoraSites + site, args);
    return true;
  }

  // A x is launched.
  GemmManyArgs ManyArgs(int32_t layer, int32_t site, const Matrix& m, const Activation& x, const Parts& parts) {
    GemmManyArgs many{m.map, x.map, rows_, m.cols, m.inputs, {}};
    LoraSiteArgs lora;
    pending_ = {};
    if (!LoraArgs(layer, site, m, x, parts, &lora)) return many;
    LoraShrink(lab_.launcher, kElement, group_count_host_, lora);
    if (parts.expand) many.lora = lora;
    return many;
  }

  Product Linear(int32_t layer, int32_t site, const Matrix& m, const Activation& x, const Parts& parts) {
    LoraSiteArgs args;
    pending_ = {};
    if (rows_ > kStreamRowsMax && (site == 1 ? own.o : site == 3 && own.down)) {
      const Product y{y_[turn_++ % 2]->data(), 0, m.cols, 1, 1, true};
      GemmMany(lab_.launcher, kElement, ManyArgs(layer, site, m, x, parts), y);
      return y;
    }
    if (!LoraArgs(layer, site, m, x, parts, &args)) return Multiply(m, x, rows_);
    if (rows_ <= kStreamRowsMax) return Multiply(m, x, rows_, &args);
    LoraShrink(lab_.launcher, kElement, group_count_host_, args);
    args.y = Multiply(m, x, rows_);
    if (site == 0 || site == 2) {
      pending_ = args;
    } else if (parts.expand) {
      LoraExpand(lab_.launcher, kElement, group_count_host_, args);
    }
    return args.y;
  }

  void Attend(int32_t layer) {
    AttentionArgs args;
    args.q = q_.memory->data();
    args.out = attended_.memory->data();
    args.out_stride = shape_.q_cols;
    args.heads = shape_.heads;
    args.scale = 0.088388f;
    args.positions = positions_->data();
    args.sequence = sequence_->data();
    args.page_start = page_start_->data();
    args.page_ids = page_ids_->data();
    args.kv = Kv(layer);
    if (chunk_ > 1) {
      AttentionPrefill(lab_.launcher, kElement, static_cast<int32_t>(prefill_items_->size()), args, prefill_items_->data());
      return;
    }
    AttentionDecode(lab_.launcher, kElement, args,
                    {decode_items_->data(), block_start_->data(), partial_->data(), stats_->data(), tickets_->data()});
  }

  Lab& lab_;
  const Weights& w_;
  const StepShape& shape_;
  CublasLt* lt_;
  const int32_t rows_, batch_, chunk_, adapters_;
  const PageGeometry geometry_;
  int32_t turn_ = 0, group_count_host_ = 0, group_rows_ = 0;
  bool mlp_lora_ = false;
  Activation x_, q_, attended_, hidden_, last_;
  std::unique_ptr<DeviceArray<uint8_t>> pool_;
  std::unique_ptr<DeviceArray<int32_t>> page_ids_, page_start_, positions_, sequence_, tokens_, row_pages_, block_start_, tickets_,
      adapter_pages_, group_count_, use_count_, sampled_, drawn_, top_ids_;
  std::unique_ptr<DeviceArray<DecodeItem>> decode_items_;
  std::unique_ptr<DeviceArray<PrefillItem>> prefill_items_;
  std::unique_ptr<DeviceArray<float>> partial_, residual_, y_[2], logits_, inv_freq_, v_, logprobs_, top_logprobs_;
  std::unique_ptr<DeviceArray<float2>> stats_, rotation_;
  std::unique_ptr<DeviceArray<LoraMatrix>> matrices_;
  std::unique_ptr<DeviceArray<LoraUse>> uses_;
  std::unique_ptr<DeviceArray<LoraGroup>> groups_;
  std::unique_ptr<LoraMemory> lora_memory_;
  StreamLora stream_lora_{};
  LoraPlanArgs lora_plan_;
  LoraSiteArgs pending_;  // what QkvPost or SwiGlu has to add
  std::unique_ptr<DeviceArray<SampleRow>> sample_rows_;
  std::unique_ptr<DeviceArray<SampleSummary>> summaries_;
};

}  // namespace chorale::cuda
