// The inner loops of the fast path, compiled once for each instruction set (kernels.inc) and chosen when it starts.
//
// Every output element has its own sum in its own fixed order, whatever the number of rows, so a row's bits do not
// depend on the batch. They do depend on the instruction set: vector width decides how dot products are split.
#pragma once

#include <cstdint>

namespace chorale {

inline constexpr int32_t kPanelRows = 32;  // outputs of a weight panel: [cols][32] floats

// y[row][32 p + i] = sum over k of x[row][k] * panel p[k][i], k ascending, + bias[32 p + i]
struct GemmTask {
  const float* x;  // rows x_stride apart
  int64_t x_stride;
  int64_t rows;
  const float* panels;  // cols * 32 floats each
  int64_t panel_count;
  int64_t cols;
  const float* bias;  // or null
  float* y;
  int64_t y_stride;
};

// One row and the query heads that share one key/value head.
struct AttentionTask {
  const float* q;              // [heads][head_dim]
  float* out;                  // [heads][head_dim]
  const float* const* slices;  // slice of each page, from that of the first key on
  int64_t key_offset;          // of this key/value head in a slice (page_layout.h), in floats
  int64_t value_offset;
  int32_t heads;
  int32_t head_dim;
  int32_t page_tokens;
  int32_t begin;  // keys [begin, end), counted from the first token of slices[0]
  int32_t end;
  float scale;
  float* scores;  // [heads][score_stride], scratch; score_stride >= end rounded up to a page
  int64_t score_stride;
};

// Rank rows of one tile that lie one after another (page_layout.h).
struct TileRun {
  const float* rows;  // [count][width]
  int32_t width;      // 16, 32, 64 or 128
  int32_t count;
};

struct CpuKernels {
  const char* name;
  void (*gemm)(const GemmTask& task);
  // residual += delta (if not null); out = residual / rms(residual) * weight
  void (*add_norm)(float* residual, const float* delta, const float* weight, float eps, int64_t count, float* out);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* out);
  void (*attention)(const AttentionTask& task);
  // v[row][j] += x[row] . run[j], for rows <= 8
  void (*shrink)(const TileRun& run, const float* x, int64_t x_stride, int32_t rows, float* v, int64_t v_stride);
  // sums[row][i] += sum over j of v[row][j] * run[j][i], j ascending; a row of sums has 128 floats
  void (*expand)(const TileRun& run, const float* v, int64_t v_stride, int32_t rows, float* sums);
  // deltas[i] += sum over j of b[j] * run[j][i], in double, j ascending
  void (*outer)(const TileRun& run, const float* b, double* deltas);
};

extern const CpuKernels kPortableKernels;
#if defined(__x86_64__)
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

// The best that this processor runs.
const CpuKernels& ChooseKernels();

}  // namespace chorale
