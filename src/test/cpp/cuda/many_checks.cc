// Products of many rows with what follows them, and their speed beside the library's.
#include <cmath>

#include "backend/cuda/cublaslt.h"
#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/gemm_many.h"
#include "kernels/random.h"

namespace chorale::cuda {
namespace {

// x [rows, inputs] and W [cols, inputs], and their product in float64.
struct ManyCase {
  ManyCase(Lab& lab, Element element, int32_t rows, int32_t cols, int32_t inputs)
      : stride((inputs + 7) / 8 * 8), weight(lab.NormalHalves(element, cols * stride, 0.05)),
        x(lab.NormalHalves(element, rows * stride, 1.0)) {
    const std::vector<double> wide_w = Widened(element, weight.Download()), wide_x = Widened(element, x.Download());
    for (int32_t row = 0; row < rows; ++row) {
      for (int32_t col = 0; col < cols; ++col) {
        double sum = 0;
        for (int32_t k = 0; k < inputs; ++k) sum += wide_x[row * stride + k] * wide_w[col * stride + k];
        product.push_back(sum);
      }
    }
    args.rows = rows;
    args.cols = cols;
    args.inputs = inputs;
    lab.Expect("maps", EncodeStreamMap(element, weight.data(), cols, inputs, stride, kProductTile, &args.weight) &&
                           EncodeStreamMap(element, x.data(), rows, inputs, stride, kProductTile, &args.x));
  }
  int64_t stride;
  DeviceArray<Half> weight, x;
  std::vector<double> product;
  GemmManyArgs args;
};

void CheckProducts(Lab& lab, Element element, int32_t rows, int32_t cols, int32_t inputs) {
  const ManyCase c(lab, element, rows, cols, inputs);
  const std::string name = "gemm_many M=" + std::to_string(rows) + " N=" + std::to_string(cols) + " K=" + std::to_string(inputs);
  DeviceArray<float> y(int64_t{rows} * cols);
  GemmMany(lab.launcher, element, c.args, {y.data(), 0, cols, 1, 1});
  lab.Finish(name.c_str());
  lab.Compare(name, Widened(y.Download()), c.product, 1e-5);
  if (cols % 8 != 0) return;
  DeviceArray<Half> half(int64_t{rows} * cols);
  GemmMany(lab.launcher, element, c.args, {half.data(), 0, cols, 1, 1, true});
  lab.Finish(name.c_str());
  lab.Compare(name + " of 16 bits", Widened(element, half.Download()), c.product, 3e-3);
}

void CheckSwiGlus(Lab& lab, Element element, int32_t rows, int32_t intermediate, int32_t inputs, bool with_bias) {
  const ManyCase c(lab, element, rows, 2 * intermediate, inputs);
  const std::vector<float> bias = lab.NormalFloats(2 * intermediate, 1.0);
  DeviceArray<float> d_bias(bias);
  DeviceArray<Half> out(int64_t{rows} * intermediate);
  GemmManySwiGlu(lab.launcher, element, c.args, {{}, with_bias ? d_bias.data() : nullptr, out.data(), intermediate, intermediate});
  lab.Finish("gemm_many swiglu");
  std::vector<double> want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t i = 0; i < intermediate; ++i) {
      const double* line = c.product.data() + int64_t{row} * 2 * intermediate;
      const double gate = line[i] + (with_bias ? bias[i] : 0), up = line[intermediate + i] + (with_bias ? bias[intermediate + i] : 0);
      want.push_back(gate / (1 + std::exp(-gate)) * up);
    }
  }
  lab.Compare("gemm_many swiglu I=" + std::to_string(intermediate), Widened(element, out.Download()), want, 3e-3);
}

// As QkvPost (layer_checks.cc) has it of the product in float32.
void CheckQkv(Lab& lab, Element element, int32_t rows, int32_t heads, int32_t kv_heads, int32_t page_tokens, bool bias, bool norm) {
  constexpr int32_t kDims = 128, kInputs = 256;
  const int32_t cols = (heads + 2 * kv_heads) * kDims, pages = (rows + page_tokens - 1) / page_tokens;
  const ManyCase c(lab, element, rows, cols, kInputs);
  DeviceArray<float> product(int64_t{rows} * cols), d_bias(lab.NormalFloats(cols, 1.0));
  DeviceArray<float> q_norm(lab.NormalFloats(kDims, 1.0)), k_norm(lab.NormalFloats(kDims, 1.0));
  const RandomRows random(lab, rows, kDims / 2, page_tokens);
  const int64_t page_elements = int64_t{2} * kv_heads * page_tokens * kDims;
  const auto run = [&](bool fused) {
    DeviceArray<Half> q(int64_t{rows} * heads * kDims), pool(pages * page_elements);
    QkvPostArgs args;
    args.rows = {nullptr, random.device_positions.data(), random.device_row_pages.data()};
    args.bias = bias ? d_bias.data() : nullptr;
    args.q_norm = norm ? q_norm.data() : nullptr;
    args.k_norm = norm ? k_norm.data() : nullptr;
    args.eps = 1e-6f;
    args.rotation = random.device_rotation.data();
    args.rotary_pairs = kDims / 2;
    args.q = q.data();
    args.heads = heads;
    args.kv = {reinterpret_cast<uint8_t*>(pool.data()), page_elements * 2, page_tokens, kv_heads, kDims};
    if (fused) {
      lab.Expect("q, k and v of this shape", CanGemmManyQkv(args.kv.head_dim, args.rotary_pairs));
      GemmManyQkv(lab.launcher, element, c.args, args);
    } else {
      args.qkv = {product.data(), 0, cols, 1, 1};
      GemmMany(lab.launcher, element, c.args, args.qkv);
      QkvPost(lab.launcher, element, rows, args);
    }
    lab.Finish("gemm_many qkv");
    std::vector<Half> all = q.Download();
    for (const Half bits : pool.Download()) all.push_back(bits == 0xffff ? Round(element, 0.0) : bits);  // not written
    return Widened(element, all);
  };
  lab.Compare("gemm_many qkv of " + std::to_string(heads) + " heads", run(true), run(false), 1e-3);
}

}  // namespace

