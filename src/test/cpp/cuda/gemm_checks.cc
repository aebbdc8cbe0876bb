#include "cuda/lab.h"
#include "kernels/gemm.h"

namespace chorale::cuda {
namespace {

void CheckShape(Lab& lab, Element element, int32_t rows, int32_t cols, int32_t inputs, bool stream) {
  const int64_t stride = (inputs + 7) / 8 * 8;
  const std::vector<Half> weight = lab.NormalHalves(element, cols * stride, 0.05);
  const std::vector<Half> x = lab.NormalHalves(element, rows * stride, 1.0);
  DeviceArray<Half> d_weight(weight), d_x(x);
  const ProductPlan plan = PlanProduct(cols, inputs, lab.launcher.sm_count);
  const int64_t partial = static_cast<int64_t>(rows) * cols;
  DeviceArray<float> y(plan.partials_max * partial);
  const Product product{y.data(), partial, cols, plan.units_per_tile, plan.units_per_block};
  const std::string name = std::string(stream ? "gemm_stream" : "gemm_tile") + " M=" + std::to_string(rows) +
                           " N=" + std::to_string(cols) + " K=" + std::to_string(inputs);
  lab.Expect(name + " partials", plan.partials_max <= kProductPartialsMax && plan.blocks <= lab.launcher.sm_count);
  if (stream) {
    GemmStreamArgs args;
    const bool encoded =
        EncodeStreamMap(element, d_weight.data(), cols, inputs, stride, kProductTile, &args.weight) &&
        EncodeStreamMap(element, d_x.data(), rows, inputs, stride, StreamBox(rows), &args.x);
    lab.Expect(name + " maps", encoded);
    args.y = product;
    args.rows = rows;
    GemmStream(lab.launcher, element, plan, args);
  } else {
    GemmTileArgs args;
    args.weight = d_weight.data();
    args.x = d_x.data();
    args.weight_stride = args.x_stride = stride;
    args.inputs = static_cast<int32_t>(stride);
    args.y = product;
    args.rows = rows;
    GemmTile(lab.launcher, element, plan, args);
  }
  lab.Finish(name.c_str());
  const std::vector<float> got_partials = y.Download();
  const std::vector<double> wide_w = Widened(element, weight), wide_x = Widened(element, x);
  std::vector<double> got, want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t col = 0; col < cols; ++col) {
      double sum = 0;
      for (int32_t k = 0; k < inputs; ++k) sum += wide_x[row * stride + k] * wide_w[col * stride + k];
      want.push_back(sum);
      got.push_back(ProductValue(product, got_partials, row, col));
    }
  }
  lab.Compare(name, got, want, 1e-5);
}

}  // namespace

void CheckGemm(Lab& lab) {
  const int32_t shapes[][3] = {{1, 128, 64},    {1, 640, 4096},  {5, 192, 192},   {16, 1000, 1024}, {17, 384, 200},
                               {32, 136, 8},    {33, 256, 2048}, {64, 1152, 320}, {65, 128, 4096},  {100, 520, 1000},
                               {128, 4096, 256}, {97, 1400, 4096}};
  for (const Element element : {Element::kBf16, Element::kF16}) {
    for (const auto& [rows, cols, inputs] : shapes) {
      if (lab.launcher.sm_major == 9) CheckShape(lab, element, rows, cols, inputs, true);
      CheckShape(lab, element, rows, cols, inputs, false);
    }
    CheckShape(lab, element, 300, 264, 520, false);
  }
}

}  // namespace chorale::cuda
