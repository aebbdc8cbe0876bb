#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "cuda/lab.h"
#include "kernels/gemm.h"
#include "kernels/gemm_many.h"
#include "kernels/kv_layout.cuh"
#include "kernels/layer_ops.h"
#include "kernels/lora.h"
#include "kernels/random.h"
#include "memory/page_layout.h"
#include "model/site.h"

namespace chorale::cuda {
namespace {

struct Shape {
  int32_t kv_heads, head_dim;  // of the page geometry
  int32_t site, first_target, targets, inputs;
  int32_t outputs[kLoraSiteTargets];
};

// SwiGlu of a 16-bit product of many rows, against its definition; `lora_part` is B v in float64.
void CheckSwiGluMany(Lab& lab, Element element, int32_t rows, int32_t cols, const LoraSiteArgs& lora,
                     const std::vector<double>& lora_part) {
  const std::vector<Half> product = lab.NormalHalves(element, int64_t{rows} * cols, 1.0);
  const std::vector<float> bias = lab.NormalFloats(cols, 1.0);
  DeviceArray<Half> d_product(product), out(int64_t{rows} * cols / 2);
  DeviceArray<float> d_bias(bias);
  SwiGluLora(lab.launcher, element, {{d_product.data(), 0, cols, 1, 1, true}, d_bias.data(), out.data(), cols / 2, cols / 2}, 3,
             lora);
  lab.Finish("swiglu of many rows");
  std::vector<double> want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t i = 0; i < cols / 2; ++i) {
      const auto at = [&](int32_t col) {
        return Widen(element, product[int64_t{row} * cols + col]) + lora_part[int64_t{row} * cols + col] + bias[col];
      };
      const double gate = at(i);
      want.push_back(gate / (1 + std::exp(-gate)) * at(cols / 2 + i));
    }
  }
  lab.Compare("swiglu of many rows with LoRA", Widened(element, out.Download()), want, 3e-3);
}

// QkvPost of a whole product of many rows, against its definition, as far as it goes to q and to the pages.
void CheckQkvPostMany(Lab& lab, Element element, int32_t rows, const Shape& s, const LoraSiteArgs& lora,
                      const std::vector<double>& lora_part) {
  constexpr int32_t kTokens = 16;
  const int32_t dims = s.head_dim, pairs = dims / 2, heads = s.outputs[0] / dims, pages = (rows + kTokens - 1) / kTokens;
  const int32_t cols = s.outputs[0] + s.outputs[1] + s.outputs[2];
  const std::vector<float> product = lab.NormalFloats(int64_t{rows} * cols, 1.0), bias = lab.NormalFloats(cols, 1.0);
  const RandomRows random(lab, rows, pairs, kTokens);
  const int64_t page_elements = int64_t{2} * s.kv_heads * kTokens * dims;
  DeviceArray<float> d_product(product), d_bias(bias);
  DeviceArray<Half> q(int64_t{rows} * s.outputs[0]), pool(pages * page_elements);
  QkvPostArgs args;
  args.rows = {nullptr, random.device_positions.data(), random.device_row_pages.data()};
  args.qkv = {d_product.data(), 0, cols, 1, 1};
  args.bias = d_bias.data();
  args.rotation = random.device_rotation.data();
  args.rotary_pairs = pairs;
  args.q = q.data();
  args.heads = heads;
  args.kv = {reinterpret_cast<uint8_t*>(pool.data()), page_elements * 2, kTokens, s.kv_heads, dims};
  lab.Expect("qkv_post of many rows with LoRA is for this shape", CanQkvPostLora(args));
  QkvPostLora(lab.launcher, element, args, 3, lora);
  lab.Finish("qkv_post of many rows");
  const std::vector<Half> got_q = q.Download(), got_pool = pool.Download();
  std::vector<double> got, want;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t head = 0; head < heads + 2 * s.kv_heads; ++head) {
      const bool is_q = head < heads, is_v = head >= heads + s.kv_heads;
      const auto at = [&](int32_t d) {
        const int64_t place = int64_t{row} * cols + head * dims + d;
        return product[place] + lora_part[place] + bias[head * dims + d];
      };
      for (int32_t d = 0; d < dims; ++d) {
        const float2 angle = random.rotation[row * pairs + d % pairs];
        want.push_back(is_v ? at(d) : d < pairs ? at(d) * angle.x - at(d + pairs) * angle.y : at(d) * angle.x + at(d - pairs) * angle.y);
        const int32_t kv_head = head - heads - (is_v ? s.kv_heads : 0);
        got.push_back(Widen(element, is_q ? got_q[(int64_t{row} * heads + head) * dims + d]
                                          : got_pool[random.row_pages[row] * page_elements + KvHeadOffset(args.kv, is_v, kv_head) +
                                                     KvOffsetInHead(args.kv, row % kTokens, d)]));
      }
    }
  }
  lab.Compare("qkv_post of many rows with LoRA", got, want, 3e-3);
}

