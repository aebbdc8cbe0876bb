// Kernels of what adapters do beside A and B of linears.
#include <algorithm>
#include <numeric>

#include "cuda/lab.h"
#include "kernels/forms.h"
#include "lora/adapter_image.h"
#include "memory/page_layout.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kLayers = 2, kLayer = 1, kTokens = 16;

// Random numbers in a matrix of an image; returned as [rank][columns].
std::vector<double> Fill(Lab& lab, Element element, AdapterImage& image, int32_t layer, const TiledRows& rows, double middle,
                         double deviation) {
  std::vector<double> values(static_cast<size_t>(int64_t{rows.rank} * rows.columns));
  for (int32_t tile = 0; tile < rows.tiles(); ++tile) {
    for (int32_t j = 0; j < rows.rank; ++j) {
      auto* line = reinterpret_cast<Half*>(image.Row(layer, rows.row_offset(tile, j)));
      for (int32_t i = 0; i < rows.used(tile); ++i) {
        line[i] = Round(element, middle + lab.Normal(deviation));
        values[int64_t{j} * rows.columns + tile * kTileColumns + i] = Widen(element, line[i]);
      }
    }
  }
  return values;
}

OuterMatrix Outer(const TiledRows& rows) { return {rows.offset, rows.rank, rows.columns}; }

// An adapter with all forms, in pages anywhere in a pool that is NaN elsewhere.
struct Formed {
  Formed(Lab& lab, Element element_of_it, const LinearShapes& shapes, int32_t rank)
      : element(element_of_it), geometry(PageGeometry::Of(kLayers, 2, 16, element == Element::kBf16 ? kBF16 : kF16, kTokens)),
        image(Image(Layout(shapes, rank))) {
    const AdapterLayout& layout = *image.layout();
    for (int32_t i = 0; i < kLayers * kTargets; ++i) {
      const LoraMatrices& m = layout.at(i / kTargets, i % kTargets);
      gains.push_back(Fill(lab, element, image, i / kTargets, m.gain, 1.0, 0.5));
      gain_places.push_back(m.has_gain() ? static_cast<uint32_t>(m.gain.offset) : kNoGain);
    }
    embed_a = Fill(lab, element, image, kOuterLayer, layout.outer(kOuterEmbed).a, 0, 1);
    embed_b = Fill(lab, element, image, kOuterLayer, layout.outer(kOuterEmbed).b, 0, 1);
    head_a = Fill(lab, element, image, kOuterLayer, layout.outer(kOuterHead).a, 0, 0.1);
    head_b = Fill(lab, element, image, kOuterLayer, layout.outer(kOuterHead).b, 0, 1);
    own = Fill(lab, element, image, kOuterLayer, layout.own_head(), 0, 0.1);
    const int32_t count = layout.page_count(), room = 2 * count;
    std::vector<int32_t> order(static_cast<size_t>(room));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), lab.random);
    order.resize(static_cast<size_t>(count));
    std::vector<uint8_t> bytes(static_cast<size_t>(room * geometry.page_bytes), 0xff);
    for (int32_t i = 0; i < count; ++i) {
      std::copy_n(image.slice(i, 0), geometry.page_bytes, bytes.data() + order[i] * geometry.page_bytes);
    }
    pool = std::make_unique<DeviceArray<uint8_t>>(bytes);
    pages = std::make_unique<DeviceArray<int32_t>>(order);
    places = std::make_unique<DeviceArray<uint32_t>>(gain_places);
    const auto pair = [&](chorale::Outer which) -> OuterPair {
      const LoraMatrices& m = layout.outer(which);
      return {Outer(m.a), Outer(m.b), m.scale};
    };
    use = {pages->data(), pages->data() + layout.outer_page(), places->data(), pair(kOuterEmbed), pair(kOuterHead),
           Outer(layout.own_head()), 0.5f};
  }

  AdapterLayout Layout(const LinearShapes& shapes, int32_t rank) const {
    AdapterParts parts;
    for (int32_t i = 0; i < kLayers * kTargets; ++i) parts.linears.push_back({rank, 1.0f, i % 5 != 4});
    parts.outer[kOuterHead] = {rank, 1.5f, false};
    parts.outer[kOuterEmbed] = {rank, -0.75f, false};
    parts.has_head = true;
    return AdapterLayout(shapes, geometry, parts);
  }

  AdapterImage Image(AdapterLayout layout) const {
    const auto bytes = static_cast<size_t>(layout.page_count() * geometry.page_bytes);
    return {std::move(layout), geometry, StagingMemory(new uint8_t[bytes](), [](uint8_t* memory) { delete[] memory; })};
  }

  const Element element;
  const PageGeometry geometry;
  AdapterImage image;
  std::vector<std::vector<double>> gains;  // [layers * targets]
  std::vector<uint32_t> gain_places;
  std::vector<double> embed_a, embed_b, head_a, head_b, own;
  std::unique_ptr<DeviceArray<uint8_t>> pool;
  std::unique_ptr<DeviceArray<int32_t>> pages;
  std::unique_ptr<DeviceArray<uint32_t>> places;
  FormUse use;
};

