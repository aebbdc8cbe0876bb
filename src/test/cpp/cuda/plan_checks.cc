// LoRA's tables as LoraPlan makes them, bit for bit as plain loops do; and that blocks have everything once between them.
#include <algorithm>
#include <array>
#include <cstring>

#include "cuda/lab.h"
#include "kernels/gemm.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kLayers = 3;
constexpr int32_t kLayerTargets = 7;
constexpr int32_t kSiteCount = kLayers * kLoraSites;
constexpr int32_t kFirstTargets[] = {0, 3, 4, 6, 7};  // of the sites of a layer

struct Tables {
  std::vector<LoraCounts> counts;
  std::vector<LoraOctet> octets;
};

Tables WantedTables(const std::vector<LoraGroup>& groups, const std::vector<LoraUse>& uses, const std::vector<LoraMatrix>& matrices,
                    const std::vector<int32_t>& first_matrix, size_t room) {
  Tables want{std::vector<LoraCounts>(kSiteCount), std::vector<LoraOctet>(room)};
  std::memset(static_cast<void*>(want.octets.data()), 0xff, room * sizeof(LoraOctet));  // what is not written stays as it was
  for (int32_t site = 0; site < kSiteCount; ++site) {
    const int32_t first = kFirstTargets[site % kLoraSites], targets = kFirstTargets[site % kLoraSites + 1] - first;
    int32_t octets = 0;
    const auto add = [&](const LoraOctet& octet) { want.octets[int64_t{octets++} * kSiteCount + site] = octet; };
    for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
      LoraOctet last;
      for (size_t u = 0; u < uses.size() && t < targets; ++u) {
        const LoraMatrix& m = matrices[first_matrix[u] + site / kLoraSites * kLayerTargets + first + t];
        uint32_t rows[4] = {};
        for (const LoraGroup& group : groups) {
          if (static_cast<int32_t>(u) < group.use_begin || static_cast<int32_t>(u) >= group.use_end) continue;
          for (int32_t row = group.row_begin; row < group.row_begin + group.row_count; ++row) rows[row / 32] |= 1U << row % 32;
        }
        for (int32_t begin = 0; begin < m.rank; begin += kLoraOctetRanks) {
          last = {uses[u].pages, m.a_offset, m.b_offset, m.rank, begin, m.scale * uses[u].scale, 0, {rows[0], rows[1], rows[2], rows[3]}};
          add(last);
        }
      }
      last.rows = {};
      if (octets % 2 != 0) add(last);
      want.counts[site].ends[t] = octets;
    }
    want.counts[site].ends[3] = octets;
  }
  return want;
}

template <typename T>
bool SameBits(const std::vector<T>& got, const std::vector<T>& want) {
  return std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0;
}

// What the busiest block of a product has to do, in units of W, as it has been divided and with equal parts of W.
struct Busiest {
  int32_t divided = 0, equal = 0;
};
Busiest BusiestOf(const ProductPlan& plan, const LoraDivision* divisions) {
  Busiest most;
  for (int32_t block = 0; block < plan.blocks; ++block) {
    const LoraDivision& own = divisions[block];
    const int32_t of_a = std::max(0, own.of_a.end - own.of_a.begin);
    const int32_t cost = own.splits > 0 ? (own.patch.octet < 0 ? 0 : kLoraPatchCost) : of_a == 0 ? 0 : of_a + kLoraPartsCost;
    const auto per_block = static_cast<int32_t>(plan.units_per_block);
    int32_t of_w = 0;
    for (int32_t p = 0; p < own.part_count; ++p) of_w += own.parts[p].end - own.parts[p].begin;
    most.divided = std::max(most.divided, of_w + cost);
    most.equal = std::max(most.equal, std::min(per_block, plan.units - block * per_block) + cost);
  }
  return most;
}

bool AllOnce(const std::vector<int32_t>& times) {
  return std::ranges::all_of(times, [](int32_t count) { return count == 1; });
}

