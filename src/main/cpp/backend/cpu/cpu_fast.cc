#include "backend/cpu/cpu_fast.h"

#include <algorithm>

#include "base/convert.h"

namespace chorale {
namespace {

// Work below this many multiply-adds is done where it is: waking another thread takes about as long.
constexpr int64_t kSerialOperations = 24'000;
constexpr int64_t kRowsPerSlice = 8;
constexpr int32_t kRanksPerItem = 16;

const PackedWeight& Packed(const Weight* weight) { return *static_cast<const PackedWeight*>(weight); }

}  // namespace

Result<std::unique_ptr<PackedWeight>> PackedWeight::Allocate(int64_t rows, int64_t cols, const char* purpose) {
  const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  Result<AnonymousMemory> memory =
      AnonymousMemory::Allocate(panels * cols * kPanelRows * static_cast<int64_t>(sizeof(float)), purpose);
  if (!memory.ok()) return memory.status();
  return std::unique_ptr<PackedWeight>(new PackedWeight(rows, cols, std::move(memory).value()));
}

FastBackend::FastBackend(const BackendParams& params, PageArena arena)
    : CpuBackend(params, std::move(arena), {"cpu", "", "fast", "f32"}, params.threads),
      kernels_(ChooseKernels()),
      score_stride_((int64_t{spec_.context_max} / geometry().page_tokens + 2) * geometry().page_tokens),
      slices_(static_cast<size_t>(pool_.threads())) {
  info_.device = Format("%s, %d threads", kernels_.name, pool_.threads());
}

Result<std::unique_ptr<Backend>> FastBackend::Create(const BackendParams& params, PageArena arena) {
  std::unique_ptr<FastBackend> backend(new FastBackend(params, std::move(arena)));
  CHORALE_RETURN_IF_ERROR(backend->Open());
  return std::unique_ptr<Backend>(std::move(backend));
}

Status FastBackend::Open() {
  const int64_t heads = spec_.heads / spec_.kv_heads;
  for (int32_t thread = 0; thread < pool_.threads(); ++thread) {
    Result<AnonymousMemory> scores =
        AnonymousMemory::Allocate(heads * score_stride_ * static_cast<int64_t>(sizeof(float)), "attention scores");
    if (!scores.ok()) return scores.status();
    scores_.push_back(std::move(scores).value());
  }
  return Status::Ok();
}

// Runs body(slice, thread) for all slices; on this thread alone when there is too little to share.
template <typename Body>
void FastBackend::Parallel(int64_t slices, int64_t operations, const Body& body) {
  if (operations < kSerialOperations) {
    for (int64_t slice = 0; slice < slices; ++slice) body(slice, 0);
  } else {
    pool_.Run(slices, body);
  }
}

Result<std::unique_ptr<Weight>> FastBackend::MakeMatrix(std::span<const HostTensor> parts) {
  int64_t rows = 0;
  for (const HostTensor& part : parts) rows += part.rows;
  const int64_t cols = parts[0].cols;
  Result<std::unique_ptr<PackedWeight>> made = PackedWeight::Allocate(rows, cols, "a weight");
  if (!made.ok()) return made.status();
  const PackedWeight& weight = *made.value();
  int64_t first = 0;
  for (const HostTensor& part : parts) {
    pool_.Run(part.rows, [&](int64_t row, int32_t) {
      thread_local std::vector<float> values;
      values.resize(static_cast<size_t>(cols));
      part.Read(row * cols, cols, values.data());
      float* out = weight.column_zero(first + row);
      for (int64_t k = 0; k < cols; ++k) out[k * kPanelRows] = values[k];
    });
    first += part.rows;
  }
  return std::unique_ptr<Weight>(std::move(made).value());
}

uint64_t FastBackend::Digest(const Weight& weight, uint64_t previous) const {
  if (const auto* packed = dynamic_cast<const PackedWeight*>(&weight)) {
    return HashFloats({packed->panel(0), static_cast<size_t>(packed->panels() * packed->panel_floats())}, previous);
  }
  return HashFloats({Values(&weight), static_cast<size_t>(weight.cols())}, previous);
}

void FastBackend::ReadWeightRow(const Weight& weight, int64_t index, float* out) const {
  const float* values = Packed(&weight).column_zero(index);
  for (int64_t k = 0; k < weight.cols(); ++k) out[k] = values[k * kPanelRows];
}

// ---- LoRA ---------------------------------------------------------------------------------------------------------------

// Calls body(run, first rank) for the rank rows [rank_begin, rank_end) of a tile, in pieces that lie in one page.
template <typename Body>
void FastBackend::ForRuns(const ResidentAdapter& adapter, int32_t layer, const TiledRows& rows, int32_t tile,
                          int32_t rank_begin, int32_t rank_end, const Body& body) const {
  const int64_t slice_bytes = geometry().slice_bytes;
  for (int32_t j = rank_begin; j < rank_end;) {
    const int64_t offset = rows.row_offset(tile, j);
    const auto here = static_cast<int32_t>((slice_bytes - offset % slice_bytes) / rows.row_bytes(tile));
    const int32_t count = std::min(rank_end - j, here);
    body(TileRun{reinterpret_cast<const float*>(LoraRow(adapter, layer, offset)), rows.width(tile), count}, j);
    j += count;
  }
}

// Lists the work of a site.
void FastBackend::PlanLora(const LoraSite& site) {
  shrinks_.clear();
  expands_.clear();
  lora_operations_ = 0;
  if (site.layer < 0) return;
  BeginSite(site);
  for (const LoraGroup& group : lora_->groups) {
    RankPlaces places = rank_places();
    for (int32_t use = group.use_begin; use < group.use_end; ++use) {
      for (int32_t target = site.first; target < site.first + site.count; ++target) {
        const ResidentAdapter& adapter = *lora_->uses[use].adapter;
        const LoraMatrices& lora = adapter.layout->at(site.layer, target);
        for (int32_t rank = 0; rank < lora.a.rank; rank += kRanksPerItem) {
          shrinks_.push_back(
              {&group, &adapter, &lora, places.at(own_part()), rank, std::min(rank + kRanksPerItem, lora.a.rank)});
        }
        places.Skip(lora.rank());
        lora_operations_ += int64_t{group.row_end - group.row_begin} *
                            (lora.a.rank * lora.a.columns + lora.b.rank * lora.b.columns);
      }
    }
    int64_t column = 0;
    for (int32_t target = site.first; target < site.first + site.count; ++target) {
      const LoraMatrices* lora = nullptr;  // of any use: all have the same columns
      for (int32_t use = group.use_begin; use < group.use_end && lora == nullptr; ++use) {
        const LoraMatrices& one = lora_->uses[use].adapter->layout->at(site.layer, target);
        if (one.rank() > 0) lora = &one;
      }
      for (int32_t tile = 0; lora != nullptr && tile < lora->b.tiles(); ++tile) {
        expands_.push_back({&group, target, tile, column + lora->first_output});
      }
      column += OutputsOf(target);
    }
  }
}

void FastBackend::RunShrink(const ShrinkItem& item, const GemmParams& params) {
  const TiledRows& a = item.lora->a;
  const int32_t rows = item.group->row_end - item.group->row_begin;
  const CpuActivation& x = Cpu(params.x);
  float* v = rank_activations(item.group->row_begin) + item.v_offset;
  const int64_t v_stride = rank_stride();
  for (int32_t row = 0; row < rows; ++row) {
    std::fill(v + row * v_stride + item.rank_begin, v + row * v_stride + item.rank_end, 0.0f);
  }
  for (int32_t tile = 0; tile < a.tiles(); ++tile) {
    const float* values = x.row(item.group->row_begin) + int64_t{tile} * kTileColumns;
    int64_t stride = x.stride();
    float padded[kGroupRows * kTileColumns];
    if (a.used(tile) < a.width(tile)) {  // what lies behind the last column is not zero, the tile's width is
      for (int32_t row = 0; row < rows; ++row) {
        float* copy = padded + row * kTileColumns;
        std::copy_n(values + row * stride, a.used(tile), copy);
        std::fill(copy + a.used(tile), copy + a.width(tile), 0.0f);
      }
      values = padded;
      stride = kTileColumns;
    }
    ForRuns(*item.adapter, params.lora.layer, a, tile, item.rank_begin, item.rank_end,
            [&](const TileRun& run, int32_t j) { kernels_.shrink(run, values, stride, rows, v + j, v_stride); });
  }
}

// The base's product times the gains: what is still to be added has them in B.
void FastBackend::MultiplyByGains(const LoraGroup& group, const GemmParams& params) {
  const LoraSite& site = params.lora;
  for (int32_t use = group.use_begin; use < group.use_end; ++use) {
    const ResidentAdapter& adapter = *lora_->uses[use].adapter;
    int64_t first = 0;  // of the target's outputs
    for (int32_t target = site.first; target < site.first + site.count; ++target) {
      const LoraMatrices& lora = adapter.layout->at(site.layer, target);
      for (int32_t tile = 0; tile < lora.gain.tiles(); ++tile) {
        const float* gains = GainsOf(adapter, site.layer, lora, tile);
        const int64_t column = first + int64_t{tile} * kTileColumns;
        const float* bias = params.bias == nullptr ? nullptr : Values(params.bias) + column;
        for (int32_t row = group.row_begin; row < group.row_end; ++row) {
          MultiplyProduct(gains, bias, lora.gain.used(tile), Cpu(params.y).row(row) + column);
        }
      }
      first += OutputsOf(target);
    }
  }
}

// y += scale * B v, adapter after adapter in the order of the segment
void FastBackend::RunExpand(const ExpandItem& item, const GemmParams& params) {
  const LoraSite& site = params.lora;
  const int32_t rows = item.group->row_end - item.group->row_begin;
  const float* v = rank_activations(item.group->row_begin);
  RankPlaces places = rank_places();
  for (int32_t index = item.group->use_begin; index < item.group->use_end; ++index) {
    const LoraUse& use = lora_->uses[index];
    for (int32_t target = site.first; target < site.first + site.count; ++target) {
      const LoraMatrices& lora = use.adapter->layout->at(site.layer, target);
      if (target == item.target && lora.rank() > 0) {
        float sums[kGroupRows * kTileColumns] = {};
        for (int32_t part = 0; part < places.parts(); ++part) {
          const Part ranks = places.ranks(lora.rank(), part);
          const float* first = v + places.at(part) - ranks.begin;
          ForRuns(*use.adapter, site.layer, lora.b, item.tile, static_cast<int32_t>(ranks.begin),
                  static_cast<int32_t>(ranks.end), [&](const TileRun& run, int32_t j) {
                    kernels_.expand(run, first + j, rank_stride(), rows, sums);
                  });
        }
        const float scale = use.scale * lora.scale;
        const int64_t column = item.column + int64_t{item.tile} * kTileColumns;
        for (int32_t row = 0; row < rows; ++row) {
          float* y = Cpu(params.y).row(item.group->row_begin + row) + column;
          for (int32_t i = 0; i < lora.b.used(item.tile); ++i) y[i] += scale * sums[row * kTileColumns + i];
        }
      }
      places.Skip(lora.rank());
    }
  }
}

Result<std::unique_ptr<Weight>> FastBackend::MakeShadow(const Weight& base) {
  Result<std::unique_ptr<PackedWeight>> made = PackedWeight::Allocate(base.rows(), base.cols(), "shadow weights");
  if (!made.ok()) return made.status();
  return std::unique_ptr<Weight>(std::move(made).value());
}

void FastBackend::Merge(const MergeParams& params, Weight& weight) {
  const PackedWeight &base = Packed(params.base), &shadow = Packed(&weight);
  pool_.Run(base.panels(), [&](int64_t panel, int32_t) {
    std::copy_n(base.panel(panel), base.panel_floats(), shadow.panel(panel));
  });
  for (const MergeParams::Part& part : params.parts) {
    const LoraMatrices& lora = params.adapter->layout->at(params.layer, part.target);
    const LoraFactors factors = ReadFactors(params, part.target);
    const double scale = static_cast<double>(params.scale) * lora.scale;
    const int64_t outputs = OutputsOf(part.target);
    pool_.Run((outputs + kPanelRows - 1) / kPanelRows, [&](int64_t slice, int32_t) {
      for (int64_t n = slice * kPanelRows; n < std::min(outputs, (slice + 1) * kPanelRows); ++n) {
        MergeOutput(factors, lora, scale, n, shadow.column_zero(part.row_begin + n));
      }
    });
  }
}

// One output's row of weights: W + scale * B A, the product in double, rounded once.
void FastBackend::MergeOutput(const LoraFactors& factors, const LoraMatrices& lora, double scale, int64_t n,
                              float* column_zero) const {
  const int64_t rank = lora.rank();
  for (int32_t tile = 0; tile < lora.a.tiles(); ++tile) {
    double deltas[kTileColumns] = {};
    kernels_.outer({factors.a.data() + tile * rank * kTileColumns, kTileColumns, lora.rank()},
                   factors.b.data() + n * rank, deltas);
    for (int32_t i = 0; i < lora.a.used(tile); ++i) {
      float& weight = column_zero[(int64_t{tile} * kTileColumns + i) * kPanelRows];
      weight = static_cast<float>(weight + scale * deltas[i]);
    }
  }
}

// ---- Operations -----------------------------------------------------------------------------------------------------------

void FastBackend::Embed(const EmbedParams& params) {
  const PackedWeight& table = Packed(params.table);
  for (int32_t row = 0; row < rows(); ++row) {
    const float* values = table.column_zero(token_ids_[row]);
    float* out = Cpu(params.out).row(row);
    for (int64_t k = 0; k < table.cols(); ++k) out[k] = values[k * kPanelRows];
  }
  AddToEmbedded(params);
}

void FastBackend::AddNorm(const AddNormParams& params) {
  const int64_t hidden = params.residual->cols();
  const int64_t slices = (rows() + kRowsPerSlice - 1) / kRowsPerSlice;
  Parallel(slices, rows() * hidden, [&](int64_t slice, int32_t) {
    for (int64_t row = slice * kRowsPerSlice; row < std::min<int64_t>(rows(), (slice + 1) * kRowsPerSlice); ++row) {
      kernels_.add_norm(Cpu(params.residual).row(row), params.delta == nullptr ? nullptr : Cpu(params.delta).row(row),
                        Values(params.norm), params.eps, hidden, Cpu(params.out).row(row));
    }
  });
}

void FastBackend::Gemm(const GemmParams& params) {
  const PackedWeight& weight = Packed(params.weight);
  PlanLora(params.lora);
  // Panels per slice: enough work to be worth a claim, and some slices for each thread.
  const int64_t panel_operations = rows() * weight.panel_floats();
  const int64_t even = (weight.panels() + 4 * pool_.threads() - 1) / (4 * pool_.threads());
  const int64_t together = std::min(std::max(even, kSerialOperations / panel_operations + 1), weight.panels());
  const int64_t panel_slices = (weight.panels() + together - 1) / together;
  const auto shrink_slices = static_cast<int64_t>(shrinks_.size());
  Parallel(shrink_slices + panel_slices, panel_operations * weight.panels() + lora_operations_,
           [&](int64_t slice, int32_t) {
             if (slice < shrink_slices) {
               RunShrink(shrinks_[slice], params);
               return;
             }
             const int64_t panel = (slice - shrink_slices) * together;
             const float* bias = Values(params.bias);
             kernels_.gemm({.x = Cpu(params.x).row(0),
                            .x_stride = params.x->stride(),
                            .rows = rows(),
                            .panels = weight.panel(panel),
                            .panel_count = std::min(together, weight.panels() - panel),
                            .cols = weight.cols(),
                            .bias = bias == nullptr ? nullptr : bias + panel * kPanelRows,
                            .y = Cpu(params.y).row(0) + panel * kPanelRows,
                            .y_stride = params.y->stride()});
           });
  if (params.lora.layer >= 0) ExchangeRanks(params.lora);
  if (params.lora.layer >= 0 && lora_->has_gains) {
    Parallel(std::ssize(lora_->groups), rows() * weight.rows(),
             [&](int64_t slice, int32_t) { MultiplyByGains(lora_->groups[slice], params); });
  }
  Parallel(static_cast<int64_t>(expands_.size()), lora_operations_,
           [&](int64_t slice, int32_t) { RunExpand(expands_[slice], params); });
}

void FastBackend::QkvPost(const QkvPostParams& params) {
  const int64_t slices = (rows() + kRowsPerSlice - 1) / kRowsPerSlice;
  Parallel(slices, 4 * rows() * params.qkv->cols(), [&](int64_t slice, int32_t) {
    for (int64_t row = slice * kRowsPerSlice; row < std::min<int64_t>(rows(), (slice + 1) * kRowsPerSlice); ++row) {
      PostRow(params, static_cast<int32_t>(row));
    }
  });
}

void FastBackend::PostRow(const QkvPostParams& params, int32_t row) {
  const PageGeometry& g = geometry();
  const int64_t head_dim = spec_.head_dim;
  const int32_t half = spec_.rotary_dims / 2;
  float* q = Cpu(params.qkv).row(row);
  float* k = q + spec_.heads * head_dim;
  const float* v = k + spec_.kv_heads * head_dim;
  const float* cosine = cosines(row);
  const float* sine = sines(row);
  for (int32_t index = 0; !params.write_only && index < spec_.heads + spec_.kv_heads; ++index) {
    float* head = q + index * head_dim;
    const Weight* norm = index < spec_.heads ? params.q_norm : params.k_norm;
    if (norm != nullptr) kernels_.add_norm(head, nullptr, Values(norm), spec_.rms_eps, head_dim, head);
    for (int32_t i = 0; i < half; ++i) {
      const float low = head[i], high = head[half + i];
      head[i] = low * cosine[i] - high * sine[i];
      head[half + i] = high * cosine[i] + low * sine[i];
    }
  }
  const int32_t position = step_->positions()[row];
  const int32_t token = position % g.page_tokens;
  const int32_t page = step_->PagesOf(row_sequence_[row])[position / g.page_tokens];
  float* slice = reinterpret_cast<float*>(arena_.slice(page, params.layer));
  for (int32_t head = 0; head < spec_.kv_heads; ++head) {
    float* keys = slice + KeyOffset(g, head) + token;
    for (int64_t d = 0; d < head_dim; ++d) keys[d * g.page_tokens] = k[head * head_dim + d];
    std::copy_n(v + head * head_dim, head_dim, slice + ValueOffset(g, head) + token * head_dim);
  }
}

void FastBackend::Attention(const AttentionParams& params) {
  int64_t keys = 0;
  for (int32_t row = 0; row < rows(); ++row) {
    const int32_t seen = step_->positions()[row] + 1;
    keys += params.window > 0 ? std::min(seen, params.window) : seen;
  }
  Parallel(int64_t{rows()} * spec_.kv_heads, 2 * keys * spec_.heads * spec_.head_dim, [&](int64_t slice, int32_t thread) {
    AttendRow(params, static_cast<int32_t>(slice / spec_.kv_heads), static_cast<int32_t>(slice % spec_.kv_heads), thread);
  });
}

void FastBackend::AttendRow(const AttentionParams& params, int32_t row, int32_t kv_head, int32_t thread) {
  const PageGeometry& g = geometry();
  const int32_t position = step_->positions()[row];
  const int32_t begin = params.window > 0 ? std::max(0, position - params.window + 1) : 0;
  const int32_t first_page = begin / g.page_tokens;
  const std::span<const int32_t> pages = step_->PagesOf(row_sequence_[row]);
  std::vector<const float*>& slices = slices_[thread];
  slices.clear();
  for (int32_t page = first_page; page <= position / g.page_tokens; ++page) {
    slices.push_back(reinterpret_cast<const float*>(arena_.slice(pages[page], params.layer)));
  }
  const int32_t heads = spec_.heads / spec_.kv_heads;
  const int64_t first_head = int64_t{kv_head} * heads * spec_.head_dim;
  kernels_.attention({.q = Cpu(params.qkv).row(row) + first_head,
                      .out = Cpu(params.out).row(row) + first_head,
                      .slices = slices.data(),
                      .key_offset = KeyOffset(g, kv_head),
                      .value_offset = ValueOffset(g, kv_head),
                      .heads = heads,
                      .head_dim = spec_.head_dim,
                      .page_tokens = g.page_tokens,
                      .begin = begin - first_page * g.page_tokens,
                      .end = position + 1 - first_page * g.page_tokens,
                      .scale = spec_.attention_scale,
                      .scores = scores_[thread].as<float>(),
                      .score_stride = score_stride_});
}

void FastBackend::SwiGlu(const SwiGluParams& params) {
  const int64_t count = params.out->cols();
  Parallel(rows(), 8 * rows() * count, [&](int64_t row, int32_t) {
    const float* gate = Cpu(params.gate_up).row(row);
    kernels_.swiglu(gate, gate + count, count, Cpu(params.out).row(row));
  });
}

void FastBackend::Logits(const LogitsParams& params) {
  const PackedWeight& head = Packed(params.head);
  const int64_t together = std::max<int64_t>(1, head.panels() / (16 * pool_.threads()));
  const int64_t slices = params.count == 0 ? 0 : (head.panels() + together - 1) / together;
  Parallel(slices, params.count * head.panels() * head.panel_floats(), [&](int64_t slice, int32_t) {
    const int64_t panel = slice * together;
    kernels_.gemm({.x = Cpu(params.x).row(0),
                   .x_stride = params.x->stride(),
                   .rows = params.count,
                   .panels = head.panel(panel),
                   .panel_count = std::min(together, head.panels() - panel),
                   .cols = head.cols(),
                   .bias = nullptr,
                   .y = Cpu(params.logits).row(0) + params.first + panel * kPanelRows,
                   .y_stride = params.logits->stride()});
  });
  AddToLogits(params);
}

}  // namespace chorale