template <typename Entry>
struct List {
  explicit List(const std::vector<Entry>& entries) : device(entries), count(std::vector<int32_t>{static_cast<int32_t>(entries.size())}) {}
  // Launched for more than there are, as recorded steps are.
  FormList<Entry> list() const { return {device.data(), count.data(), static_cast<int32_t>(device.size()) + 3}; }
  DeviceArray<Entry> device;
  DeviceArray<int32_t> count;
};

void CheckGains(Lab& lab, const Formed& adapter, const DeviceArray<FormUse>& uses, const LinearShapes& shapes, bool half) {
  constexpr int32_t kRows = 5, kFirst = kQ, kCount = 3;
  const int32_t cols = shapes.base_out[kQ] + shapes.base_out[kK] + shapes.base_out[kV];
  RandomProduct product(lab, kRows, cols, 640, 7);
  const std::vector<Half> halves = lab.NormalHalves(adapter.element, int64_t{kRows} * cols, 1.0);
  DeviceArray<Half> device_halves(halves);
  const List<FormRow> rows({{1, 0, 1, 0}, {4, 0, 1, 0}});
  GainArgs args{.rows = rows.list(),
                .uses = uses.data(),
                .pool = {adapter.pool->data(), adapter.geometry.page_bytes, static_cast<uint32_t>(adapter.geometry.slice_bytes)},
                .layer = kLayer,
                .targets = kCount,
                .first_target = kFirst,
                .y = half ? Product{device_halves.data(), 0, cols, 1, 1, true} : product.product};
  for (int32_t t = 0; t < kCount; ++t) args.outputs[t] = shapes.base_out[kFirst + t];
  MultiplyByGains(lab.launcher, adapter.element, args);
  lab.Finish("gains");
  const std::vector<float> floats = product.device.Download();
  const std::vector<Half> got_halves = device_halves.Download();
  std::vector<double> got, want;
  for (int32_t row = 0; row < kRows; ++row) {
    for (int32_t col = 0, t = 0, first = 0; col < cols; ++col) {
      if (col - first == args.outputs[t]) first += args.outputs[t++];
      const std::vector<double>& gains = adapter.gains[kLayer * kTargets + kFirst + t];
      const double gain = (row == 1 || row == 4) && !gains.empty() ? gains[col - first] : 1.0;
      got.push_back(half ? Widen(adapter.element, got_halves[row * cols + col]) : ProductValue(product.product, floats, row, col));
      want.push_back(gain * (half ? Widen(adapter.element, halves[row * cols + col])
                                  : ProductValue(product.product, product.host, row, col)));
    }
  }
  lab.Compare(half ? "gains of 16 bits" : "gains", got, want, half ? 3e-3 : 1e-6);
}

void CheckEmbed(Lab& lab, const Formed& adapter, const DeviceArray<FormUse>& uses, const LinearShapes& shapes) {
  constexpr int32_t kRows = 6;
  const int32_t hidden = (shapes.hidden + 7) / 8 * 8;
  const std::vector<float> before = lab.NormalFloats(int64_t{kRows} * hidden, 1.0);
  std::vector<int32_t> ids;
  for (int32_t row = 0; row < kRows; ++row) ids.push_back(lab.Uniform(0, shapes.vocab - 1));
  ids[2] = shapes.vocab - 1;
  const std::vector<int32_t> drawn = {7, ids[3]};
  std::vector<int32_t> fed = ids;
  fed[3] = -2;
  DeviceArray<float> residual(before);
  DeviceArray<int32_t> device_fed(fed), device_drawn(drawn);
  const List<FormRow> rows({{0, 0, 1, 0}, {2, 0, 2, 0}, {3, 1, 2, 0}});
  AddEmbedLora(lab.launcher, adapter.element,
               {.outer = {uses.data(), adapter.pool->data(), adapter.geometry.page_bytes},
                .rows = rows.list(),
                .token_ids = device_fed.data(),
                .drawn = device_drawn.data(),
                .residual = residual.data(),
                .hidden = hidden,
                .columns = shapes.hidden});
  lab.Finish("LoRA of the embedding");
  const double times[kRows] = {1, 0, 2, 1, 0, 0};
  const OuterPair& pair = adapter.use.embed;
  std::vector<double> want = Widened(before);
  for (int32_t row = 0; row < kRows; ++row) {
    for (int32_t col = 0; col < shapes.hidden; ++col) {
      double sum = 0;
      for (int32_t j = 0; j < pair.a.rank; ++j) {
        sum += adapter.embed_b[int64_t{j} * shapes.hidden + col] * adapter.embed_a[int64_t{j} * shapes.vocab + ids[row]];
      }
      want[row * hidden + col] += times[row] * pair.scale * adapter.use.scale * sum;
    }
  }
  lab.Compare("LoRA of the embedding", Widened(residual.Download()), want, 1e-6);
}

