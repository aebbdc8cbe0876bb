// LoRA's tables as LoraPlan makes them, bit for bit as plain loops do.
#include <algorithm>
#include <cstring>

#include "cuda/lab.h"
#include "kernels/lora.h"

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

// Groups of 1 to `rows_most` rows with as many uses as `uses_most` or fewer, sometimes those of the group before.
void CheckPlan(Lab& lab, int32_t group_count, int32_t rows_most, int32_t uses_most, const std::vector<int32_t>& ranks) {
  std::vector<LoraGroup> groups;
  std::vector<LoraUse> uses;
  std::vector<LoraMatrix> matrices;
  std::vector<int32_t> first_matrix;
  const DeviceArray<int32_t> pages(4096);  // only their addresses count
  int32_t row_count = 0;
  while (static_cast<int32_t>(groups.size()) < group_count) {
    LoraGroup group{row_count, lab.Uniform(1, rows_most), static_cast<int32_t>(uses.size()), 0, 0, 0};
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
  LoraPlan(lab.launcher, {d_groups.data(), d_group_count.data(), d_uses.data(), d_use_count.data(), tables, box_rows});
  lab.Finish("lora_plan");
  const size_t room = static_cast<size_t>(kSiteCount) * std::max(1, groups[0].v_cols / kLoraOctetRanks);
  const Tables want = WantedTables(groups, uses, matrices, first_matrix, room);
  Tables got{std::vector<LoraCounts>(kSiteCount), std::vector<LoraOctet>(room)};
  Must(cudaMemcpy(got.counts.data(), tables.counts, kSiteCount * sizeof(LoraCounts), cudaMemcpyDeviceToHost), "download");
  Must(cudaMemcpy(got.octets.data(), tables.octets, room * sizeof(LoraOctet), cudaMemcpyDeviceToHost), "download");
  for (int32_t site = 0; site < kLoraSites; ++site) {  // of the first layer
    const int32_t octets = want.counts[site].ends[3];
    for (int32_t octet = 0; octet < octets && PollsSums(octets, box_rows); ++octet) {
      const uint4& rows = want.octets[int64_t{octet} * kSiteCount + site].rows;
      for (int32_t row = 0; row < row_count; ++row) {
        const int64_t place = site * tables.sum_bytes + int64_t{4} * LoraSumWord(octet, row, box_rows);
        if (HasRow(rows, row)) std::fill_n(want_sums.begin() + place, 16, uint8_t{0xff});
      }
    }
  }
  Must(cudaMemcpy(got_sums.data(), tables.sums, got_sums.size(), cudaMemcpyDeviceToHost), "download");
  const std::string name = std::to_string(group_count) + " groups, " + std::to_string(use_total) + " uses";
  lab.Expect("counts of octets of " + name, SameBits(got.counts, want.counts));
  lab.Expect("octets of " + name, SameBits(got.octets, want.octets));
  lab.Expect("empty v of " + name, SameBits(got_sums, want_sums));
}

}  // namespace

void CheckLoraPlan(Lab& lab) {
  CheckPlan(lab, 1, 1, 1, {16});
  CheckPlan(lab, 4, kLoraGroupRows, 1, {8});
  CheckPlan(lab, 16, kLoraGroupRows, 1, {8, 16, 32, 64});
  CheckPlan(lab, 16, kLoraGroupRows, 3, {0, 1, 4, 8, 16, 24, 33, 64});
  CheckPlan(lab, 128, 1, 1, {0, 8, 16});
  CheckPlan(lab, 128, 1, 4, {0, 0, 4, 8, 24});  // more uses than threads
}

}  // namespace chorale::cuda