// Whether the blocks of a product have each unit of W, of A and of B once, or in place of those of A each row of v once of each split, and
// each what belongs to its tiles. rows: of each octet.
bool DividesAll(const LoraProduct& product, const LoraCounts& counts, const LoraDivision* divisions, const std::vector<uint4>& rows,
                int32_t patch_rows) {
  const ProductPlan& plan = product.plan;
  const auto per_tile = static_cast<int32_t>(plan.units_per_tile), per_block = static_cast<int32_t>(plan.units_per_block);
  const int32_t octets = counts.ends[3], tiles = plan.units / per_tile;
  std::vector<int32_t> of_w(plan.units), of_a(LoraTileCount(octets) * per_tile);
  std::vector<std::vector<int32_t>> of_b(tiles);
  const int32_t splits = divisions[0].splits;
  const bool patched = splits > 0;
  int32_t of_patches = 0, of_octets = 0;  // rows of octets
  int32_t units_before = 0;               // of W, of the blocks so far
  for (const uint4& used_by : rows) {
    for (int32_t row = 0; row < kStreamRowsMax; ++row) of_octets += HasRow(used_by, row) ? 1 : 0;
  }
  const auto octets_of = [&](int32_t tile) {
    int32_t target = 0;
    for (int32_t end = product.outputs[0]; tile * kProductTile >= end; end += product.outputs[target]) ++target;
    return UnitRange{target == 0 ? 0 : counts.ends[target - 1], counts.ends[target]};
  };
  const auto blocks_of = [](const UnitRange& range) {  // of 64 columns
    return range.empty() ? UnitRange{} : UnitRange{range.begin / kLoraBlockOctets, (range.end - 1) / kLoraBlockOctets + 1};
  };
  for (int32_t tile = 0; tile < tiles; ++tile) {
    const UnitRange blocks = blocks_of(octets_of(tile));
    of_b[tile].resize(blocks.end - blocks.begin);
  }
  for (int32_t block = 0; block < plan.blocks; ++block) {
    const LoraDivision& own = divisions[block];
    if (own.per_tile != per_tile || own.octets != octets || own.part_count < 1 || own.part_count > kStreamLoraParts) return false;
    if (own.splits != splits || own.of_a.begin < 0) return false;
    if (patched) {
      const LoraPatch& patch = own.patch;
      const int32_t patch_units = patch.octet < 0 ? 0 : LoraPatchUnits(per_tile);
      if (patch.octet >= octets || patch.split < 0 || patch.split >= splits || own.of_a.end - own.of_a.begin > kLoraPatchUnitsMax) return false;
      if (own.of_a.begin != patch_units * patch.split / splits || own.of_a.end != patch_units * (patch.split + 1) / splits) return false;
      for (int32_t row = patch.row; patch.octet >= 0 && row < std::min(patch.row + patch_rows, kStreamRowsMax); ++row) {
        if (!HasRow(rows[patch.octet], row)) continue;
        ++of_patches;
        if (std::any_of(divisions, divisions + block, [&](const LoraDivision& other) {
              return other.patch.octet == patch.octet && other.patch.split == patch.split && row >= other.patch.row &&
                     row < other.patch.row + patch_rows;
            })) {
          return false;
        }
      }
    } else {
      if (own.of_a.end > static_cast<int32_t>(of_a.size())) return false;
      for (int32_t unit = own.of_a.begin; unit < own.of_a.end; ++unit) ++of_a[unit];
    }
    // Whoever adds partial sums up expects those of the tiles that a block has with equal parts of W.
    const int32_t first_tile = block * per_block / per_tile, last_tile = (std::min((block + 1) * per_block, plan.units) - 1) / per_tile;
    if (own.part_count != last_tile + 1 - first_tile) return false;
    int32_t ahead = std::max(0, own.of_a.end - own.of_a.begin), first = plan.units, end = 0;
    bool before_b = true;
    for (int32_t p = 0; p < own.part_count; ++p) {
      const LoraPart& part = own.parts[p];
      if (part.tile < first_tile || part.tile > last_tile || part.begin < 0 || part.end > per_tile || part.begin >= part.end) return false;
      const UnitRange range = octets_of(part.tile), blocks = blocks_of(range);
      if (part.octets.begin != range.begin || part.octets.end != range.end) return false;
      for (int32_t unit = part.begin; unit < part.end; ++unit) {
        const int32_t of_all = part.tile * per_tile + unit;
        first = std::min(first, of_all), end = std::max(end, of_all + 1);
        ++of_w[of_all];
      }
      if (before_b) ahead += part.end - part.begin;
      if (part.blocks.empty()) continue;
      before_b = false;
      if (part.blocks.begin < blocks.begin || part.blocks.end > blocks.end) return false;
      for (int32_t of_v = part.blocks.begin; of_v < part.blocks.end; ++of_v) ++of_b[part.tile][of_v - blocks.begin];
    }
    if (own.ahead != ahead || first != units_before) return false;
    units_before = end;
  }
  return AllOnce(of_w) && (patched ? of_patches == of_octets * splits : AllOnce(of_a)) && std::ranges::all_of(of_b, AllOnce);
}

