// The operations of a step.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "base/convert.h"
#include "model/site.h"
#include "shard/shard_cut.h"

namespace chorale::cuda {
namespace {

int32_t SiteOf(int32_t first_target) {
  int32_t site = 0;
  while (kSiteTargets[site].first != first_target) ++site;
  return site;
}

}  // namespace

KvPages CudaBackend::Kv(int32_t layer) const {
  return {Slice(0, layer), geometry_.page_bytes, geometry_.page_tokens, spec_.kv_heads, spec_.head_dim};
}

void CudaBackend::Embed(const EmbedParams& params) {
  if (peers_ != nullptr) peers_->BeginPass();
  const bool has_plan = lora_tables_.sites > 0;
  if (has_plan) {
    LoraPlanArgs plan{device_groups_, device_group_count_, device_uses_, device_use_count_, lora_tables_, StreamBox(rows_)};
    std::ranges::copy(lora_products_, plan.products);
    LoraPlan(launcher_, plan);
  }
  const CudaMatrix& table = Matrix(params.table);
  EmbedArgs args;
  args.rows = step_rows_;
  args.drawn = drawn_.as<int32_t>();
  args.table = table.memory.data();
  args.table_stride = table.stride;
  args.residual = Cuda(params.out).memory.as<float>();
  args.hidden = static_cast<int32_t>(table.stride);
  args.inv_freq = inv_freq_.as<float>();
  args.rope_magnitude = spec_.rope_magnitude;
  args.rotation = rotation_.as<float2>();
  args.rotary_pairs = spec_.rotary_dims / 2;
  args.beside_plan = has_plan;
  cuda::Embed(launcher_, element_, rows_, args);
  if (kind_.outer) AddToEmbedded(params);
}

void CudaBackend::AddNorm(const AddNormParams& params) {
  AddNormArgs args;
  args.residual = Cuda(params.residual).memory.as<float>();
  if (params.delta != nullptr) {
    args.delta = Cuda(params.delta).product;
    args.delta_bias = Cuda(params.delta).bias;
    args.exchange = std::exchange(Cuda(params.delta).exchange, Exchange{});
  }
  args.norm = Values(params.norm);
  args.out = Cuda(params.out).memory.data();
  args.hidden = static_cast<int32_t>(params.residual->stride());
  args.hidden_real = static_cast<int32_t>(params.residual->cols());
  args.eps = params.eps;
  cuda::AddNorm(launcher_, element_, rows_, args);
}

// Whether adapters have a part in the linear. In a recorded step that is so wherever any could, as the next may have others; and within
// products of few rows, as that of one layer makes room for v of the next.
bool CudaBackend::LoraArgs(const LoraSite& site, const CudaActivation& x, const CudaMatrix& weight,
                           LoraSiteArgs* args) {
  if (site.layer < 0 || lora_groups_max_ == 0) return false;
  const bool by_reach = padded_ || lora_tables_.sites > 0;
  bool used = by_reach && (kind_.lora == LoraReach::kAll || (kind_.lora == LoraReach::kAttention && site.first <= kO));
  for (size_t use = 0; use < lora_uses_.size() && !by_reach; ++use) {
    const size_t first = (use * spec_.layers + site.layer) * kTargets + site.first;
    for (int32_t t = 0; t < site.count; ++t) used = used || lora_matrices_[first + t].rank > 0;
  }
  if (!used) return false;
  for (int32_t slot : lora_slots_) loader_->WaitForLayer(slot, site.layer, launcher_.stream);
  args->groups = device_groups_;
  args->group_count = device_group_count_;
  args->uses = device_uses_;
  args->pool = {pool_.data(), geometry_.page_bytes, static_cast<uint32_t>(geometry_.slice_bytes)};
  args->layer = site.layer;
  args->targets = site.count;
  args->first_target = site.first;
  args->inputs = static_cast<int32_t>(x.stride());
  args->columns = static_cast<int32_t>(weight.cols());
  for (int32_t t = 0; t < site.count; ++t) {
    args->outputs[t] = static_cast<int32_t>(OutWidth(spec_, static_cast<Target>(site.first + t)));
  }
  if (shard_.cuts_both_factors() && SumsProducts(static_cast<Target>(site.first))) {
    const Part part = PartOf(args->outputs[0], shard_.index, shard_.count);
    args->first_output = static_cast<int32_t>(part.begin);
    args->outputs[0] = static_cast<int32_t>(part.size());
  } else if (shard_.cuts_both_factors()) {
    args->rank_part = shard_.index;
    args->rank_parts = shard_.count;
  }
  args->pieces = rows_ > kStreamRowsMax ? kLoraPieces : 1;  // as AddLora makes groups
  args->x = x.memory.data();
  args->v = lora_v_.as<float>();
  args->tables = lora_tables_;
  args->site = site.layer * kSites + SiteOf(site.first);
  args->v_parts = lora_v_parts_.as<uint32_t>();
  return true;
}

Product CudaBackend::Multiply(const CudaMatrix& weight, const CudaActivation& x, int32_t rows, CudaActivation& y,
                              bool half, const LoraSiteArgs* lora) {
  const auto cols = static_cast<int32_t>(y.stride());
  Product product{y.memory.data(), int64_t{rows} * cols, cols, 1, 1};
  if (rows >= kLibraryRowsLeast && cublaslt_ != nullptr && !CanStream(weight, x, rows)) {
    product.half = half && rows >= kHalfProductRowsLeast;
    if (cublaslt_->Gemm(launcher_, element_,
                        {.weight = weight.memory.data(),
                         .weight_stride = weight.stride,
                         .x = x.memory.data(),
                         .x_stride = x.stride(),
                         .y = product.data,
                         .half = product.half,
                         .rows = rows,
                         .cols = cols,
                         .inputs = static_cast<int32_t>(weight.stride)})) {
      return product;
    }
    product.half = false;
  }
  const ProductPlan& plan = rows <= kStreamRowsMax ? weight.split : weight.whole;
  product.units_per_tile = plan.units_per_tile;
  product.units_per_block = plan.units_per_block;
  if (CanStream(weight, x, rows)) {
    GemmStreamArgs args{.weight = weight.map, .x = x.maps[StreamBoxIndex(rows)], .rows = rows};
    if (lora != nullptr) {
      args.lora = stream_lora_;
      args.lora.site = *lora;
      args.lora.x = x.patch_map;
      args.lora.patches = CanHavePatches(lora_products_, StreamBox(rows));
    }
    args.y = product;
    GemmStream(launcher_, element_, plan, args);
  } else {
    GemmTile(launcher_, element_, plan,
             {.weight = weight.memory.data(),
              .weight_stride = weight.stride,
              .x = x.memory.data(),
              .x_stride = x.stride(),
              .inputs = static_cast<int32_t>(weight.stride),
              .y = product,
              .rows = rows});
  }
  return product;
}

// By the own kernel for many rows: where its tiles fill the device, and in place of GemmTile.
bool CudaBackend::CanMultiplyMany(const CudaMatrix& weight, const CudaActivation& x) const {
  if (rows_ <= kStreamRowsMax || !weight.mapped || !x.mapped) return false;
  return cublaslt_ == nullptr ||
         GemmManyFill(rows_, static_cast<int32_t>(weight.rows()), launcher_.sm_count) >= kManyFillLeast;
}

// Whether the own kernel can add B v: few adapters for each of its tiles, whose columns are whole tiles of B, and nothing to
// be done to the product before.
bool CudaBackend::HasLoraWithin(const LoraSiteArgs& lora) const {
  return HasWholeTiles(lora.outputs) && !narrow_ && lora.first_output == 0 && !kind_.gains && lora_tile_chunks_ <= kManyChunksMost;
}

void CudaBackend::Gemm(const GemmParams& params) {
  const CudaMatrix& weight = Matrix(params.weight);
  const CudaActivation& x = Cuda(params.x);
  CudaActivation& y = Cuda(params.y);
  LoraSiteArgs lora;
  const bool has_lora = LoraArgs(params.lora, x, weight, &lora);
  const bool within = has_lora && CanStream(weight, x, rows_) && lora_tables_.sites > 0 && !kind_.gains &&  // in the product's launch
                      lora_products_[lora.site % kSites] == LoraProductOf(weight.split, lora.outputs);
  if (has_lora && !within) {
    LoraShrink(launcher_, element_, LoraBlocks(), lora);
    SumRanksOverShards(params.lora, lora);
  }
  // Keys and values are rounded when they are stored: theirs is the product whose own rounding would count twice.
  // What is summed over shards takes its bias along, which a product of 16 bits does not. The library's product of many
  // inputs is faster in float32 (772 against 730 TFLOP/s), but then shards would send twice the bytes.
  const auto first = static_cast<Target>(params.lora.first);
  const bool takes_bias = params.bias != nullptr && nccl_ != nullptr && SumsProducts(first);
  const bool half = first != kQ && !takes_bias && (first != kDown || shard_.count > 1);
  y.bias = Values(params.bias);
  y.lora = {};
  y.deferred = {};
  const bool follows = !observed_ && (first == kQ ? CanGemmManyQkv(spec_.head_dim, spec_.rotary_dims / 2)
                                                  : first == kGate && OutWidth(spec_, kGate) % 8 == 0);
  if (CanMultiplyMany(weight, x) && (!has_lora || HasLoraWithin(lora))) {
    GemmManyArgs many{.weight = weight.map,
                      .x = x.maps[StreamBoxIndex(kManyTileRows)],
                      .rows = rows_,
                      .cols = static_cast<int32_t>(weight.rows()),
                      .inputs = static_cast<int32_t>(weight.cols())};
    if (has_lora) many.lora = lora;
    if (follows) {
      y.deferred = many;  // QkvPost or SwiGlu will
      return;
    }
    const auto cols = static_cast<int32_t>(y.stride());
    y.product = {y.memory.data(), int64_t{rows_} * cols, cols, 1, 1, first != kQ && !takes_bias};
    GemmMany(launcher_, element_, many, y.product);
    return;
  }
  y.product = lora.y = Multiply(weight, x, rows_, y, half, within ? &lora : nullptr);
  if (has_lora && kind_.gains) MultiplyByGains(params.lora, y.product);
  if (!has_lora || within) return;
  if (!observed_ && rows_ > kStreamRowsMax && (params.lora.first == kQ || (params.lora.first == kGate && lora.y.half))) {
    y.lora = lora;  // QkvPost or SwiGlu will
  } else {
    LoraExpand(launcher_, element_, LoraBlocks(), lora);
  }
}

void CudaBackend::QkvPost(const QkvPostParams& params) {
  CudaActivation& qkv = Cuda(params.qkv);
  QkvPostArgs args;
  args.rows = step_rows_;
  args.qkv = qkv.product;
  args.eps = spec_.rms_eps;
  args.rotation = rotation_.as<float2>();
  if (!params.write_only) {
    args.bias = qkv.bias;
    args.q_norm = Values(params.q_norm);
    args.k_norm = Values(params.k_norm);
    args.rotary_pairs = spec_.rotary_dims / 2;
    // Whoever looks at intermediate results has made the product one float32 part, and looks at this one next.
    if (observed_) args.rotated = qkv.product.floats();
    qkv.bias = nullptr;
  }
  args.q = q_.data();
  args.heads = spec_.heads;
  args.kv = Kv(params.layer);
  if (const GemmManyArgs many = std::exchange(qkv.deferred, GemmManyArgs{}); many.rows > 0) {
    GemmManyQkv(launcher_, element_, many, args);
    return;
  }
  if (const LoraSiteArgs lora = std::exchange(qkv.lora, LoraSiteArgs{}); lora.groups != nullptr) {
    if (CanQkvPostLora(args)) {
      QkvPostLora(launcher_, element_, args, LoraBlocks(), lora);
      return;
    }
    LoraExpand(launcher_, element_, LoraBlocks(), lora);
  }
  cuda::QkvPost(launcher_, element_, rows_, args);
}

void CudaBackend::Attention(const AttentionParams& params) {
  AttentionArgs args;
  args.q = q_.data();
  args.out = Cuda(params.out).memory.data();
  args.out_stride = static_cast<int32_t>(params.out->stride());
  args.heads = spec_.heads;
  args.scale = spec_.attention_scale;
  args.window = params.window;
  args.positions = step_rows_.positions;
  args.sequence = sequence_;
  args.page_start = page_start_;
  args.page_ids = page_ids_;
  args.kv = Kv(params.layer);
  if (reference_ || !HasFastAttention(spec_.head_dim)) {
    AttentionPlain(launcher_, element_, rows_, args);
    return;
  }
  AttentionWork& work = attention_.at(params.window);
  if (!work.items.empty()) {
    AttentionPrefill(launcher_, element_, static_cast<int32_t>(work.items.size()), args, work.prefill);
  }
  if (!work.plan.items.empty()) {
    work.decode.partial_out = decode_out_.as<float>();
    work.decode.partial_stats = decode_stats_.as<float2>();
    work.decode.tickets = decode_tickets_.as<int32_t>();
    AttentionDecode(launcher_, element_, args, work.decode);
  }
}

void CudaBackend::SwiGlu(const SwiGluParams& params) {
  const CudaActivation& gate_up = Cuda(params.gate_up);
  const SwiGluArgs args{.gate_up = gate_up.product,
                        .bias = gate_up.bias,
                        .out = Cuda(params.out).memory.data(),
                        .intermediate = static_cast<int32_t>(params.out->cols()),
                        .out_stride = static_cast<int32_t>(params.out->stride())};
  if (const GemmManyArgs many = std::exchange(gate_up.deferred, GemmManyArgs{}); many.rows > 0) {
    GemmManySwiGlu(launcher_, element_, many, args);
    return;
  }
  if (const LoraSiteArgs lora = std::exchange(gate_up.lora, LoraSiteArgs{}); lora.groups != nullptr) {
    if (CanSwiGluLora(args)) {
      SwiGluLora(launcher_, element_, args, LoraBlocks(), lora);
      return;
    }
    LoraExpand(launcher_, element_, LoraBlocks(), lora);
  }
  cuda::SwiGlu(launcher_, element_, rows_, args);
}

// Of a prompt only its last row goes through the last layer's MLP and the products before it: where few of many rows are
// sampled, the others are left behind. Few: so that adapters go by groups of rows that have them, as in steps of few rows. Not
// of few: LoRA's tables within such products are of all their rows, and the products take as long with fewer.
void CudaBackend::Narrow(const NarrowParams& params) {
  const auto count = static_cast<int32_t>(gathered_.size());
  const bool few = count <= kStreamRowsMax && count * kNarrowRowsLeast <= rows_ && rows_ > kStreamRowsMax;
  if (padded_ || observed_ || shard_.count > 1 || kind_.gains || count == 0 || !few) return;
  const auto keep = [&](CudaActivation& x, int64_t row_bytes) {
    GatherRows(launcher_, x.memory.data(), gather_, count, static_cast<int32_t>(row_bytes / 2), narrow_rows_.data());
    launcher_.Note(cudaMemcpyAsync(x.memory.data(), narrow_rows_.data(), static_cast<size_t>(count * row_bytes),
                                   cudaMemcpyDeviceToDevice, launcher_.stream));
  };
  keep(Cuda(params.residual), 4 * params.residual->stride());
  keep(Cuda(params.attention), 2 * params.attention->stride());
  narrow_ = true;
  rows_ = count;
  device_groups_ = device_narrow_groups_;
  device_group_count_ = device_narrow_group_count_;
  lora_groups_max_ = static_cast<int32_t>(narrow_groups_.size());
}

void CudaBackend::Gather(const GatherParams& params) {
  if (params.rows.empty()) return;
  if (narrow_) {
    const CudaActivation& x = Cuda(params.x);
    launcher_.Note(cudaMemcpyAsync(Cuda(params.out).memory.data(), x.memory.data(), static_cast<size_t>(2 * rows_ * x.stride()),
                                   cudaMemcpyDeviceToDevice, launcher_.stream));
    return;
  }
  const auto count = padded_ ? rows_ : static_cast<int32_t>(params.rows.size());
  GatherRows(launcher_, Cuda(params.x).memory.data(), gather_, count, static_cast<int32_t>(params.x->stride()),
             Cuda(params.out).memory.data());
}

void CudaBackend::Logits(const LogitsParams& params) {
  CudaActivation& logits = Cuda(shard_.count == 1 ? params.logits : shard_logits_.get());
  logits_ = &Cuda(params.logits);
  if (params.count == 0) return;
  logits.product = Multiply(Matrix(params.head), Cuda(params.x), padded_ ? rows_ : params.count, logits, false, nullptr);
  logits.bias = nullptr;
  if (kind_.outer) AddToLogits(params, logits.product);
}

}  // namespace chorale::cuda
