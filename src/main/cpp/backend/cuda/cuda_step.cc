// What a step does: the tables it needs on the device, then its operations.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cuda/cuda_backend.h"
#include "base/convert.h"
#include "model/weights.h"

namespace chorale::cuda {
namespace {

// A sequence with as many rows or more goes to the prefill kernel, which reads its keys once for all of them; fewer go
// row by row to the decode kernel, which cuts the keys.
constexpr int32_t kPrefillRowsLeast = 8;
constexpr int32_t kLibraryRowsLeast = 65;   // more rows than this: the library, where there is one
constexpr int32_t kHalfProductRowsLeast = 129;

// With more of the base weights in flight the adapters' loads would hardly get a turn: the fewer, the more bytes
// adapters have (measured: docs/KERNELS.md).
int32_t StagesBesideLora(size_t uses) { return uses <= 2 ? 4 : 3; }

int32_t SiteOf(int32_t first_target) {
  int32_t site = 0;
  while (kSiteTargets[site].first != first_target) ++site;
  return site;
}

template <typename T>
void Reserve(DeviceMemory* memory, int64_t count, cudaStream_t stream, const char* purpose, bool zeros = false) {
  const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
  if (memory->bytes() >= bytes) return;
  Check(cudaStreamSynchronize(stream), purpose);
  *memory = DeviceMemory();
  Result<DeviceMemory> grown = zeros ? AllocateZeros(2 * bytes, purpose) : DeviceMemory::Allocate(2 * bytes, purpose);
  if (!grown.ok()) throw std::runtime_error(grown.status().message());
  *memory = std::move(grown).value();
}

}  // namespace

// ---- tables -------------------------------------------------------------------------------------------------------------

void CudaBackend::Prepare(const StepView& step, const LoraBatch& lora) {
  step_ = &step;
  ++steps_;
  rows_ = step.rows();
  observed_ = false;
  upload_.Clear();
  PrepareRows();
  PrepareLora(lora);
  upload_.Send(launcher_.stream);
  if (lora_groups_.empty()) return;
  // The uses point to what has just been sent.
  int64_t first_matrix = 0, first_page = 0;
  for (size_t i = 0; i < lora_uses_.size(); ++i) {
    lora_uses_[i].matrices = device_matrices_ + first_matrix;
    lora_uses_[i].pages = device_lora_pages_ + first_page;
    first_matrix += int64_t{spec_.layers} * kTargets;
    first_page += static_cast<int64_t>(lora.uses[i].adapter->pages.size());
  }
  use_upload_.Clear();
  use_upload_.Add(lora_uses_, &device_uses_);
  use_upload_.Send(launcher_.stream);
}

void CudaBackend::PrepareRows() {
  const StepView& step = *step_;
  row_sequence_.resize(static_cast<size_t>(rows_));
  row_page_.resize(static_cast<size_t>(rows_));
  for (int32_t s = 0; s < step.sequences(); ++s) {
    const std::span<const int32_t> pages = step.PagesOf(s);
    for (int32_t row = step.seq_token_start()[s]; row < step.seq_token_start()[s + 1]; ++row) {
      row_sequence_[row] = s;
      row_page_[row] = pages[step.positions()[row] / geometry_.page_tokens];
    }
  }
  upload_.Add(step.token_ids(), &step_rows_.token_ids);
  upload_.Add(step.positions(), &step_rows_.positions);
  upload_.Add(row_page_, &step_rows_.pages);
  upload_.Add(row_sequence_, &sequence_);
  upload_.Add(step.seq_page_start(), &page_start_);
  upload_.Add(step.page_ids(), &page_ids_);
  upload_.Add(step.seq_prompt(), &seq_prompt_);
  upload_.Add(step.seq_scratch(), &seq_scratch_);
}

void CudaBackend::PrepareLora(const LoraBatch& lora) {
  lora_matrices_.clear();
  lora_pages_.clear();
  lora_uses_.clear();
  lora_groups_.clear();
  lora_use_cols_.clear();
  for (const chorale::LoraUse& use : lora.uses) {
    const AdapterLayout& layout = *use.adapter->layout;
    for (int32_t i = 0; i < spec_.layers * kTargets; ++i) {
      const LoraMatrices& m = layout.at(i / kTargets, i % kTargets);
      lora_matrices_.push_back({static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale});
    }
    lora_pages_.insert(lora_pages_.end(), use.adapter->pages.begin(), use.adapter->pages.end());
    lora_uses_.push_back({nullptr, nullptr, use.scale, 0});
    int32_t most = 0;  // columns of v that this use takes at any site
    for (int32_t layer = 0; layer < spec_.layers; ++layer) {
      for (const auto& [first, count] : kSiteTargets) {
        int32_t cols = 0;
        for (int32_t t = 0; t < count; ++t) cols += LoraColumns(layout.at(layer, first + t).rank());
        most = std::max(most, cols);
      }
    }
    lora_use_cols_.push_back(most);
  }
  const int32_t inputs_most = std::max({spec_.hidden, spec_.intermediate, spec_.heads * spec_.head_dim});
  int64_t v_floats = 0;
  for (const chorale::LoraGroup& group : lora.groups) {  // of up to 8 rows; two of the same adapters make one
    if (!lora_groups_.empty()) {
      LoraGroup& last = lora_groups_.back();
      const int32_t end = last.row_begin + last.row_count;
      if (last.use_begin == group.use_begin && last.use_end == group.use_end && end == group.row_begin &&
          group.row_end - last.row_begin <= kLoraGroupRows) {
        last.row_count = group.row_end - last.row_begin;
        continue;
      }
    }
    int32_t v_cols = 0;
    for (int32_t use = group.use_begin; use < group.use_end; ++use) v_cols += lora_use_cols_[use];
    lora_groups_.push_back({group.row_begin, group.row_end - group.row_begin, group.use_begin, group.use_end,
                            static_cast<int32_t>(v_floats), v_cols});
    v_floats += LoraActivationFloats(inputs_most, v_cols);
  }
  lora_rows_.assign(static_cast<size_t>(rows_), 0);
  for (const LoraGroup& group : lora_groups_) std::fill_n(lora_rows_.begin() + group.row_begin, group.row_count, 1);
  if (!lora_groups_.empty()) {
    const auto counters = static_cast<int64_t>(lora_groups_.size()) * spec_.layers * kSites;
    Reserve<int32_t>(&lora_ready_, counters, launcher_.stream, "LoRA counters");
    Check(cudaMemsetAsync(lora_ready_.data(), 0, static_cast<size_t>(counters) * 4, launcher_.stream), "LoRA counters");
  }
  if (v_floats > INT32_MAX) throw std::runtime_error("a step's adapters need too many rank activations");
  Reserve<float>(&lora_v_, v_floats, launcher_.stream, "rank activations");
  lora_group_count_.assign(1, static_cast<int32_t>(lora_groups_.size()));
  upload_.Add(lora_matrices_, &device_matrices_);
  upload_.Add(lora_pages_, &device_lora_pages_);
  upload_.Add(lora_groups_, &device_groups_);
  upload_.Add(lora_group_count_, &device_group_count_);
  upload_.Add(lora_rows_, &device_lora_rows_);
}

// Which rows go to which kernel, and how their keys are cut.
CudaBackend::AttentionWork& CudaBackend::WorkFor(int32_t window) {
  AttentionWork& work = attention_[window];
  if (work.step == steps_) return work;
  work.step = steps_;
  const StepView& step = *step_;
  const bool packs = spec_.heads / spec_.kv_heads <= kPrefillTile;
  std::vector<DecodeRow> rows;
  std::vector<PrefillSequence> sequences;
  for (int32_t s = 0; s < step.sequences(); ++s) {
    const int32_t begin = step.seq_token_start()[s], end = step.seq_token_start()[s + 1];
    if (packs && end - begin >= kPrefillRowsLeast) {
      sequences.push_back({begin, end - begin, step.positions()[begin]});
      continue;
    }
    for (int32_t row = begin; row < end; ++row) rows.push_back({row, step.positions()[row]});
  }
  PlanDecode(rows, spec_.heads, spec_.kv_heads, window, launcher_.sm_count, &work.plan);
  PlanPrefill(sequences, spec_.heads, spec_.kv_heads, &work.items);
  work.upload.Clear();
  work.upload.Add(work.plan.items, &work.decode.items);
  work.upload.Add(work.plan.block_start, &work.decode.block_start);
  work.upload.Add(work.items, &work.prefill);
  work.upload.Send(launcher_.stream);
  const int64_t slots = int64_t{work.plan.partials} * kDecodeHeads;
  Reserve<float>(&decode_out_, slots * spec_.head_dim, launcher_.stream, "attention");
  Reserve<float2>(&decode_stats_, slots, launcher_.stream, "attention");
  Reserve<int32_t>(&decode_tickets_, work.plan.tickets, launcher_.stream, "attention", true);
  return work;
}

// ---- operations -----------------------------------------------------------------------------------------------------------

KvPages CudaBackend::Kv(int32_t layer) const {
  return {Slice(0, layer), geometry_.page_bytes, geometry_.page_tokens, spec_.kv_heads, spec_.head_dim};
}

void CudaBackend::Embed(const EmbedParams& params) {
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
  cuda::Embed(launcher_, element_, rows_, args);
}

void CudaBackend::AddNorm(const AddNormParams& params) {
  AddNormArgs args;
  args.residual = Cuda(params.residual).memory.as<float>();
  if (params.delta != nullptr) {
    args.delta = Cuda(params.delta).product;
    args.delta_bias = Cuda(params.delta).bias;
  }
  args.norm = Values(params.norm);
  args.out = Cuda(params.out).memory.data();
  args.hidden = static_cast<int32_t>(params.residual->stride());
  args.hidden_real = static_cast<int32_t>(params.residual->cols());
  args.eps = params.eps;
  cuda::AddNorm(launcher_, element_, rows_, args);
}

bool CudaBackend::LoraArgs(const LoraSite& site, const CudaActivation& x, const CudaMatrix& weight,
                           LoraSiteArgs* args) const {
  if (site.layer < 0 || lora_groups_.empty()) return false;
  bool used = false;
  for (size_t use = 0; use < lora_uses_.size(); ++use) {
    const size_t first = (use * spec_.layers + site.layer) * kTargets + site.first;
    for (int32_t t = 0; t < site.count; ++t) used = used || lora_matrices_[first + t].rank > 0;
  }
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
  args->x = x.memory.data();
  args->v = lora_v_.as<float>();
  args->ready = lora_ready_.as<int32_t>() +
                (int64_t{site.layer} * kSites + SiteOf(site.first)) * static_cast<int64_t>(lora_groups_.size());
  return used;
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
      product.lora = lora_parts_[SiteOf(lora->first_target)].as<float>();
      product.lora_rows = device_lora_rows_;
      args.lora = *lora;
      args.stages_in_flight = StagesBesideLora(lora_uses_.size());
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

void CudaBackend::Gemm(const GemmParams& params) {
  const CudaMatrix& weight = Matrix(params.weight);
  const CudaActivation& x = Cuda(params.x);
  CudaActivation& y = Cuda(params.y);
  const auto groups = static_cast<int32_t>(std::min<size_t>(lora_groups_.size(), 65535));
  LoraSiteArgs lora;
  const bool has_lora = LoraArgs(params.lora, x, weight, &lora);
  const bool beside = has_lora && CanStream(weight, x, rows_);  // in the launch of the product
  if (has_lora && !beside) LoraShrink(launcher_, element_, groups, lora);
  // Keys and values are rounded when they are stored: theirs is the product whose own rounding would count twice.
  y.product = lora.y = Multiply(weight, x, rows_, y, params.lora.first != kQ, beside ? &lora : nullptr);
  y.bias = Values(params.bias);
  if (has_lora && !beside) LoraExpand(launcher_, element_, groups, lora);
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
  AttentionWork& work = WorkFor(params.window);
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
  cuda::SwiGlu(launcher_, element_, rows_,
               {.gate_up = gate_up.product,
                .bias = gate_up.bias,
                .out = Cuda(params.out).memory.data(),
                .intermediate = static_cast<int32_t>(params.out->cols()),
                .out_stride = static_cast<int32_t>(params.out->stride())});
}

void CudaBackend::Gather(const GatherParams& params) {
  if (params.rows.empty()) return;
  const int32_t* rows = nullptr;
  gather_upload_.Clear();
  gather_upload_.Add(params.rows, &rows);
  gather_upload_.Send(launcher_.stream);
  GatherRows(launcher_, Cuda(params.x).memory.data(), rows, static_cast<int32_t>(params.rows.size()),
             static_cast<int32_t>(params.x->stride()), Cuda(params.out).memory.data());
}

void CudaBackend::Logits(const LogitsParams& params) {
  if (params.count == 0) return;
  CudaActivation& logits = Cuda(params.logits);
  logits.product = Multiply(Matrix(params.head), Cuda(params.x), params.count, logits, false, nullptr);
  logits.bias = nullptr;
}

// ---- looking at results -----------------------------------------------------------------------------------------------------

// A product becomes one float32 part with its bias.
void CudaBackend::Collapse(const CudaActivation& x) {
  Product& product = x.product;
  const bool whole = product.units_per_tile == product.units_per_block && product.lora == nullptr && x.bias == nullptr;
  if (product.half || whole) return;
  const auto rows = static_cast<int32_t>(product.partial_stride / product.cols);
  CollapseProduct(launcher_, rows, product, x.bias);
  product.units_per_tile = product.units_per_block = 1;
  product.lora = nullptr;
  x.bias = nullptr;
}

void CudaBackend::ReadActivation(const Activation& activation, const Rectangle& part, float* out) {
  if (part.rows == 0) return;
  const CudaActivation& x = Cuda(&activation);
  observed_ = true;
  if (x.kind == ActivationKind::kProduct) Collapse(x);
  const bool half = x.kind == ActivationKind::kInput || (x.kind == ActivationKind::kProduct && x.product.half);
  const auto width = static_cast<size_t>(half ? 2 : 4);
  const size_t stride = static_cast<size_t>(x.stride()) * width, line = static_cast<size_t>(part.cols) * width;
  staging_.resize(line * static_cast<size_t>(part.rows));
  Check(cudaMemcpy2DAsync(staging_.data(), line,
                          x.memory.data() + static_cast<size_t>(part.row_begin) * stride + part.col_begin * width, stride,
                          line, static_cast<size_t>(part.rows), cudaMemcpyDeviceToHost, launcher_.stream),
        "reading activations");
  Finish("reading activations");
  const int32_t dtype = !half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  ConvertToFloat(staging_.data(), dtype, part.rows * part.cols, out);
  if (half && x.bias != nullptr) {
    std::vector<float> bias(static_cast<size_t>(part.cols));
    Check(cudaMemcpy(bias.data(), x.bias + part.col_begin, bias.size() * 4, cudaMemcpyDeviceToHost), "reading a bias");
    for (int64_t i = 0; i < part.rows * part.cols; ++i) out[i] += bias[i % part.cols];
  }
}

void CudaBackend::WriteActivation(Activation& activation, const Rectangle& part, const float* values) {
  if (part.rows == 0) return;
  CudaActivation& x = Cuda(&activation);
  if (x.kind == ActivationKind::kProduct) Collapse(x);
  const bool half = x.kind == ActivationKind::kInput || (x.kind == ActivationKind::kProduct && x.product.half);
  const auto width = static_cast<size_t>(half ? 2 : 4);
  const size_t stride = static_cast<size_t>(x.stride()) * width, line = static_cast<size_t>(part.cols) * width;
  staging_.resize(line * static_cast<size_t>(part.rows));
  std::vector<float> plain(values, values + part.rows * part.cols);
  if (half && x.bias != nullptr) {  // its readers will add it again
    std::vector<float> bias(static_cast<size_t>(part.cols));
    Check(cudaMemcpy(bias.data(), x.bias + part.col_begin, bias.size() * 4, cudaMemcpyDeviceToHost), "reading a bias");
    for (int64_t i = 0; i < part.rows * part.cols; ++i) plain[i] -= bias[i % part.cols];
  }
  const int32_t dtype = !half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  ConvertFromFloat(plain.data(), dtype, part.rows * part.cols, staging_.data());
  Check(cudaMemcpy2DAsync(x.memory.data() + static_cast<size_t>(part.row_begin) * stride + part.col_begin * width, stride,
                          staging_.data(), line, line, static_cast<size_t>(part.rows), cudaMemcpyHostToDevice,
                          launcher_.stream),
        "writing activations");
  Finish("writing activations");
}

}  // namespace chorale::cuda