// The first two launches of a step with adapters; one row of eight columns is embedded.
class StepBeginning {
 public:
  explicit StepBeginning(Element element) : element_(element) {
    args_.rows = {zeros_.data(), zeros_.data(), nullptr};
    args_.table = zeros_.data();
    args_.table_stride = args_.hidden = 8;
    args_.residual = residual_.data();
    args_.beside_plan = true;
  }
  void Launch(Launcher& launcher, const LoraPlanArgs& plan) const {
    LoraPlan(launcher, plan);
    Embed(launcher, element_, 1, args_);
  }

 private:
  const Element element_;
  const DeviceArray<int32_t> zeros_{std::vector<int32_t>(4)};
  const DeviceArray<float> residual_{8};
  EmbedArgs args_;
};

// Whether v of a site, zero before, is empty where rows use it, if it is polled, and has not changed elsewhere.
bool IsEmptied(const LoraTables& tables, int32_t site, int32_t rows) {
  const auto download = [](auto* target, const auto* source, size_t count) {
    Must(cudaMemcpy(target, source, count * sizeof(*target), cudaMemcpyDeviceToHost), "download");
  };
  LoraCounts counts;
  LoraDivision division;
  std::vector<uint8_t> got(tables.sum_bytes), want(tables.sum_bytes);
  download(&counts, tables.counts + site, 1);
  download(&division, tables.divisions + int64_t{site} * tables.blocks, 1);
  download(got.data(), tables.sums + site % kLoraSumSites * tables.sum_bytes, got.size());
  const int32_t octets = counts.ends[3], box_rows = StreamBox(rows), pieces = std::max(1, division.splits);
  for (int32_t octet = 0; octet < octets && (division.splits > 0 || PollsSums(octets, box_rows)); ++octet) {
    LoraOctet own;
    download(&own, tables.octets + int64_t{octet} * tables.sites + site, 1);
    for (int32_t row = 0; row < rows; ++row) {
      if (HasRow(own.rows, row)) std::fill_n(want.begin() + int64_t{4} * pieces * LoraSumWord(octet, row, box_rows), 16 * pieces, uint8_t{0xff});
    }
  }
  return got == want;
}