void CheckHead(Lab& lab, const Formed& adapter, const DeviceArray<FormUse>& uses, const LinearShapes& shapes) {
  constexpr int32_t kRows = 13;
  const int32_t stride = (shapes.hidden + 7) / 8 * 8, words = shapes.head;
  std::vector<Half> x = lab.NormalHalves(adapter.element, int64_t{kRows} * stride, 1.0);
  for (int32_t row = 0; row < kRows; ++row) std::fill(x.begin() + row * stride + shapes.hidden, x.begin() + (row + 1) * stride, 0);
  RandomProduct logits(lab, kRows, (words + 7) / 8 * 8, 640, 7);
  DeviceArray<Half> device_x(x);
  DeviceArray<float> v(int64_t{3} * adapter.use.head.a.rank);
  const List<FormRow> rows({{0, 0, 2, 0}, {12, 1, 2, 2 * adapter.use.head.a.rank}});
  const List<OwnHeadGroup> groups({{0, 8, {1, 2, 3, 4, 5, 6, 7, 8}}, {1, 2, {10, 12}}});
  const HeadArgs args{.outer = {uses.data(), adapter.pool->data(), adapter.geometry.page_bytes},
                      .rows = rows.list(),
                      .groups = groups.list(),
                      .x = device_x.data(),
                      .stride = stride,
                      .words = words,
                      .v = v.data(),
                      .logits = logits.product};
  OwnHead(lab.launcher, adapter.element, args);
  AddHeadLora(lab.launcher, adapter.element, args);
  lab.Finish("heads");
  const std::vector<float> floats = logits.device.Download();
  const auto times = [](int32_t row) { return row == 0 ? 2 : row == 12 ? 1 : 0; };
  const OuterPair& pair = adapter.use.head;
  std::vector<double> got, want;
  for (int32_t row = 0; row < kRows; ++row) {
    const auto dot = [&](const std::vector<double>& matrix, int64_t index) {
      double sum = 0;
      for (int32_t k = 0; k < shapes.hidden; ++k) sum += matrix[index * shapes.hidden + k] * Widen(adapter.element, x[row * stride + k]);
      return sum;
    };
    const bool own = (row >= 1 && row <= 8) || row == 10 || row == 12;
    std::vector<double> inner;
    for (int32_t j = 0; j < pair.a.rank; ++j) inner.push_back(dot(adapter.head_a, j));
    for (int32_t word = 0; word < words; ++word) {
      double sum = 0;
      for (int32_t j = 0; j < pair.a.rank; ++j) sum += adapter.head_b[int64_t{j} * words + word] * inner[j];
      got.push_back(ProductValue(logits.product, floats, row, word));
      want.push_back((own ? dot(adapter.own, word) : ProductValue(logits.product, logits.host, row, word)) +
                     times(row) * pair.scale * adapter.use.scale * sum);
    }
  }
  lab.Compare("heads", got, want, 2e-6);
}

void CheckRowSquares(Lab& lab, Element element, int32_t rows, int32_t cols, int32_t rank) {
  const int64_t stride = (cols + 7) / 8 * 8;
  const std::vector<Half> weight = lab.NormalHalves(element, rows * stride, 1.0);
  const std::vector<float> a = lab.NormalFloats(int64_t{rank} * cols, 0.5), b = lab.NormalFloats(int64_t{rows} * rank, 0.5);
  DeviceArray<Half> device_weight(weight);
  DeviceArray<float> device_a(a), device_b(b);
  DeviceArray<double> squares(rows);
  RowSquares(lab.launcher, element,
             {device_weight.data(), stride, rows, cols, device_a.data(), device_b.data(), rank, 1.25f, squares.data()});
  lab.Finish("norms");
  std::vector<double> want(static_cast<size_t>(rows), 0.0);
  for (int32_t n = 0; n < rows; ++n) {
    for (int32_t k = 0; k < cols; ++k) {
      double value = Widen(element, weight[n * stride + k]);
      for (int32_t j = 0; j < rank; ++j) value += 1.25 * b[int64_t{n} * rank + j] * a[int64_t{j} * cols + k];
      want[n] += value * value;
    }
  }
  lab.Compare("norms", squares.Download(), want, 1e-14);
}

}  // namespace

void CheckForms(Lab& lab) {
  for (const Element element : {Element::kBf16, Element::kF16}) {
    for (const int32_t hidden : {36, 256, 1000}) {
      LinearShapes shapes{.layers = kLayers, .hidden = hidden, .vocab = 333, .head = 333, .head_most = 333};
      for (int32_t t = 0; t < kTargets; ++t) shapes.in[t] = shapes.out[t] = shapes.base_out[t] = t == kQ ? 300 : 72;
      const Formed adapter(lab, element, shapes, hidden == 256 ? 70 : 3);
      const DeviceArray<FormUse> uses({adapter.use, adapter.use});
      for (const bool half : {false, true}) CheckGains(lab, adapter, uses, shapes, half);
      CheckEmbed(lab, adapter, uses, shapes);
      CheckHead(lab, adapter, uses, shapes);
      CheckRowSquares(lab, element, 75, hidden, 9);
    }
  }
}

}  // namespace chorale::cuda
