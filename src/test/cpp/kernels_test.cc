// Every instruction set that this machine runs, against plain loops in double; and that a row's bits never depend on how
// many rows go with it.
#include "backend/cpu/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace chorale {
namespace {

std::vector<const CpuKernels*> Tables() {
  std::vector<const CpuKernels*> tables = {&kPortableKernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kAvx2Kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) tables.push_back(&kAvx512Kernels);
#endif
  return tables;
}

class KernelsTest : public ::testing::TestWithParam<const CpuKernels*> {
 protected:
  const CpuKernels& kernels() const { return *GetParam(); }
  std::vector<float> Random(int64_t count, float reach = 1) {
    std::uniform_real_distribution<float> uniform(-reach, reach);
    std::vector<float> values(count);
    for (float& value : values) value = uniform(random_);
    return values;
  }
  std::mt19937 random_{20261121};
};

double Tolerance(int64_t terms) { return 8 * std::sqrt(static_cast<double>(terms)) * std::numeric_limits<float>::epsilon(); }

TEST_P(KernelsTest, GemmOfAnyShape) {
  for (int64_t cols : {1, 7, 48, 192}) {
    for (int64_t panels : {1, 2, 5, 9}) {
      const std::vector<float> weights = Random(panels * cols * kPanelRows), bias = Random(panels * kPanelRows);
      const int64_t x_stride = cols + 3, y_stride = panels * kPanelRows + 32;
      const std::vector<float> x = Random(20 * x_stride);
      std::vector<std::vector<float>> alone;
      for (int64_t row = 0; row < 20; ++row) {
        std::vector<float> y(y_stride);
        kernels().gemm({x.data() + row * x_stride, x_stride, 1, weights.data(), panels, cols, bias.data(), y.data(), y_stride});
        alone.push_back(y);
        for (int64_t n = 0; n < panels * kPanelRows; ++n) {
          double sum = bias[n];
          for (int64_t k = 0; k < cols; ++k) {
            sum += static_cast<double>(x[row * x_stride + k]) *
                   weights[n / kPanelRows * cols * kPanelRows + k * kPanelRows + n % kPanelRows];
          }
          ASSERT_NEAR(y[n], sum, Tolerance(cols)) << "cols " << cols << ", row " << row << ", output " << n;
        }
      }
      for (int64_t rows = 2; rows <= 20; ++rows) {
        std::vector<float> y(rows * y_stride);
        kernels().gemm({x.data(), x_stride, rows, weights.data(), panels, cols, bias.data(), y.data(), y_stride});
        for (int64_t row = 0; row < rows; ++row) {
          ASSERT_EQ(std::memcmp(y.data() + row * y_stride, alone[row].data(), y_stride * sizeof(float)), 0)
              << rows << " rows, row " << row << ", " << panels << " panels of " << cols;
        }
      }
    }
  }
}

TEST_P(KernelsTest, AddNormOfAnyLength) {
  for (int64_t count = 1; count <= 70; ++count) {
    const std::vector<float> before = Random(count), delta = Random(count), weight = Random(count);
    for (const float* added : {delta.data(), static_cast<const float*>(nullptr)}) {
      std::vector<float> residual = before, out(count);
      kernels().add_norm(residual.data(), added, weight.data(), 1e-5f, count, out.data());
      double squares = 0;
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(residual[i], added == nullptr ? before[i] : before[i] + delta[i]);
        squares += static_cast<double>(residual[i]) * residual[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_NEAR(out[i], residual[i] / std::sqrt(squares / static_cast<double>(count) + 1e-5) * weight[i], 4e-6);
      }
    }
  }
}

TEST_P(KernelsTest, SwiGluOverTheWholeRange) {
  std::vector<float> gate;
  for (float x = -120; x <= 120; x += 0.173f) gate.push_back(x);
  gate.push_back(NAN);
  const auto count = static_cast<int64_t>(gate.size());
  const std::vector<float> up = Random(count, 3);
  std::vector<float> out(count);
  kernels().swiglu(gate.data(), up.data(), count, out.data());
  for (int64_t i = 0; i + 1 < count; ++i) {
    const double want = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
    ASSERT_NEAR(out[i], want, 1e-6 * std::abs(want) + 1e-33) << gate[i];
  }
  EXPECT_TRUE(std::isnan(out[count - 1]));  // poison must show
}

// What lies in a page before the first and behind the last key is NaN: it must not be looked at.
TEST_P(KernelsTest, AttentionOverAnyRange) {
  for (int32_t head_dim : {1, 5, 16, 20, 48, 128}) {
    for (int32_t heads : {1, 2, 3, 4, 7}) {
      for (int32_t page_tokens : {16, 32, 64}) {
        const int32_t pages = 3, tokens = pages * page_tokens;
        const int32_t begin = static_cast<int32_t>(random_() % page_tokens);
        const int32_t end = begin + 1 + static_cast<int32_t>(random_() % (tokens - begin));
        std::vector<std::vector<float>> slices(pages);
        std::vector<const float*> pointers;
        const int64_t half = int64_t{head_dim} * page_tokens;
        for (int32_t page = 0; page < pages; ++page) {
          slices[page] = Random(2 * half);
          for (int32_t token = 0; token < page_tokens; ++token) {
            const int32_t at = page * page_tokens + token;
            for (int32_t d = 0; (at < begin || at >= end) && d < head_dim; ++d) {
              slices[page][d * page_tokens + token] = slices[page][half + token * head_dim + d] = NAN;
            }
          }
          pointers.push_back(slices[page].data());
        }
        const std::vector<float> q = Random(heads * head_dim, 2);
        std::vector<float> out(heads * head_dim), scores(heads * (tokens + 64));
        kernels().attention({q.data(), out.data(), pointers.data(), 0, half, heads, head_dim, page_tokens, begin, end,
                             0.3f, scores.data(), tokens + 64});
        for (int32_t h = 0; h < heads; ++h) {
          std::vector<double> weights;
          double best = -INFINITY, total = 0;
          for (int32_t at = begin; at < end; ++at) {
            double dot = 0;
            for (int32_t d = 0; d < head_dim; ++d) {
              dot += static_cast<double>(q[h * head_dim + d]) * slices[at / page_tokens][d * page_tokens + at % page_tokens];
            }
            weights.push_back(dot * 0.3f);
            best = std::max(best, weights.back());
          }
          for (double& weight : weights) total += weight = std::exp(weight - best);
          for (int32_t d = 0; d < head_dim; ++d) {
            double sum = 0;
            for (int32_t at = begin; at < end; ++at) {
              sum += weights[at - begin] / total * slices[at / page_tokens][half + at % page_tokens * head_dim + d];
            }
            ASSERT_NEAR(out[h * head_dim + d], sum, 5e-6)
                << "head_dim " << head_dim << ", keys [" << begin << ", " << end << ") in pages of " << page_tokens;
          }
        }
      }
    }
  }
}

TEST_P(KernelsTest, ShrinkAndExpandOfAnyRank) {
  for (int32_t width : {16, 32, 64, 128}) {
    for (int32_t ranks : {1, 3, 4, 5, 16, 22}) {
      const std::vector<float> tile = Random(width * ranks), x = Random(8 * 128), v = Random(8 * 30);
      const TileRun run{tile.data(), width, ranks};
      for (int32_t rows = 1; rows <= 8; ++rows) {
        std::vector<float> shrunk(8 * 30, 0.5f), expanded(8 * 128, 0.25f);
        kernels().shrink(run, x.data(), 128, rows, shrunk.data(), 30);
        kernels().expand(run, v.data(), 30, rows, expanded.data());
        for (int32_t row = 0; row < rows; ++row) {
          std::vector<float> alone(30, 0.5f), alone_expanded(128, 0.25f);
          kernels().shrink(run, x.data() + row * 128, 128, 1, alone.data(), 30);
          kernels().expand(run, v.data() + row * 30, 30, 1, alone_expanded.data());
          ASSERT_EQ(std::memcmp(alone.data(), shrunk.data() + row * 30, ranks * sizeof(float)), 0);
          ASSERT_EQ(std::memcmp(alone_expanded.data(), expanded.data() + row * 128, width * sizeof(float)), 0);
          for (int32_t j = 0; j < ranks; ++j) {
            double sum = 0.5;
            for (int32_t i = 0; i < width; ++i) sum += static_cast<double>(x[row * 128 + i]) * tile[j * width + i];
            ASSERT_NEAR(alone[j], sum, Tolerance(width));
          }
          for (int32_t i = 0; i < width; ++i) {
            double sum = 0.25;
            for (int32_t j = 0; j < ranks; ++j) sum += static_cast<double>(v[row * 30 + j]) * tile[j * width + i];
            ASSERT_NEAR(alone_expanded[i], sum, Tolerance(ranks));
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelsTest, ::testing::ValuesIn(Tables()), [](const auto& info) {
  std::string name = info.param->name;
  name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
  return name;
});

}  // namespace
}  // namespace chorale
