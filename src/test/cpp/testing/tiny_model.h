// Random models and adapters of any shape, for tests and the benchmark: a manifest, and the tensors it describes in
// memory or in a file. The same seed gives the same numbers everywhere.
#pragma once

#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model/span_source.h"
#include "testing/image_builder.h"

namespace chorale::testing {

// A directory that goes with its owner.
class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "chorale-XXXXXX").string();
    path_ = mkdtemp(name.data()) == nullptr ? "" : name;
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A manifest whose one file is `data`.
struct TensorSet {
  ManifestBuilder builder;
  std::vector<uint8_t> data;

  // The manifest; the data go to `path` first.
  std::vector<uint8_t> WriteTo(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fwrite(data.data(), 1, data.size(), file) != data.size()) std::abort();
    std::fclose(file);
    return BuildFor(path);
  }
  std::vector<uint8_t> BuildFor(const std::string& path) const {
    ManifestBuilder built = builder;
    built.files = {{path, static_cast<int64_t>(data.size())}};
    return built.Build();
  }
};

class MemorySpans final : public SpanSource {
 public:
  explicit MemorySpans(std::span<const uint8_t> data) : data_(data) {}
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override { return data_.subspan(span.offset, span.bytes); }

 private:
  std::span<const uint8_t> data_;
};

class TensorWriter {
 public:
  TensorWriter(TensorSet* set, uint64_t seed) : set_(set), random_(seed) {}

  // Uniform in middle +- reach.
  SpanEntry& Add(int32_t role, int32_t layer, int64_t rows, int64_t cols, float middle, float reach,
                 int32_t dtype = kF32) {
    const size_t offset = set_->data.size(), bytes = static_cast<size_t>(DTypeBytes(dtype));
    set_->data.resize((offset + static_cast<size_t>(rows * cols) * bytes + kDataAlign - 1) / kDataAlign * kDataAlign);
    uint8_t* out = set_->data.data() + offset;
    for (int64_t i = 0; i < rows * cols; ++i, out += bytes) {
      const float unit = static_cast<float>(random_() >> 11) * 0x1p-52f - 1.0f;
      const uint32_t bits = std::bit_cast<uint32_t>(middle + reach * unit);
      const uint32_t stored = dtype == kF32 ? bits : bits >> 16;  // BF16 by truncation
      std::memcpy(out, &stored, bytes);
    }
    return set_->builder.Span(role, layer, rows, cols, static_cast<int64_t>(offset), dtype);
  }

 private:
  TensorSet* set_;
  std::mt19937_64 random_;
};

struct ModelOptions {
  std::vector<Target> biases;    // linears with a bias
  std::vector<int32_t> windows;  // empty: none
  int32_t dtype = kF32;          // of the matrices; F32 or BF16
};

inline TensorSet RandomModel(const ModelSpec& spec, uint64_t seed, const ModelOptions& options = {}) {
  TensorSet set;
  set.builder.spec = spec;
  for (int32_t i = 0; i < spec.rotary_dims / 2; ++i) {
    set.builder.inv_freq.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(spec.rotary_dims)));
  }
  set.builder.windows = options.windows;
  set.builder.windows.resize(spec.layers, 0);
  TensorWriter writer(&set, seed);
  writer.Add(kRoleEmbed, -1, spec.vocab, spec.hidden, 0, 1, options.dtype);
  if (spec.tied == 0) writer.Add(kRoleHead, -1, spec.vocab, spec.hidden, 0, 0.3f, options.dtype);
  writer.Add(kRoleFinalNorm, -1, 1, spec.hidden, 1, 0.2f);
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    writer.Add(kRoleAttnNorm, layer, 1, spec.hidden, 1, 0.2f);
    writer.Add(kRoleMlpNorm, layer, 1, spec.hidden, 1, 0.2f);
    if (spec.qk_norm == 1) {
      writer.Add(kRoleQNorm, layer, 1, spec.head_dim, 1, 0.2f);
      writer.Add(kRoleKNorm, layer, 1, spec.head_dim, 1, 0.2f);
    }
    for (int32_t t = 0; t < kTargets; ++t) {
      const auto target = static_cast<Target>(t);
      const float reach = 1.7f / std::sqrt(static_cast<float>(InWidth(spec, target)));
      writer.Add(RoleOf(kRoleWeight, target), layer, OutWidth(spec, target), InWidth(spec, target), 0, reach,
                 options.dtype);
    }
    for (Target target : options.biases) writer.Add(RoleOf(kRoleBias, target), layer, 1, OutWidth(spec, target), 0, 0.5f);
  }
  return set;
}

// rank_of(layer, target): 0 where the adapter leaves the linear alone.
inline TensorSet RandomAdapter(const ModelSpec& spec, uint64_t seed,
                               const std::function<int32_t(int32_t, Target)>& rank_of, float scale = 2.0f) {
  TensorSet set;
  set.builder.header.kind = kAdapterManifest;
  TensorWriter writer(&set, seed);
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    for (int32_t t = 0; t < kTargets; ++t) {
      const auto target = static_cast<Target>(t);
      const int32_t rank = rank_of(layer, target);
      if (rank == 0) continue;
      const float reach = 1.0f / std::sqrt(static_cast<float>(InWidth(spec, target)));
      writer.Add(RoleOf(kRoleLoraA, target), layer, rank, InWidth(spec, target), 0, reach);
      writer.Add(RoleOf(kRoleLoraB, target), layer, OutWidth(spec, target), rank, 0,
                 0.5f / std::sqrt(static_cast<float>(rank))).scale = scale;
    }
  }
  return set;
}

// All spans of a set without a file: the engine makes their numbers (image_abi.h).
inline TensorSet WithoutFiles(ManifestBuilder builder, uint64_t seed, int32_t dtype) {
  for (SpanEntry& span : builder.spans) {
    span.file = kNoFile;
    span.offset = static_cast<int64_t>(seed);
    span.dtype = dtype;
    span.bytes = span.rows * span.cols * DTypeBytes(dtype);
  }
  return {.builder = std::move(builder), .data = {}};
}

inline TensorSet DummyModel(const ModelSpec& spec, uint64_t seed, int32_t dtype) {
  TensorSet set = WithoutFiles(ModelManifest(spec, ""), seed, dtype);
  for (int32_t i = 0; i < spec.rotary_dims / 2; ++i) {
    set.builder.inv_freq[i] = std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(spec.rotary_dims));
  }
  return set;
}

// The same rank for these targets of every layer; alpha is the rank.
inline TensorSet DummyAdapter(const ModelSpec& spec, uint64_t seed, int32_t rank, const std::vector<Target>& targets,
                              int32_t dtype = kBF16) {
  ManifestBuilder builder;
  builder.header.kind = kAdapterManifest;
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    for (Target target : targets) {
      builder.Span(RoleOf(kRoleLoraA, target), layer, rank, InWidth(spec, target), 0);
      builder.Span(RoleOf(kRoleLoraB, target), layer, OutWidth(spec, target), rank, 0);
    }
  }
  return WithoutFiles(std::move(builder), seed, dtype);
}

}  // namespace chorale::testing
