#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda/lab.h"
#include "kernels/kv_layout.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {
namespace {

void CheckEmbed(Lab& lab, Element element) {
  const int32_t vocab = 300, hidden = 192, rows = 9, pairs = 24;
  const std::vector<Half> table = lab.NormalHalves(element, int64_t{vocab} * hidden, 1.0);
  const std::vector<float> inv_freq = [&] {
    std::vector<float> f(pairs);
    for (int32_t i = 0; i < pairs; ++i) f[i] = static_cast<float>(std::pow(10000.0, -i / double(pairs)));
    return f;
  }();
  const std::vector<int32_t> ids = {5, -1, 7, -3, 299, 0, 1, -2, 8}, drawn = {44, 55, 66};
  const std::vector<int32_t> positions = {0, 1, 2, 100, 5000, 131071, 7, 8, 9};
  DeviceArray<Half> d_table(table);
  DeviceArray<float> d_freq(inv_freq), residual(int64_t{rows} * hidden);
  DeviceArray<int32_t> d_ids(ids), d_drawn(drawn), d_positions(positions);
  DeviceArray<float2> rotation(int64_t{rows} * pairs);
  EmbedArgs args;
  args.rows.token_ids = d_ids.data();
  args.rows.positions = d_positions.data();
  args.drawn = d_drawn.data();
  args.table = d_table.data();
  args.table_stride = hidden;
  args.residual = residual.data();
  args.hidden = hidden;
  args.inv_freq = d_freq.data();
  args.rope_magnitude = 1.25f;
  args.rotation = rotation.data();
  args.rotary_pairs = pairs;
  Embed(lab.launcher, element, rows, args);
  lab.Finish("embed");
  std::vector<double> want, want_rotation, got_rotation;
  for (int32_t row = 0; row < rows; ++row) {
    const int32_t id = ids[row] >= 0 ? ids[row] : drawn[-ids[row] - 1];
    for (int32_t i = 0; i < hidden; ++i) want.push_back(Widen(element, table[id * hidden + i]));
    for (int32_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(positions[row]) * inv_freq[i];
      want_rotation.push_back(1.25 * std::cos(static_cast<double>(angle)));
      want_rotation.push_back(1.25 * std::sin(static_cast<double>(angle)));
    }
  }
  for (const float2& pair : rotation.Download()) {
    got_rotation.push_back(pair.x);
    got_rotation.push_back(pair.y);
  }
  lab.Compare("embed", Widened(residual.Download()), want, 0);
  lab.Compare("embed rotation", got_rotation, want_rotation, 1e-6);
}

enum class Delta { kParts, kWhole, kHalves };  // the product as the engine's own kernel leaves it, or as a library does
void CheckAddNorm(Lab& lab, Element element, int32_t rows, int32_t hidden, bool with_bias, Delta kind = Delta::kParts) {
  RandomProduct delta(lab, rows, hidden, 4096, 132);
  if (kind != Delta::kParts) delta.product.units_per_tile = delta.product.units_per_block = 1;
  const std::vector<Half> halves = lab.NormalHalves(element, int64_t{rows} * hidden, 1.0);
  DeviceArray<Half> d_halves(halves);
  if (kind == Delta::kHalves) delta.product = {d_halves.data(), 0, hidden, 1, 1, true};
  const std::vector<float> residual = lab.NormalFloats(int64_t{rows} * hidden, 2.0);
  const std::vector<float> norm = lab.NormalFloats(hidden, 1.0), bias = lab.NormalFloats(hidden, 1.0);
  DeviceArray<float> d_residual(residual), d_norm(norm), d_bias(bias);
  DeviceArray<Half> out(int64_t{rows} * hidden);
  AddNormArgs args;
  args.residual = d_residual.data();
  args.delta = delta.product;
  args.delta_bias = with_bias ? d_bias.data() : nullptr;
  args.norm = d_norm.data();
  args.out = out.data();
  args.hidden = args.hidden_real = hidden;
  args.eps = 1e-5f;
  AddNorm(lab.launcher, element, rows, args);
  lab.Finish("add_norm");
  std::vector<double> sums, want;
  for (int32_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int32_t i = 0; i < hidden; ++i) {
      const double product = kind == Delta::kHalves ? Widen(element, halves[row * hidden + i])
                                                    : ProductValue(delta.product, delta.host, row, i);
      const double sum = residual[row * hidden + i] + product + (with_bias ? bias[i] : 0.0f);
      sums.push_back(sum);
      squares += sum * sum;
    }
    for (int32_t i = 0; i < hidden; ++i) {
      want.push_back(sums[row * hidden + i] / std::sqrt(squares / hidden + 1e-5) * norm[i]);
    }
  }
  const std::string name = "add_norm H=" + std::to_string(hidden);
  lab.Compare(name + " residual", Widened(d_residual.Download()), sums, 1e-6);
  lab.Compare(name, Widened(element, out.Download()), want, 3e-3);
}