void CheckMany(Lab& lab) {
  if (lab.launcher.sm_major != 9) return;
  for (const Element element : {Element::kBf16, Element::kF16}) {
    CheckProducts(lab, element, 129, 256, 64);
    CheckProducts(lab, element, 256, 512, 512);
    CheckProducts(lab, element, 300, 392, 200);
    CheckProducts(lab, element, 700, 1000, 1032);
    CheckProducts(lab, element, 2200, 130, 72);
    CheckSwiGlus(lab, element, 300, 256, 320, true);
    CheckSwiGlus(lab, element, 520, 200, 128, false);
    CheckQkv(lab, element, 300, 8, 2, 16, false, false);
    CheckQkv(lab, element, 140, 3, 1, 32, true, true);
  }
}

void BenchMany(Lab& lab) {
  std::string reason;
  const std::unique_ptr<CublasLt> lt = CublasLt::Load(&reason);
  if (lt == nullptr || lab.launcher.sm_major != 9) return;
  std::printf("\nproducts of many rows, TFLOP/s, three times: library | own with 16-bit output, of gate and up with SwiGLU\n");
  constexpr int32_t kRowsMost = 4096;
  DeviceArray<uint8_t> weights(int64_t{1} << 29), x(int64_t{kRowsMost} * 14336 * 2), y(int64_t{kRowsMost} * 28672 * 2);
  FillNormal(lab.launcher, Element::kBf16, weights.data(), weights.size() / 2, 2, 0.02f);
  FillNormal(lab.launcher, Element::kBf16, x.data(), x.size() / 2, 3, 1.0f);
  const struct {
    const char* name;
    int32_t cols, inputs;
    bool swiglu;
  } products[] = {{"L3 qkv", 6144, 4096, false},   {"L3 o", 4096, 4096, false},   {"L3 gate+up", 28672, 4096, true},
                  {"L3 down", 4096, 14336, false}, {"L2 qkv", 12288, 4096, false}, {"L2 gate+up", 22016, 4096, true},
                  {"L2 down", 4096, 11008, false}};
  for (const auto& [name, cols, inputs, swiglu] : products) {
    std::printf("  %-10s", name);
    for (const int32_t rows : {1024, 2048, kRowsMost}) {
      std::printf(" M=%d", rows);
      GemmManyArgs args{.rows = rows, .cols = cols, .inputs = inputs};
      CUtensorMap maps[2];  // two weights in turn, which L2 cannot hold
      const int64_t weight_bytes = int64_t{2} * cols * inputs;
      for (int32_t i = 0; i < 2; ++i) {
        lab.Expect("maps", EncodeStreamMap(Element::kBf16, weights.data() + i * weight_bytes, cols, inputs, inputs, kProductTile, &maps[i]));
      }
      lab.Expect("maps", EncodeStreamMap(Element::kBf16, x.data(), rows, inputs, inputs, kProductTile, &args.x));
      const auto library = [&, cols = cols, inputs = inputs](int32_t i) {
        lt->Gemm(lab.launcher, Element::kBf16,
                 {.weight = weights.data() + i % 2 * weight_bytes, .weight_stride = inputs, .x = x.data(), .x_stride = inputs,
                  .y = y.data(), .half = true, .rows = rows, .cols = cols, .inputs = inputs});
      };
      const auto own = [&, cols = cols, swiglu = swiglu](int32_t i) {
        args.weight = maps[i % 2];
        if (swiglu) {
          GemmManySwiGlu(lab.launcher, Element::kBf16, args, {{}, nullptr, y.data(), cols / 2, cols / 2});
        } else {
          GemmMany(lab.launcher, Element::kBf16, args, {y.data(), 0, cols, 1, 1, true});
        }
      };
      const auto rate = [&, cols = cols, inputs = inputs](const auto& launch) {
        constexpr int32_t kCount = 8;
        const double us = lab.Microseconds(kCount, [&] {
          for (int32_t i = 0; i < kCount; ++i) launch(i);
        });
        return 2.0 * rows * cols * inputs / us / 1e6;
      };
      for (int32_t turn = 0; turn < 3; ++turn) {  // in turn, as the clock follows the power that is drawn
        const double by_library = rate(library), by_own = rate(own);
        std::printf("%s %.0f|%.0f", turn == 0 ? "" : ",", by_library, by_own);
      }
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace chorale::cuda