struct Repeats {
  int32_t times = 1;       // all groups
  int32_t neighbours = 1;  // the largest group, with the same use
  int32_t splits = -1;     // that v in patches has, on 132 multiprocessors; negative: any
};
// Adapters of random ranks in random pages of a pool that is NaN elsewhere; groups of rows with none, one or two of them.
void CheckSite(Lab& lab, Element element, const Shape& s, const std::vector<int32_t>& rank_choices, int32_t group_rows,
               const Repeats& repeats = {}) {
  constexpr int32_t kLayers = 3, kLayer = 1, kAdapters = 5;
  const PageGeometry geometry =
      PageGeometry::Of(kLayers, s.kv_heads, s.head_dim, element == Element::kBf16 ? kBF16 : kF16);
  LinearShapes shapes{.layers = kLayers};
  std::fill_n(shapes.in, kTargets, 64);
  std::fill_n(shapes.out, kTargets, 64);
  int32_t cols = 0;
  for (int32_t t = 0; t < s.targets; ++t) {
    shapes.in[s.first_target + t] = s.inputs;
    shapes.out[s.first_target + t] = s.outputs[t];
    cols += s.outputs[t];
  }
  struct Adapter {
    AdapterLayout layout;
    std::vector<int32_t> pages;
    std::vector<std::vector<Half>> a, b;  // of each target of the site: [rank][columns]
  };
  std::vector<Adapter> adapters;
  int32_t page_total = 0;
  for (int32_t i = 0; i < kAdapters; ++i) {
    std::vector<int32_t> ranks(kLayers * kTargets);
    std::vector<float> scales(ranks.size());
    for (int32_t& rank : ranks) rank = rank_choices[lab.Uniform(0, static_cast<int32_t>(rank_choices.size()) - 1)];
    for (float& scale : scales) scale = 0.25f * static_cast<float>(lab.Uniform(1, 8));
    adapters.push_back({AdapterLayout(shapes, geometry, ranks, scales), {}, {}, {}});
    page_total += adapters.back().layout.page_count();
  }
  std::vector<int32_t> order(page_total);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), lab.random);
  std::vector<uint8_t> pool(static_cast<size_t>(page_total * geometry.page_bytes), 0xff);
  std::vector<int32_t> all_pages;
  std::vector<LoraMatrix> matrices;
  for (Adapter& adapter : adapters) {
    adapter.pages.assign(order.end() - adapter.layout.page_count(), order.end());
    order.resize(order.size() - adapter.layout.page_count());
    all_pages.insert(all_pages.end(), adapter.pages.begin(), adapter.pages.end());
    for (int32_t i = 0; i < kLayers * kTargets; ++i) {
      const LoraMatrices& m = adapter.layout.at(i / kTargets, i % kTargets);
      matrices.push_back({static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale});
    }
    for (int32_t t = 0; t < s.targets; ++t) {
      const LoraMatrices& m = adapter.layout.at(kLayer, s.first_target + t);
      for (const bool is_a : {true, false}) {
        const TiledRows& rows = is_a ? m.a : m.b;
        const int32_t columns = is_a ? s.inputs : s.outputs[t];
        std::vector<Half> values(static_cast<size_t>(rows.rank) * columns);
        for (int32_t j = 0; j < rows.rank; ++j) {
          for (int32_t tile = 0; tile < rows.tiles(); ++tile) {
            std::vector<Half> line(rows.width(tile), 0);
            for (int32_t i = 0; i < rows.used(tile); ++i) {
              line[i] = values[static_cast<size_t>(j) * columns + tile * kTileColumns + i] =
                  Round(element, lab.Normal(is_a ? 0.05 : 1.0));
            }
            const int64_t offset = rows.row_offset(tile, j);
            const int32_t page = adapter.pages[offset / geometry.slice_bytes];
            std::memcpy(pool.data() + page * geometry.page_bytes + kLayer * geometry.slice_bytes +
                            offset % geometry.slice_bytes,
                        line.data(), line.size() * sizeof(Half));
          }
        }
        (is_a ? adapter.a : adapter.b).push_back(std::move(values));
      }
    }
  }

  // Groups: 3 rows of adapter 0, 8 or 150 of adapter 1, 2 rows with none between, 5 of adapters 2 and 3, 1 of adapter 4.
  std::vector<std::vector<int32_t>> users;
  std::vector<int32_t> counts;
  for (int32_t i = 0; i < repeats.times; ++i) {
    users.push_back({0});
    counts.push_back(3);
    users.insert(users.end(), repeats.neighbours, {1});
    counts.insert(counts.end(), repeats.neighbours, group_rows == kLoraGroupRows ? kLoraGroupRows : 150);
    users.insert(users.end(), {{}, {2, 3}, {4}});
    counts.insert(counts.end(), {2, 5, 1});
  }
  DeviceArray<uint8_t> d_pool(pool);
  DeviceArray<int32_t> d_pages(all_pages);
  DeviceArray<LoraMatrix> d_matrices(matrices);
  std::vector<LoraUse> uses;
  std::vector<LoraGroup> groups;
  std::vector<float> use_scales;
  int32_t row = 0, v_floats = 0;
  for (size_t i = 0; i < users.size(); ++i) {
    const bool as_before = i > 0 && !users[i].empty() && users[i] == users[i - 1];  // the same use
    LoraGroup group{row, counts[i], as_before ? groups.back().use_begin : static_cast<int32_t>(uses.size()), 0, v_floats, 0};
    if (as_before) group.v_cols = groups.back().v_cols;
    for (const int32_t a : as_before ? std::vector<int32_t>() : users[i]) {
      int64_t first_page = 0;
      for (int32_t other = 0; other < a; ++other) first_page += adapters[other].layout.page_count();
      use_scales.push_back(a == 3 ? -0.5f : 1.0f);
      uses.push_back({d_matrices.data() + a * kLayers * kTargets, d_pages.data() + first_page, use_scales.back(), 0});
      int32_t most = 0;
      for (int32_t i = 0; i < kLayers * kSites; ++i) {
        const SiteTargets& site = kSiteTargets[i % kSites];
        int32_t columns = 0;
        for (int32_t t = 0; t < site.count; ++t) columns += LoraColumns(adapters[a].layout.at(i / kSites, site.first + t).rank());
        most = std::max(most, columns);
      }
      group.v_cols += most;
    }
    row += counts[i];
    group.use_end = static_cast<int32_t>(uses.size());
    v_floats += static_cast<int32_t>(LoraActivationFloats(group.v_cols));
    groups.push_back(group);
  }
  const int32_t rows = row, stride = (s.inputs + 7) / 8 * 8;
  std::vector<Half> x = lab.NormalHalves(element, int64_t{rows} * stride, 1.0);
  for (int32_t r = 0; r < rows; ++r) std::fill_n(x.begin() + r * stride + s.inputs, stride - s.inputs, 0);
  DeviceArray<Half> d_x(x);
  DeviceArray<LoraGroup> d_groups(WithRoom(groups));
  DeviceArray<LoraUse> d_uses(WithRoom(uses));
  DeviceArray<int32_t> d_count(std::vector<int32_t>{static_cast<int32_t>(groups.size())});
  DeviceArray<float> v(v_floats);
  RandomProduct y(lab, rows, cols, 4096, 132);
  LoraSiteArgs args;
  args.groups = d_groups.data();
  args.group_count = d_count.data();
  args.uses = d_uses.data();
  args.pool = {d_pool.data(), geometry.page_bytes, static_cast<uint32_t>(geometry.slice_bytes)};
  args.layer = kLayer;
  args.targets = s.targets;
  args.first_target = s.first_target;
  args.inputs = stride;
  args.columns = s.inputs;
  std::copy_n(s.outputs, kLoraSiteTargets, args.outputs);
  args.x = d_x.data();
  args.v = v.data();
  args.y = y.product;
  LoraShrink(lab.launcher, element, 3, args);  // fewer than the groups
  LoraExpand(lab.launcher, element, 3, args);
  lab.Finish("lora");
  const std::vector<float> got_y = y.device.Download();
  std::vector<double> got, want;  // what was added
  int32_t first_row = 0;
  for (size_t i = 0; i < users.size(); ++i) {
    for (int32_t r = first_row; r < first_row + counts[i]; ++r) {
      std::vector<double> sums(cols, 0.0);
      for (size_t u = 0; u < users[i].size(); ++u) {
        const Adapter& adapter = adapters[users[i][u]];
        int32_t col = 0;
        for (int32_t t = 0; t < s.targets; col += s.outputs[t++]) {
          const LoraMatrices& m = adapter.layout.at(kLayer, s.first_target + t);
          for (int32_t j = 0; j < m.rank(); ++j) {
            double dot = 0;
            for (int32_t k = 0; k < s.inputs; ++k) {
              dot += Widen(element, x[r * stride + k]) * Widen(element, adapter.a[t][j * s.inputs + k]);
            }
            dot *= m.scale * use_scales[groups[i].use_begin + u];
            for (int32_t n = 0; n < s.outputs[t]; ++n) sums[col + n] += dot * Widen(element, adapter.b[t][j * s.outputs[t] + n]);
          }
        }
      }
      for (int32_t n = 0; n < cols; ++n) {
        want.push_back(sums[n]);
        got.push_back(ProductValue(y.product, got_y, r, n) - ProductValue(y.product, y.host, r, n));
      }
    }
    first_row += counts[i];
  }
  lab.Compare("lora site of " + std::to_string(s.targets) + " targets, K=" + std::to_string(s.inputs), got, want, 3e-3);

  if (s.targets == 2 && group_rows == kLoraGroupRowsMany) CheckSwiGluMany(lab, element, rows, cols, args, want);

  if (s.targets == 3 && s.head_dim == 128 && group_rows == kLoraGroupRowsMany) CheckQkvPostMany(lab, element, rows, s, args, want);

  // The same within a product of many rows: what it has more than without adapters.
  const bool tiles = std::ranges::all_of(s.outputs, [](int32_t outputs) { return outputs % 128 == 0; });
  if (lab.launcher.sm_major == 9 && group_rows == kLoraGroupRowsMany && tiles) {
    DeviceArray<Half> d_base(int64_t{cols} * stride);
    FillNormal(lab.launcher, element, d_base.data(), d_base.size(), 5, 0.1f);
    lab.Finish("weights");  // products ask for them before they wait for anything
    GemmManyArgs many{.rows = rows, .cols = cols, .inputs = s.inputs};
    lab.Expect("maps", EncodeStreamMap(element, d_base.data(), cols, s.inputs, stride, kProductTile, &many.weight) &&
                           EncodeStreamMap(element, d_x.data(), rows, s.inputs, stride, kProductTile, &many.x));
    std::vector<double> sums[2];
    for (const bool with : {false, true}) {
      DeviceArray<float> product(int64_t{rows} * cols);
      if (with) many.lora = args;
      GemmMany(lab.launcher, element, many, {product.data(), 0, cols, 1, 1});
      lab.Finish("lora within a product");
      sums[with] = Widened(product.Download());
    }
    for (size_t i = 0; i < want.size(); ++i) sums[1][i] -= sums[0][i];
    lab.Compare("lora within a product of " + std::to_string(cols) + " columns", sums[1], want, 3e-3);
  }

  // The same within a product of few rows: what it has more than without adapters.
  if (lab.launcher.sm_major == 9 && group_rows == kLoraGroupRows && tiles && s.inputs % kProductTile == 0) {
    DeviceArray<Half> d_base(int64_t{cols} * stride);
    FillNormal(lab.launcher, element, d_base.data(), d_base.size(), 5, 0.1f);
    lab.Finish("weights");  // products ask for them before they wait for anything
    const ProductPlan plan = PlanProduct(cols, s.inputs, lab.launcher.sm_count);
    const int64_t part = int64_t{rows} * cols;
    const LoraMemory memory(groups, kLayers, rows, plan.blocks);
    DeviceArray<float> product(plan.partials_max * part);
    GemmStreamArgs gemm;
    CUtensorMap patch_map;
    lab.Expect("maps", EncodeStreamMap(element, d_base.data(), cols, s.inputs, stride, kProductTile, &gemm.weight) &&
                           EncodeStreamMap(element, d_x.data(), rows, s.inputs, stride, StreamBox(rows), &gemm.x) &&
                           EncodePoolMaps(element, d_pool.data(), d_pool.size(), &gemm.lora) &&
                           EncodePatchMap(element, d_x.data(), rows, s.inputs, stride, &patch_map));
    gemm.y = {product.data(), part, cols, plan.units_per_tile, plan.units_per_block};
    gemm.rows = rows;
    memory.Place(kLayer * kLoraSites + s.site, &args);
    const DeviceArray<int32_t> d_use_count(std::vector<int32_t>{static_cast<int32_t>(uses.size())});
    LoraPlanArgs plan_args{d_groups.data(), d_count.data(), d_uses.data(), d_use_count.data(), memory.tables(), StreamBox(rows)};
    plan_args.products[s.site] = LoraProductOf(plan, args.outputs);
    const StepBeginning beginning(element);
    const auto run = [&](bool with) {
      Must(cudaMemsetAsync(plan_args.tables.counts, 0, sizeof(LoraCounts) * plan_args.tables.sites, lab.launcher.stream), "counts");
      memory.EmptySums(lab.launcher.stream);
      beginning.Launch(lab.launcher, plan_args);
      gemm.lora.site = with ? args : LoraSiteArgs{};
      gemm.lora.x = patch_map;
      gemm.lora.patches = CanHavePatches(plan_args.products, StreamBox(rows));
      GemmStream(lab.launcher, element, plan, gemm);
      lab.Finish("lora within a product of few rows");
      return product.Download();
    };
    const std::vector<float> without = run(false), with = run(true);
    if (repeats.splits >= 0 && lab.launcher.sm_count == 132) {
      LoraDivision division;
      Must(cudaMemcpy(&division, plan_args.tables.divisions + int64_t{args.site} * plan_args.tables.blocks, sizeof(division),
                      cudaMemcpyDeviceToHost),
           "download");
      lab.Expect("v in patches of " + std::to_string(repeats.splits) + " splits", division.splits == repeats.splits);
    }
    std::vector<double> sums;
    for (int32_t row = 0; row < rows; ++row) {
      for (int32_t col = 0; col < cols; ++col) {
        sums.push_back(ProductValue(gemm.y, with, row, col) - ProductValue(gemm.y, without, row, col));
      }
    }
    lab.Compare("lora within a product of few rows and " + std::to_string(cols) + " columns", sums, want, 3e-3);
    const std::vector<float> again = run(true);
    lab.Expect("lora within a product of few rows gives the same bits again",
               std::memcmp(again.data(), with.data(), with.size() * sizeof(float)) == 0);

    const int32_t next = args.site + kLoraSites;
    memory.EmptySums(lab.launcher.stream);
    beginning.Launch(lab.launcher, plan_args);
    const LoraTables tables = memory.tables();
    Must(cudaMemsetAsync(tables.sums + next % kLoraSumSites * tables.sum_bytes, 0, tables.sum_bytes, lab.launcher.stream), "v");
    GemmStream(lab.launcher, element, plan, gemm);
    lab.Finish("lora within a product of few rows, with a layer to follow");
    lab.Expect("a product of few rows empties v of the next layer", IsEmptied(tables, next, rows));
  }

  if (group_rows == kLoraGroupRowsMany) return;

  // The last adapter merged into the weight of the site's first target.
  const Adapter& adapter = adapters.back();
  const LoraMatrices& m = adapter.layout.at(kLayer, s.first_target);
  const std::vector<Half> weight = lab.NormalHalves(element, int64_t{s.outputs[0]} * stride, 1.0);
  DeviceArray<Half> d_weight(weight);
  LoraMergeArgs merge;
  merge.pool = args.pool;
  merge.pages = d_pages.data() + static_cast<int64_t>(all_pages.size() - adapter.pages.size());
  merge.layer = kLayer;
  merge.matrix = {static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale};
  merge.scale = 0.5f;
  merge.weight = d_weight.data();
  merge.stride = stride;
  merge.inputs = s.inputs;
  merge.outputs = s.outputs[0];
  LoraMerge(lab.launcher, element, merge);
  lab.Finish("lora_merge");
  std::vector<double> merged = Widened(element, weight);
  for (int32_t n = 0; n < s.outputs[0]; ++n) {
    for (int32_t k = 0; k < s.inputs; ++k) {
      double sum = 0;
      for (int32_t j = 0; j < m.rank(); ++j) {
        sum += Widen(element, adapter.b[0][j * s.outputs[0] + n]) * Widen(element, adapter.a[0][j * s.inputs + k]);
      }
      merged[int64_t{n} * stride + k] += 0.5 * m.scale * sum;
    }
  }
  lab.Compare("lora merge N=" + std::to_string(s.outputs[0]), Widened(element, d_weight.Download()), merged, 3e-3);
}

}  // namespace