struct QkvShape {
  int32_t heads, kv_heads, head_dim, page_tokens, rotary;
  bool bias, norm;
  int32_t rows = 7;
  bool whole = false;  // the product is one part
};

void CheckQkvPost(Lab& lab, Element element, const QkvShape& s) {
  const int32_t rows = s.rows, pages = rows / s.page_tokens + 4, pairs = s.rotary / 2;
  const int32_t width = (s.heads + 2 * s.kv_heads) * s.head_dim;
  RandomProduct qkv(lab, rows, (width + 7) / 8 * 8, 4096, 132);
  if (s.whole) qkv.product.units_per_tile = qkv.product.units_per_block = 1;
  const std::vector<float> bias = lab.NormalFloats(width, 1.0);
  const std::vector<float> q_norm = lab.NormalFloats(s.head_dim, 1.0), k_norm = lab.NormalFloats(s.head_dim, 1.0);
  const std::vector<float2> rotation = RandomRotation(lab, rows * pairs);
  // Two sequences, of which the second has 3 rows, with pages in no order.
  const int32_t t = s.page_tokens;
  std::vector<int32_t> order(pages), positions, row_pages;
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), lab.random);
  for (int32_t row = 0; row < rows; ++row) {
    const bool second = row >= rows - 3;
    positions.push_back(second ? row - (rows - 3) : t - 2 + row);
    row_pages.push_back(second ? order.back() : order[positions.back() / t]);
  }
  const int64_t slice = int64_t{2} * s.kv_heads * t * s.head_dim, page_elements = slice * 3;  // this is the middle layer
  DeviceArray<Half> pool(page_elements * pages), q(int64_t{rows} * s.heads * s.head_dim);
  DeviceArray<float> d_bias(bias), d_q_norm(q_norm), d_k_norm(k_norm);
  DeviceArray<float2> d_rotation(rotation);
  DeviceArray<int32_t> d_positions(positions), d_pages(row_pages);
  QkvPostArgs args;
  args.rows = {nullptr, d_positions.data(), d_pages.data()};
  args.qkv = qkv.product;
  args.bias = s.bias ? d_bias.data() : nullptr;
  args.q_norm = s.norm ? d_q_norm.data() : nullptr;
  args.k_norm = s.norm ? d_k_norm.data() : nullptr;
  args.eps = 1e-6f;
  args.rotation = d_rotation.data();
  args.rotary_pairs = pairs;
  args.q = q.data();
  args.heads = s.heads;
  args.kv = {reinterpret_cast<uint8_t*>(pool.data() + slice), page_elements * 2, t, s.kv_heads, s.head_dim};
  QkvPost(lab.launcher, element, rows, args);
  lab.Finish("qkv_post");
  const std::vector<Half> got_q = q.Download(), got_pool = pool.Download();
  std::vector<double> want, got;
  int64_t written = 0;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t head = 0; head < s.heads + 2 * s.kv_heads; ++head) {
      const bool is_q = head < s.heads, is_v = head >= s.heads + s.kv_heads;
      std::vector<double> x(s.head_dim), y(s.head_dim);
      double squares = 0;
      for (int32_t d = 0; d < s.head_dim; ++d) {
        const int32_t col = head * s.head_dim + d;
        x[d] = ProductValue(qkv.product, qkv.host, row, col) + (s.bias ? bias[col] : 0.0f);
        squares += x[d] * x[d];
      }
      for (int32_t d = 0; s.norm && !is_v && d < s.head_dim; ++d) {
        x[d] *= (is_q ? q_norm : k_norm)[d] / std::sqrt(squares / s.head_dim + 1e-6);
      }
      y = x;
      for (int32_t i = 0; !is_v && i < pairs; ++i) {
        const float2 angle = rotation[row * pairs + i];
        y[i] = x[i] * angle.x - x[i + pairs] * angle.y;
        y[i + pairs] = x[i + pairs] * angle.x + x[i] * angle.y;
      }
      for (int32_t d = 0; d < s.head_dim; ++d) {
        want.push_back(y[d]);
        if (is_q) {
          got.push_back(Widen(element, got_q[(row * s.heads + head) * s.head_dim + d]));
          continue;
        }
        const int32_t kv_head = head - s.heads - (is_v ? s.kv_heads : 0);
        const int64_t place = row_pages[row] * page_elements + slice + KvHeadOffset(args.kv, is_v, kv_head) +
                              KvOffsetInHead(args.kv, positions[row] % t, d);
        got.push_back(Widen(element, got_pool[place]));
        ++written;
      }
    }
  }
  int64_t touched = 0;
  for (Half bits : got_pool) touched += bits != 0xffff ? 1 : 0;
  const std::string name = "qkv_post heads " + std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " d " +
                           std::to_string(s.head_dim);
  lab.Compare(name, got, want, 3e-3);
  lab.Expect(name + " writes its own places only", touched == written);
}

