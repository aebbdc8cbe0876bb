#include "backend/cpu/cpu_reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/convert.h"

namespace chorale {
namespace {

const DenseWeight& Dense(const Weight* weight) { return *static_cast<const DenseWeight*>(weight); }

double Dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// out = x / sqrt(mean(x^2) + eps) * weight
void RmsNorm(const float* x, const float* weight, float eps, int64_t count, float* out) {
  const double inverse = 1.0 / std::sqrt(Dot(x, x, count) / static_cast<double>(count) + eps);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(x[i] * inverse * weight[i]);
}

}  // namespace

Result<std::unique_ptr<Weight>> ReferenceBackend::MakeMatrix(std::span<const HostTensor> parts) {
  int64_t rows = 0;
  for (const HostTensor& part : parts) rows += part.rows;
  const int64_t cols = parts[0].cols;
  Result<AnonymousMemory> memory =
      AnonymousMemory::Allocate(rows * cols * static_cast<int64_t>(sizeof(float)), "a weight");
  if (!memory.ok()) return memory.status();
  auto weight = std::make_unique<DenseWeight>(rows, cols, std::move(memory).value());
  float* out = weight->data();
  for (const HostTensor& part : parts) {
    part.Read(0, part.rows * cols, out);
    out += part.rows * cols;
  }
  return std::unique_ptr<Weight>(std::move(weight));
}

uint64_t ReferenceBackend::Digest(const Weight& weight, uint64_t previous) const {
  const auto& dense = static_cast<const DenseWeight&>(weight);
  return HashFloats({dense.data(), static_cast<size_t>(dense.rows() * dense.cols())}, previous);
}

void ReferenceBackend::ReadWeightRow(const Weight& weight, int64_t index, float* out) const {
  std::copy_n(Dense(&weight).row(index), weight.cols(), out);
}

float ReferenceBackend::LoraA(const ResidentAdapter& adapter, int32_t layer, int32_t target, int32_t j,
                              int32_t column) const {
  const int64_t offset = adapter.layout->at(layer, target).a.row_offset(column / kTileColumns, j);
  return reinterpret_cast<const float*>(LoraRow(adapter, layer, offset))[column % kTileColumns];
}

float ReferenceBackend::LoraB(const ResidentAdapter& adapter, int32_t layer, int32_t target, int32_t row,
                              int32_t j) const {
  const int64_t offset = adapter.layout->at(layer, target).b.row_offset(row / kTileColumns, j);
  return reinterpret_cast<const float*>(LoraRow(adapter, layer, offset))[row % kTileColumns];
}

Result<std::unique_ptr<Weight>> ReferenceBackend::MakeShadow(const Weight& base) {
  Result<AnonymousMemory> memory = AnonymousMemory::Allocate(
      base.rows() * base.cols() * static_cast<int64_t>(sizeof(float)), "shadow weights");
  if (!memory.ok()) return memory.status();
  return std::unique_ptr<Weight>(std::make_unique<DenseWeight>(base.rows(), base.cols(), std::move(memory).value()));
}

void ReferenceBackend::Merge(const MergeParams& params, Weight& weight) {
  const DenseWeight &base = Dense(params.base), &shadow = Dense(&weight);
  std::copy(base.data(), base.data() + base.rows() * base.cols(), shadow.data());
  for (const MergeParams::Part& part : params.parts) {
    const LoraMatrices& lora = params.adapter->layout->at(params.layer, part.target);
    const LoraFactors factors = ReadFactors(params, part.target);
    const double scale = static_cast<double>(params.scale) * lora.scale;
    const int64_t rank = lora.rank();
    for (int64_t n = 0; n < OutputsOf(part.target); ++n) {
      for (int64_t k = 0; k < lora.a.columns; ++k) {
        const float* a = factors.a.data() + k / kTileColumns * rank * kTileColumns + k % kTileColumns;
        double delta = 0;
        for (int64_t j = 0; j < rank; ++j) delta += static_cast<double>(factors.b[n * rank + j]) * a[j * kTileColumns];
        float& merged = shadow.row(part.row_begin + n)[k];
        merged = static_cast<float>(merged + scale * delta);
      }
    }
  }
}

void ReferenceBackend::Embed(const EmbedParams& params) {
  const DenseWeight& table = Dense(params.table);
  for (int32_t row = 0; row < rows(); ++row) {
    std::copy_n(table.row(token_ids_[row]), table.cols(), Cpu(params.out).row(row));
  }
  AddToEmbedded(params);
}

void ReferenceBackend::AddNorm(const AddNormParams& params) {
  const int64_t hidden = params.residual->cols();
  for (int32_t row = 0; row < rows(); ++row) {
    float* residual = Cpu(params.residual).row(row);
    for (int64_t i = 0; params.delta != nullptr && i < hidden; ++i) residual[i] += Cpu(params.delta).row(row)[i];
    RmsNorm(residual, Values(params.norm), params.eps, hidden, Cpu(params.out).row(row));
  }
}

void ReferenceBackend::Gemm(const GemmParams& params) {
  const DenseWeight& weight = Dense(params.weight);
  const float* bias = Values(params.bias);
  for (int32_t row = 0; row < rows(); ++row) {
    const float* x = Cpu(params.x).row(row);
    float* y = Cpu(params.y).row(row);
    for (int64_t n = 0; n < weight.rows(); ++n) {
      y[n] = static_cast<float>(Dot(x, weight.row(n), weight.cols()) + (bias == nullptr ? 0.0 : bias[n]));
    }
  }
  if (params.lora.layer >= 0) AddLora(params);
}

// y += scale * B (A x), adapter after adapter in the order of the row's segment; the base's product times the gains first
void ReferenceBackend::AddLora(const GemmParams& params) {
  BeginSite(params.lora);
  for (const LoraGroup& group : lora_->groups) {
    for (int32_t row = group.row_begin; row < group.row_end; ++row) Shrink(group, row, params);
  }
  ExchangeRanks(params.lora);
  for (const LoraGroup& group : lora_->groups) {
    for (int32_t row = group.row_begin; row < group.row_end; ++row) Expand(group, row, params);
  }
}

void ReferenceBackend::Shrink(const LoraGroup& group, int32_t row, const GemmParams& params) {
  const float* x = Cpu(params.x).row(row);
  RankPlaces places = rank_places();
  for (int32_t use = group.use_begin; use < group.use_end; ++use) {
    const ResidentAdapter& adapter = *lora_->uses[use].adapter;
    for (int32_t target = params.lora.first; target < params.lora.first + params.lora.count; ++target) {
      const LoraMatrices& lora = adapter.layout->at(params.lora.layer, target);
      float* v = rank_activations(row) + places.at(own_part());
      for (int32_t j = 0; j < lora.a.rank; ++j) {
        double sum = 0;
        for (int32_t k = 0; k < lora.a.columns; ++k) {
          sum += static_cast<double>(LoraA(adapter, params.lora.layer, target, j, k)) * x[k];
        }
        v[j] = static_cast<float>(sum);
      }
      places.Skip(lora.rank());
    }
  }
}

void ReferenceBackend::Expand(const LoraGroup& group, int32_t row, const GemmParams& params) {
  RankPlaces places = rank_places();
  for (int32_t use = group.use_begin; use < group.use_end; ++use) {
    const ResidentAdapter& adapter = *lora_->uses[use].adapter;
    float* y = Cpu(params.y).row(row);
    int64_t row_begin = 0;  // of the target's outputs in the fused weight
    for (int32_t target = params.lora.first; target < params.lora.first + params.lora.count; ++target) {
      const LoraMatrices& lora = adapter.layout->at(params.lora.layer, target);
      for (int32_t n = 0; n < lora.gain.columns; ++n) {
        const int64_t at = row_begin + n;
        const double product = Dot(Cpu(params.x).row(row), Dense(params.weight).row(at), params.weight->cols());
        const double bias = params.bias == nullptr ? 0.0 : Values(params.bias)[at];
        const float* gains = GainsOf(adapter, params.lora.layer, lora, n / kTileColumns);
        y[n] = static_cast<float>(gains[n % kTileColumns] * product + bias);
      }
      const double scale = static_cast<double>(lora_->uses[use].scale) * lora.scale;
      for (int32_t n = 0; lora.rank() > 0 && n < lora.b.columns; ++n) {
        double sum = 0;
        for (int32_t part = 0; part < places.parts(); ++part) {
          const Part ranks = places.ranks(lora.rank(), part);
          const float* v = rank_activations(row) + places.at(part);
          for (int64_t j = ranks.begin; j < ranks.end; ++j) {
            sum += static_cast<double>(LoraB(adapter, params.lora.layer, target, n, static_cast<int32_t>(j))) *
                   v[j - ranks.begin];
          }
        }
        float& out = y[lora.first_output + n];
        out = static_cast<float>(out + scale * sum);
      }
      places.Skip(lora.rank());
      y += OutputsOf(target);
      row_begin += OutputsOf(target);
    }
  }
}

void ReferenceBackend::NormHead(const float* weight, float* head) const {
  if (weight != nullptr) RmsNorm(head, weight, spec_.rms_eps, spec_.head_dim, head);
}

void ReferenceBackend::Rotate(int32_t row, float* head) const {
  const int32_t half = spec_.rotary_dims / 2;
  for (int32_t i = 0; i < half; ++i) {
    const float cosine = cosines(row)[i], sine = sines(row)[i];
    const float low = head[i], high = head[half + i];
    head[i] = low * cosine - high * sine;
    head[half + i] = high * cosine + low * sine;
  }
}

void ReferenceBackend::QkvPost(const QkvPostParams& params) {
  const PageGeometry& g = geometry();
  const int32_t head_dim = spec_.head_dim;
  for (int32_t row = 0; row < rows(); ++row) {
    float* q = Cpu(params.qkv).row(row);
    float* k = q + int64_t{spec_.heads} * head_dim;
    const float* v = k + int64_t{spec_.kv_heads} * head_dim;
    for (int32_t head = 0; !params.write_only && head < spec_.heads + spec_.kv_heads; ++head) {
      NormHead(Values(head < spec_.heads ? params.q_norm : params.k_norm), q + int64_t{head} * head_dim);
      Rotate(row, q + int64_t{head} * head_dim);
    }
    const int32_t position = step_->positions()[row];
    const int32_t token = position % g.page_tokens;
    const int32_t page = step_->PagesOf(row_sequence_[row])[position / g.page_tokens];
    float* slice = reinterpret_cast<float*>(arena_.slice(page, params.layer));
    for (int32_t head = 0; head < spec_.kv_heads; ++head) {
      for (int32_t d = 0; d < head_dim; ++d) {
        slice[KeyOffset(g, head) + int64_t{d} * g.page_tokens + token] = k[int64_t{head} * head_dim + d];
        slice[ValueOffset(g, head) + int64_t{token} * head_dim + d] = v[int64_t{head} * head_dim + d];
      }
    }
  }
}

void ReferenceBackend::Attention(const AttentionParams& params) {
  for (int32_t row = 0; row < rows(); ++row) {
    for (int32_t head = 0; head < spec_.heads; ++head) AttendHead(row, head, params);
  }
}

// softmax(q . k * scale) v over the keys that the row sees, in order of position
void ReferenceBackend::AttendHead(int32_t row, int32_t head, const AttentionParams& params) {
  const PageGeometry& g = geometry();
  const int32_t kv_head = head / (spec_.heads / spec_.kv_heads);
  const int32_t position = step_->positions()[row];
  const int32_t begin = params.window > 0 ? std::max(0, position - params.window + 1) : 0;
  const std::span<const int32_t> pages = step_->PagesOf(row_sequence_[row]);
  const auto slice = [&](int32_t key) {
    return reinterpret_cast<const float*>(arena_.slice(pages[key / g.page_tokens], params.layer));
  };
  const float* q = Cpu(params.qkv).row(row) + int64_t{head} * spec_.head_dim;
  scores_.resize(position + 1);
  double best = -INFINITY;
  for (int32_t key = begin; key <= position; ++key) {
    const float* k = slice(key) + KeyOffset(g, kv_head) + key % g.page_tokens;
    double dot = 0;
    for (int32_t d = 0; d < spec_.head_dim; ++d) dot += static_cast<double>(q[d]) * k[int64_t{d} * g.page_tokens];
    scores_[key] = dot * spec_.attention_scale;
    best = std::max(best, scores_[key]);
  }
  double total = 0;
  for (int32_t key = begin; key <= position; ++key) total += scores_[key] = std::exp(scores_[key] - best);
  float* out = Cpu(params.out).row(row) + int64_t{head} * spec_.head_dim;
  for (int32_t d = 0; d < spec_.head_dim; ++d) {
    double sum = 0;
    for (int32_t key = begin; key <= position; ++key) {
      sum += scores_[key] * slice(key)[ValueOffset(g, kv_head) + int64_t{key % g.page_tokens} * spec_.head_dim + d];
    }
    out[d] = static_cast<float>(sum / total);
  }
}

void ReferenceBackend::SwiGlu(const SwiGluParams& params) {
  const int64_t count = params.out->cols();
  for (int32_t row = 0; row < rows(); ++row) {
    const float* gate = Cpu(params.gate_up).row(row);
    const float* up = gate + count;
    float* out = Cpu(params.out).row(row);
    for (int64_t i = 0; i < count; ++i) {
      out[i] = static_cast<float>(gate[i] / (1.0 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
    }
  }
}

void ReferenceBackend::Logits(const LogitsParams& params) {
  const DenseWeight& head = Dense(params.head);
  for (int32_t k = 0; k < params.count; ++k) {
    for (int64_t n = 0; n < head.rows(); ++n) {
      Cpu(params.logits).row(k)[params.first + n] = static_cast<float>(Dot(Cpu(params.x).row(k), head.row(n), head.cols()));
    }
  }
  AddToLogits(params);
}

}  // namespace chorale