struct Divided {
  std::array<int32_t, 2> splits;             // that v of q k v and of o has
  std::array<Busiest, kLoraSites> busiest;  // of each site
};
// Groups of `rows_least` to `rows_most` rows with as many uses as `uses_most` or fewer, sometimes those of the group before. Products as each of
// so many shards of Llama-3-8B has them, or for one any, but q k v.
Divided CheckPlan(Lab& lab, int32_t group_count, int32_t rows_most, int32_t uses_most, const std::vector<int32_t>& ranks,
                  int32_t shards = 1, int32_t rows_least = 1) {
  std::vector<LoraGroup> groups;
  std::vector<LoraUse> uses;
  std::vector<LoraMatrix> matrices;
  std::vector<int32_t> first_matrix;
  const DeviceArray<int32_t> pages(4096);  // only their addresses count
  int32_t row_count = 0;
  while (static_cast<int32_t>(groups.size()) < group_count) {
    LoraGroup group{row_count, lab.Uniform(rows_least, rows_most), static_cast<int32_t>(uses.size()), 0, 0, 0};
    row_count += group.row_count;
    if (!groups.empty() && lab.Uniform(0, 7) == 0) {
      group.use_begin = groups.back().use_begin;
    } else {
      for (int32_t i = lab.Uniform(uses_most > 1 ? 0 : 1, uses_most); i > 0; --i) {
        first_matrix.push_back(static_cast<int32_t>(matrices.size()));
        uses.push_back({nullptr, pages.data() + uses.size(), 0.25f * static_cast<float>(lab.Uniform(-8, 8)), 0});
        for (int32_t m = 0; m < kLayers * kLayerTargets; ++m) {
          matrices.push_back({static_cast<uint32_t>(lab.Uniform(0, 1 << 30)), static_cast<uint32_t>(lab.Uniform(0, 1 << 30)),
                              ranks[lab.Uniform(0, static_cast<int32_t>(ranks.size()) - 1)], static_cast<float>(lab.Normal(1))});
        }
      }
    }
    group.use_end = static_cast<int32_t>(uses.size());
    groups.push_back(group);
  }
  const DeviceArray<LoraMatrix> d_matrices(matrices);
  for (size_t u = 0; u < uses.size(); ++u) uses[u].matrices = d_matrices.data() + first_matrix[u];
  const auto group_total = static_cast<int32_t>(groups.size()), use_total = static_cast<int32_t>(uses.size());
  groups[0].v_cols = use_total * kLoraSiteTargets * LoraColumns(*std::max_element(ranks.begin(), ranks.end()));  // room in the tables
  const LoraMemory memory(groups, kLayers, kLoraGroupsMax, lab.launcher.sm_count);
  std::vector<LoraGroup> group_room = groups;
  std::vector<LoraUse> use_room = uses;
  group_room.resize(kLoraGroupsMax, {0, kLoraGroupRows, 0, use_total, 0, 0});  // what is beyond the counts does not count
  use_room.resize(std::max<size_t>(uses.size(), kLoraGroupsMax));
  const DeviceArray<LoraGroup> d_groups(group_room);
  const DeviceArray<LoraUse> d_uses(use_room);
  const DeviceArray<int32_t> d_group_count(std::vector<int32_t>{group_total}), d_use_count(std::vector<int32_t>{use_total});
  const LoraTables tables = memory.tables();
  const int32_t box_rows = StreamBox(row_count);
  std::vector<uint8_t> want_sums(kLoraSumSites * tables.sum_bytes), got_sums(want_sums.size());
  Must(cudaMemset(tables.sums, 0, want_sums.size()), "v");
  LoraPlanArgs args{d_groups.data(), d_group_count.data(), d_uses.data(), d_use_count.data(), tables, box_rows};
  const auto product_of = [&](std::initializer_list<int32_t> widths, int32_t inputs) {
    int32_t outputs[kLoraSiteTargets] = {}, cols = 0;
    std::ranges::copy(widths, outputs);
    for (int32_t width : widths) cols += width;
    return LoraProductOf(PlanProduct(cols, inputs, lab.launcher.sm_count), outputs);
  };
  args.products[0] = product_of({4096 / shards, 1024 / shards, 1024 / shards}, 4096);
  if (shards > 1) {
    args.products[1] = product_of({4096}, 4096 / shards);
    args.products[2] = product_of({14336 / shards, 14336 / shards}, 4096);
    args.products[3] = product_of({4096}, 14336 / shards);
  } else {
    args.products[1] = product_of({896}, 896);
    args.products[2] = product_of({128 * lab.Uniform(1, 112), 128 * lab.Uniform(1, 112)}, 128 * lab.Uniform(1, 64));
    args.products[3] = product_of({128 * lab.Uniform(1, 64)}, 128 * lab.Uniform(1, 112));
  }
  LoraPlan(lab.launcher, args);
  lab.Finish("lora_plan");
  const size_t room = static_cast<size_t>(kSiteCount) * std::max(1, groups[0].v_cols / kLoraOctetRanks);
  const Tables want = WantedTables(groups, uses, matrices, first_matrix, room);
  Tables got{std::vector<LoraCounts>(kSiteCount), std::vector<LoraOctet>(room)};
  Must(cudaMemcpy(got.counts.data(), tables.counts, kSiteCount * sizeof(LoraCounts), cudaMemcpyDeviceToHost), "download");
  Must(cudaMemcpy(got.octets.data(), tables.octets, room * sizeof(LoraOctet), cudaMemcpyDeviceToHost), "download");
  std::vector<LoraDivision> divisions(static_cast<size_t>(kSiteCount) * tables.blocks);
  Must(cudaMemcpy(divisions.data(), tables.divisions, divisions.size() * sizeof(LoraDivision), cudaMemcpyDeviceToHost), "download");
  for (int32_t site = 0; site < kLoraSites; ++site) {  // of the first layer
    const int32_t splits = divisions[int64_t{site} * tables.blocks].splits, pieces = std::max(1, splits);
    const int32_t octets = want.counts[site].ends[3];
    for (int32_t octet = 0; octet < octets && (splits > 0 || PollsSums(octets, box_rows)); ++octet) {
      const uint4& rows = want.octets[int64_t{octet} * kSiteCount + site].rows;
      for (int32_t row = 0; row < row_count; ++row) {
        const int64_t place = site * tables.sum_bytes + int64_t{4} * pieces * LoraSumWord(octet, row, box_rows);
        if (HasRow(rows, row)) std::fill_n(want_sums.begin() + place, 16 * pieces, uint8_t{0xff});
      }
    }
  }
  Must(cudaMemcpy(got_sums.data(), tables.sums, got_sums.size(), cudaMemcpyDeviceToHost), "download");
  const std::string name = std::to_string(group_count) + " groups, " + std::to_string(use_total) + " uses";
  lab.Expect("counts of octets of " + name, SameBits(got.counts, want.counts));
  lab.Expect("octets of " + name, SameBits(got.octets, want.octets));
  lab.Expect("empty v of " + name, SameBits(got_sums, want_sums));
  for (int32_t site = 0; site < kSiteCount; ++site) {
    std::vector<uint4> rows;
    for (int32_t octet = 0; octet < want.counts[site].ends[3]; ++octet) rows.push_back(want.octets[int64_t{octet} * kSiteCount + site].rows);
    lab.Expect("division of site " + std::to_string(site) + " of " + name,
               DividesAll(args.products[site % kLoraSites], want.counts[site], divisions.data() + int64_t{site} * tables.blocks, rows,
                          LoraPatchRows(box_rows)));
  }
  Divided divided{{divisions[0].splits, divisions[tables.blocks].splits}, {}};
  for (int32_t site = 0; site < kLoraSites; ++site) {
    divided.busiest[site] = BusiestOf(args.products[site].plan, divisions.data() + int64_t{site} * tables.blocks);
    lab.Expect("no block busier than with equal parts of W, " + name, divided.busiest[site].divided <= divided.busiest[site].equal);
  }
  return divided;
}

}  // namespace