void CheckSwiGlu(Lab& lab, Element element, int32_t rows, int32_t intermediate, bool with_bias) {
  RandomProduct gate_up(lab, rows, (2 * intermediate + 7) / 8 * 8, 4096, 132);
  const std::vector<float> bias = lab.NormalFloats(2 * intermediate, 1.0);
  DeviceArray<float> d_bias(bias);
  DeviceArray<Half> out(int64_t{rows} * intermediate);
  SwiGluArgs args{gate_up.product, with_bias ? d_bias.data() : nullptr, out.data(), intermediate, intermediate};
  SwiGlu(lab.launcher, element, rows, args);
  lab.Finish("swiglu");
  std::vector<double> want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t i = 0; i < intermediate; ++i) {
      const double g = ProductValue(gate_up.product, gate_up.host, row, i) + (with_bias ? bias[i] : 0.0f);
      const double u = ProductValue(gate_up.product, gate_up.host, row, intermediate + i) +
                       (with_bias ? bias[intermediate + i] : 0.0f);
      want.push_back(g / (1 + std::exp(-g)) * u);
    }
  }
  lab.Compare("swiglu I=" + std::to_string(intermediate), Widened(element, out.Download()), want, 3e-3);
}

// Of a 16-bit product, as a library leaves it.
void CheckSwiGluOfHalves(Lab& lab, Element element, int32_t rows, int32_t intermediate, bool with_bias) {
  const std::vector<Half> gate_up = lab.NormalHalves(element, int64_t{2} * rows * intermediate, 1.0);
  const std::vector<float> bias = lab.NormalFloats(2 * intermediate, 1.0);
  DeviceArray<Half> d_gate_up(gate_up), out(int64_t{rows} * intermediate);
  DeviceArray<float> d_bias(bias);
  SwiGlu(lab.launcher, element, rows,
         {{d_gate_up.data(), 0, 2 * intermediate, 1, 1, true}, with_bias ? d_bias.data() : nullptr, out.data(), intermediate, intermediate});
  lab.Finish("swiglu of 16 bits");
  std::vector<double> want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t i = 0; i < intermediate; ++i) {
      const auto at = [&](int32_t col) {
        return Widen(element, gate_up[int64_t{2} * row * intermediate + col]) + (with_bias ? bias[col] : 0.0f);
      };
      want.push_back(at(i) / (1 + std::exp(-at(i))) * at(intermediate + i));
    }
  }
  lab.Compare("swiglu of 16 bits I=" + std::to_string(intermediate), Widened(element, out.Download()), want, 3e-3);
}

}  // namespace

void CheckLayerOps(Lab& lab) {
  for (const Element element : {Element::kBf16, Element::kF16}) {
    CheckEmbed(lab, element);
    for (const int32_t hidden : {64, 192, 1000, 4096, 5120, 16384}) CheckAddNorm(lab, element, 3, hidden, hidden == 192);
    for (const Delta kind : {Delta::kWhole, Delta::kHalves}) {
      for (const int32_t hidden : {192, 1000, 4096, 16384}) CheckAddNorm(lab, element, 70, hidden, hidden == 192, kind);
    }
    CheckQkvPost(lab, element, {32, 8, 128, 16, 128, false, false});
    CheckQkvPost(lab, element, {14, 2, 64, 64, 64, true, false});
    CheckQkvPost(lab, element, {6, 2, 32, 64, 32, false, true});
    CheckQkvPost(lab, element, {4, 4, 80, 16, 40, true, true});
    CheckQkvPost(lab, element, {4, 2, 128, 32, 128, true, true});
    CheckQkvPost(lab, element, {3, 1, 5, 64, 4, true, true});
    CheckQkvPost(lab, element, {8, 4, 128, 16, 128, true, true, 70, true});
    CheckQkvPost(lab, element, {32, 8, 128, 16, 128, false, false, 129, true});
    CheckSwiGluOfHalves(lab, element, 7, 520, true);
    CheckSwiGluOfHalves(lab, element, 130, 1024, false);
    CheckSwiGlu(lab, element, 4, 43, true);
    CheckSwiGlu(lab, element, 3, 512, true);
    CheckSwiGlu(lab, element, 5, 14336, false);
  }
}

}  // namespace chorale::cuda
