// The manifest: what a model or an adapter is, and where its tensors lie, after Java has parsed and checked the files.
//
// A manifest is one flat little-endian buffer:
//   ManifestHeader | ModelSpec (models only) | float inv_freq[rotary_dims/2] | int32 window[layers] |
//   FileEntry[file_count] | SpanEntry[span_count] | text bytes
// Offsets in the header are from the manifest's start, 8-byte aligned. `crc` is CRC-32C of all bytes of the manifest
// with the crc field itself zero.
//
// A span without a file (kNoFile) is a tensor that nobody has stored: a matrix of random numbers around zero, with a
// deviation of 1/sqrt(cols), so that what goes through it keeps its size; a vector of ones (norms) or zeros (biases). The
// numbers are a function of the span's seed, role and layer and of the place in the matrix (base/noise.h), the same on
// every backend; so one seed for all spans of a manifest is enough. They make models and adapters to measure with.
//
// A packed image is one file: PackHeader | PackEntry[count] | text bytes | manifests | data. Its manifests have spans in
// file 0 whose path is empty: the image itself; span offsets are from the start of the image file.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
namespace chorale {
#endif

enum : int32_t {
  kManifestMagic = 0x4e4d4843,  // "CHMN"
  kPackMagic = 0x4b504843,      // "CHPK"
  kManifestVersion = 1,
  kDataAlign = 64,  // alignment of tensors in a packed image
  kNoFile = -1,     // SpanEntry::file of a tensor of random numbers
};

enum ManifestKind : int32_t { kModelManifest = 1, kAdapterManifest = 2 };

struct ManifestHeader {
  int32_t magic;
  int32_t version;
  int64_t total_bytes;
  uint32_t crc;
  int32_t kind;             // ManifestKind
  int64_t spec_offset;      // ModelSpec; 0 for adapters
  int64_t inv_freq_offset;  // float[rotary_dims / 2]; 0 for adapters
  int64_t window_offset;    // int32[layers]; 0 for adapters
  int64_t files_offset;
  int64_t spans_offset;
  int64_t text_offset;
  int32_t file_count;
  int32_t span_count;
  int64_t text_bytes;
};

// Shapes: W of a linear is [out, in] row-major. Q out = heads * head_dim, K and V out = kv_heads * head_dim.
struct ModelSpec {
  int32_t layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max;
  int32_t rotary_dims;   // leading dims of each head that are rotated (half-split pairs: i and i + rotary_dims/2)
  int32_t tied;          // 1: the LM head is the embedding
  int32_t qk_norm;       // 1: RMS norm over head_dim on each q and k head before the rotation
  int32_t reserved;
  float rms_eps;
  float rope_magnitude;  // factor on cos and sin (1 unless a scaling says otherwise)
  float attention_scale; // factor on q.k, usually 1/sqrt(head_dim)
  float reserved2;
};

enum DType : int32_t { kF32 = 0, kF16 = 1, kBF16 = 2 };

// The seven linears that LoRA may target, then everything else. W and bias have their own roles.
enum Target : int32_t { kQ = 0, kK, kV, kO, kGate, kUp, kDown, kTargets };

enum Role : int32_t {
  kRoleEmbed = 0,     // [V, H]
  kRoleHead = 1,      // [V, H]      of an adapter: its own, instead of the base's
  kRoleFinalNorm = 2, // [H]
  kRoleAttnNorm = 3,  // [H]         per layer from here on
  kRoleMlpNorm = 4,   // [H]
  kRoleQNorm = 5,     // [head_dim]
  kRoleKNorm = 6,     // [head_dim]
  kRoleWeight = 16,   // + Target    [out, in]
  kRoleBias = 32,     // + Target    [out]
  kRoleLoraA = 48,    // + Target    [r, in]     adapters only
  kRoleLoraB = 64,    // + Target    [out, r]
  // DoRA: what is added to the weight is W' - W with W' = m * (W + scale * B A) / |W + scale * B A|, row by row.
  kRoleMagnitude = 80,  // + Target  [out]       m, beside A and B
  // Outside the layers. The embedding's A and B add scale * B A[:, token] to what is looked up.
  kRoleHeadA = 96,    // [r, H]
  kRoleHeadB = 97,    // [V, r]
  kRoleEmbedA = 98,   // [r, V]
  kRoleEmbedB = 99,   // [H, r]
};

struct FileEntry {
  int64_t path_offset;  // into text; UTF-8, absolute; empty: the packed image itself
  int64_t path_bytes;
  int64_t file_bytes;   // size that was verified; another size at mapping time is refused
};

struct SpanEntry {
  int32_t role;
  int32_t layer;   // -1: not of a layer
  int32_t dtype;
  int32_t file;    // or kNoFile
  int64_t offset;  // bytes from the file's start; kNoFile: the seed
  int64_t bytes;   // rows * cols * size of dtype
  int64_t rows;    // vectors: 1
  int64_t cols;
  float scale;     // a B only: alpha/r or alpha/sqrt(r) of this target in this layer; else 1
  uint32_t crc;    // CRC-32C of the bytes; 0: not recorded, as for kNoFile
};

struct PackHeader {
  int32_t magic;
  int32_t version;
  int64_t file_bytes;
  uint32_t crc;  // CRC-32C of header (this field zero), entries and text
  int32_t count;
  int64_t text_offset;
  int64_t text_bytes;
};

struct PackEntry {
  int32_t kind;  // ManifestKind; the model comes first
  int32_t reserved;
  int64_t name_offset;  // into text: the model's or adapter's name
  int64_t name_bytes;
  int64_t manifest_offset;
  int64_t manifest_bytes;
};

#ifdef __cplusplus
static_assert(sizeof(ManifestHeader) == 88 && sizeof(ModelSpec) == 64 && sizeof(FileEntry) == 24);
static_assert(sizeof(SpanEntry) == 56 && sizeof(PackHeader) == 40 && sizeof(PackEntry) == 40);
}  // namespace chorale
#endif