void CheckLoraPlan(Lab& lab) {
  CheckPlan(lab, 1, 1, 1, {16});
  CheckPlan(lab, 4, kLoraGroupRows, 1, {8});
  CheckPlan(lab, 16, kLoraGroupRows, 1, {8, 16, 32, 64});
  CheckPlan(lab, 10, 3, 1, {8, 16, 32, 64});
  const auto of_few_rows = CheckPlan(lab, kLoraLevelRows, 1, 1, {8}, 2);
  CheckPlan(lab, 4, kLoraGroupRows, 1, {8, 16}, 2);
  const auto in_patches = CheckPlan(lab, 19, 1, 1, {8}, 2);
  const auto as_many_as_blocks = CheckPlan(lab, 32, 1, 1, {32}, 2), too_many = CheckPlan(lab, 32, 1, 1, {48}, 2);
  const auto of_many_rows = CheckPlan(lab, 16, kLoraGroupRows, 1, {8}, 2, kLoraGroupRows);
  if (lab.launcher.sm_count == 132) {
    lab.Expect("v of q k v in patches of two splits, of o in whole ones", in_patches.splits == std::array{2, 1});
    lab.Expect("v of many rows in patches", of_many_rows.splits == std::array{2, 1});
    lab.Expect("v in patches up to one for each block", as_many_as_blocks.splits == std::array{0, 1} && too_many.splits == std::array{0, 0});
    const int32_t least_less[] = {0, 1, 1, 4};  // units of W
    for (int32_t site = 1; site < kLoraSites; ++site) {
      const Busiest &many = of_many_rows.busiest[site], &few = of_few_rows.busiest[site];
      lab.Expect("of many rows the busiest block of site " + std::to_string(site) + " has " + std::to_string(many.divided) + " of " +
                     std::to_string(many.equal),
                 many.divided <= many.equal - least_less[site]);
      lab.Expect("of few rows blocks have equal parts of W", few.divided == few.equal);
    }
  }
  CheckPlan(lab, 16, kLoraGroupRows, 3, {0, 1, 4, 8, 16, 24, 33, 64});
  CheckPlan(lab, 128, 1, 1, {0, 8, 16});
  CheckPlan(lab, 128, 1, 4, {0, 0, 4, 8, 24});  // more uses than threads
}

}  // namespace chorale::cuda
