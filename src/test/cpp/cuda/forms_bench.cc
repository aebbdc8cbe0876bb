// What the passes of adapters' forms take, in the Llama-3-8B shape in bf16.
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "cuda/lab.h"
#include "kernels/forms.h"
#include "kernels/probe.h"
#include "memory/page_layout.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kHidden = 4096, kWords = 128256, kLayers = 32, kRank = 16;
constexpr int32_t kOutputs[] = {4096, 1024, 1024};  // q, k and v

// An adapter with all forms, of NaN in pages that lie anywhere.
struct Placed {
  explicit Placed(Lab& lab) : geometry(PageGeometry::Of(kLayers, 8, 128, kBF16)), layout(Layout()) {
    std::vector<int32_t> order(static_cast<size_t>(layout.page_count()));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), lab.random);
    pool = std::make_unique<DeviceArray<uint8_t>>(layout.page_count() * geometry.page_bytes);
    pages = std::make_unique<DeviceArray<int32_t>>(order);
    std::vector<uint32_t> places;
    for (int32_t i = 0; i < kLayers * kTargets; ++i) {
      const LoraMatrices& m = layout.at(i / kTargets, i % kTargets);
      places.push_back(m.has_gain() ? static_cast<uint32_t>(m.gain.offset) : kNoGain);
    }
    gains = std::make_unique<DeviceArray<uint32_t>>(places);
    const auto matrix = [](const TiledRows& rows) -> OuterMatrix { return {rows.offset, rows.rank, rows.columns}; };
    const LoraMatrices& head = layout.outer(kOuterHead);
    use.pages = pages->data();
    use.outer_pages = pages->data() + layout.outer_page();
    use.gains = gains->data();
    use.head = {matrix(head.a), matrix(head.b), 1.0f};
    use.own_head = matrix(layout.own_head());
    uses = std::make_unique<DeviceArray<FormUse>>(std::vector<FormUse>{use});
  }

  AdapterLayout Layout() const {
    LinearShapes shapes{.layers = kLayers, .hidden = kHidden, .vocab = kWords, .head = kWords, .head_most = kWords};
    AdapterParts parts;
    parts.linears.resize(kLayers * kTargets);
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      for (int32_t t = kQ; t <= kV; ++t) parts.linears[layer * kTargets + t] = {kRank, 1.0f, true};
    }
    for (int32_t t = kQ; t <= kV; ++t) {
      shapes.in[t] = kHidden;
      shapes.out[t] = shapes.base_out[t] = kOutputs[t];
    }
    parts.outer[kOuterHead] = {kRank, 1.0f, false};
    parts.has_head = true;
    return AdapterLayout(shapes, geometry, parts);
  }

  const PageGeometry geometry;
  const AdapterLayout layout;
  std::unique_ptr<DeviceArray<uint8_t>> pool;
  std::unique_ptr<DeviceArray<int32_t>> pages;
  std::unique_ptr<DeviceArray<uint32_t>> gains;
  std::unique_ptr<DeviceArray<FormUse>> uses;
  FormUse use;
};

void BenchRows(Lab& lab, const Placed& placed, int32_t count) {
  DeviceArray<Half> x(lab.NormalHalves(Element::kBf16, int64_t{count} * kHidden, 1.0));
  DeviceArray<float> logits(int64_t{count} * kWords), v(int64_t{count} * kRank), product(int64_t{count} * 6144);
  std::vector<FormRow> rows;
  std::vector<OwnHeadGroup> groups;
  for (int32_t row = 0; row < count; ++row) {
    rows.push_back({row, 0, 1, row * kRank});
    if (row % kOwnHeadRows == 0) groups.emplace_back();
    groups.back().rows[groups.back().count++] = row;
  }
  DeviceArray<FormRow> d_rows(rows);
  DeviceArray<OwnHeadGroup> d_groups(groups);
  DeviceArray<int32_t> d_counts(std::vector<int32_t>{count, static_cast<int32_t>(groups.size())});
  const FormList<FormRow> list{d_rows.data(), d_counts.data(), count};
  const HeadArgs head{.outer = {placed.uses->data(), placed.pool->data(), placed.geometry.page_bytes},
                      .rows = list,
                      .groups = {d_groups.data(), d_counts.data() + 1, static_cast<int32_t>(groups.size())},
                      .x = x.data(),
                      .stride = kHidden,
                      .words = kWords,
                      .v = v.data(),
                      .logits = {logits.data(), int64_t{count} * kWords, kWords, 1, 1}};
  const double own = lab.Microseconds(2, [&] {
    for (int32_t i = 0; i < 2; ++i) OwnHead(lab.launcher, Element::kBf16, head);
  });
  const double lora = lab.Microseconds(20, [&] {
    for (int32_t i = 0; i < 20; ++i) AddHeadLora(lab.launcher, Element::kBf16, head);
  });
  GainArgs gains{.rows = list,
                 .uses = placed.uses->data(),
                 .pool = {placed.pool->data(), placed.geometry.page_bytes, static_cast<uint32_t>(placed.geometry.slice_bytes)},
                 .targets = 3,
                 .y = {product.data(), int64_t{count} * 6144, 6144, 1, 1}};
  std::copy(std::begin(kOutputs), std::end(kOutputs), gains.outputs);
  const double gain = lab.Microseconds(kLayers, [&] {
    for (gains.layer = 0; gains.layer < kLayers; ++gains.layer) MultiplyByGains(lab.launcher, Element::kBf16, gains);
  });
  const double bytes = 2.0 * kWords * kHidden * static_cast<double>(groups.size());
  std::printf("  %3d rows: own head %.0f us (%.2f TB/s), LoRA of the head, rank %d, %.1f us, gains of q, k and v %.2f us a layer\n",
              count, own, bytes / own * 1e-6, kRank, lora, gain);
}

void BenchNorms(Lab& lab) {
  constexpr int32_t kRows = 14336;
  DeviceArray<Half> weight(lab.NormalHalves(Element::kBf16, int64_t{kRows} * kHidden, 1.0));
  DeviceArray<double> squares(kRows);
  for (const int32_t rank : {16, 64}) {
    DeviceArray<float> a(lab.NormalFloats(int64_t{rank} * kHidden, 1.0)), b(lab.NormalFloats(int64_t{kRows} * rank, 1.0));
    const double us = lab.Microseconds(2, [&] {
      for (int32_t i = 0; i < 2; ++i) {
        RowSquares(lab.launcher, Element::kBf16,
                   {weight.data(), kHidden, kRows, kHidden, a.data(), b.data(), rank, 1.0f, squares.data()});
      }
    });
    std::printf("  norms of [%d, %d], rank %d: %.0f us (%.1f TFLOP/s in float64)\n", kRows, kHidden, rank, us,
                2.0 * rank * kRows * kHidden / us * 1e-6);
  }
}

}  // namespace

void BenchForms(Lab& lab) {
  {
    const Placed placed(lab);
    DeviceArray<uint32_t> sink(1);
    const double us = lab.Microseconds(1, [&] { ReadOnce(lab.launcher, placed.pool->data(), placed.pool->bytes(), sink.data()); });
    lab.read_bandwidth = static_cast<double>(placed.pool->bytes()) / us * 1e6;
    std::printf("forms of adapters, Llama-3-8B shape, bf16; read bandwidth %.3f TB/s\n", lab.read_bandwidth / 1e12);
    for (const int32_t rows : {1, 8, 32}) BenchRows(lab, placed, rows);
  }
  BenchNorms(lab);
}

}  // namespace chorale::cuda