void CheckLora(Lab& lab) {
  const std::vector<int32_t> mixed = {0, 1, 4, 8, 16, 24, 33, 64, 100, 128}, usual = {8, 16, 16, 0};
  for (const Element element : {Element::kBf16, Element::kF16}) {
    for (const int32_t group_rows : {kLoraGroupRows, kLoraGroupRowsMany}) {
      CheckSite(lab, element, {8, 128, kSiteQkv, kQ, 3, 4096, {4096, 1024, 1024}}, usual, group_rows);
      CheckSite(lab, element, {2, 128, kSiteQkv, kQ, 3, 256, {512, 256, 256}}, mixed, group_rows);
      CheckSite(lab, element, {8, 128, kSiteDown, kDown, 1, 14336, {1024, 0, 0}}, usual, group_rows);
      if (group_rows == kLoraGroupRows) {  // 57, 83 and 114 rows
        CheckSite(lab, element, {8, 128, kSiteO, kO, 1, 2432, {1024, 0, 0}}, usual, group_rows);  // patches of five units, the last short
        CheckSite(lab, element, {8, 128, kSiteO, kO, 1, 2432, {1024, 0, 0}}, {16}, group_rows, {.neighbours = 9, .splits = 2});
        CheckSite(lab, element, {2, 128, kSiteQkv, kQ, 3, 256, {512, 256, 256}}, {1, 8}, group_rows, {.neighbours = 9, .splits = 1});
        // Five units of B of each output tile.
        CheckSite(lab, element, {8, 128, kSiteO, kO, 1, 640, {4096, 0, 0}}, {64}, group_rows, {.neighbours = 9, .splits = 1});
        CheckSite(lab, element, {8, 128, kSiteO, kO, 1, 640, {1024, 0, 0}}, {1, 4, 8, 24}, group_rows);
        CheckSite(lab, element, {2, 128, kSiteQkv, kQ, 3, 256, {512, 256, 256}}, mixed, group_rows, {.times = 3});
        CheckSite(lab, element, {8, 128, kSiteO, kO, 1, 4096, {4096, 0, 0}}, mixed, group_rows, {.times = 3});
        CheckSite(lab, element, {8, 128, kSiteGateUp, kGate, 2, 1024, {3584, 3584, 0}}, mixed, group_rows, {.times = 6});
        CheckSite(lab, element, {2, 128, kSiteGateUp, kGate, 2, 256, {12544, 12544, 0}}, mixed, group_rows);  // blocks with three tiles
        // Few blocks with units of A, which have fewer of the weights: in the first of the tiles that a block has some of, or in the second.
        CheckSite(lab, element, {8, 128, kSiteGateUp, kGate, 2, 1024, {12544, 12544, 0}}, usual, group_rows, {.neighbours = 9});
      }
      CheckSite(lab, element, {2, 32, kSiteQkv, kQ, 3, 192, {192, 64, 64}}, mixed, group_rows);
      CheckSite(lab, element, {2, 32, kSiteGateUp, kGate, 2, 192, {512, 512, 0}}, mixed, group_rows);
      CheckSite(lab, element, {3, 48, kSiteO, kO, 1, 1300, {1000, 0, 0}}, mixed, group_rows);
      CheckSite(lab, element, {3, 48, kSiteO, kO, 1, 200, {5120, 0, 0}}, mixed, group_rows);
      CheckSite(lab, element, {1, 20, kSiteDown, kDown, 1, 84, {52, 0, 0}}, mixed, group_rows);
    }
  }
}

}  // namespace chorale::cuda
