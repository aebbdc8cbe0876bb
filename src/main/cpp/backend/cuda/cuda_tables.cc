// The tables of a step: what its kernels read, beside weights and activations.
#include <algorithm>
#include <bit>
#include <utility>

#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {
namespace {

// A sequence with as many rows or more goes to the prefill kernel, which reads its keys once for all of them; fewer go
// row by row to the decode kernel, which cuts the keys.
constexpr int32_t kPrefillRowsLeast = 8;

constexpr int32_t kPaddedRows[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, kPaddedRowsMax};
constexpr int64_t kPagesEach = 128;     // of a sequence or an adapter that padded tables provide for at first

template <typename T>
void Pad(std::vector<T>* values, int32_t count, const T& value) {
  if (static_cast<int32_t>(values->size()) < count) values->resize(static_cast<size_t>(count), value);
}

}  // namespace

// Steps of one row for each sequence, each sampled, are padded to one of a few counts of rows, so that what they launch
// can be recorded. 0: this step is not of that kind.
int32_t CudaBackend::PaddedRows(const StepPlan& plan) const {
  const StepView& step = *plan.step;
  if (!graphs_wanted_ || plan.observed || reference_) return 0;
  if (step.sequences() != step.rows() || step.samples() != step.rows() || !step.hidden_rows().empty()) return 0;
  const int32_t* padded = std::lower_bound(std::begin(kPaddedRows), std::end(kPaddedRows), step.rows());
  if (padded == std::end(kPaddedRows) || *padded > std::min(rows_max_, samples_max_)) return 0;
  return *padded;
}

Status CudaBackend::Reserve(DeviceMemory* memory, int64_t bytes, const char* purpose) {
  if (memory->bytes() >= bytes) return Status::Ok();
  const int64_t wanted = memory->bytes() == 0 ? bytes : bytes + bytes / 2;
  Wait(launcher_.stream, purpose);
  graphs_.Clear();  // they have the old address
  *memory = DeviceMemory();
  Result<DeviceMemory> grown = AllocateZeros(wanted, purpose);
  if (!grown.ok()) return grown.status();
  *memory = std::move(grown).value();
  return Status::Ok();
}

Status CudaBackend::Prepare(const StepPlan& plan) {
  loader_->Retire();
  step_ = plan.step;
  turn_ = plan.turn;
  observed_ = plan.observed;
  has_all_logits_ = peers_ == nullptr || plan.observed || poison_;  // somebody will look at the logits
  const int32_t padded_rows = PaddedRows(plan);
  padded_ = padded_rows > 0;
  rows_ = padded_ ? padded_rows : step_->rows();
  kind_ = {.rows = rows_, .weights = plan.weights};
  tables_ = padded_ ? &padded_tables_[rows_] : &eager_tables_;
  Check(cudaEventRecord(turns_[turn_].begin, launcher_.stream), "a step");
  tables_->Begin();
  AddRows();
  CHORALE_RETURN_IF_ERROR(AddAttention());
  CHORALE_RETURN_IF_ERROR(AddSampling());
  CHORALE_RETURN_IF_ERROR(AddLora(*plan.lora));  // late: its tables take the most room and are often empty
  CHORALE_RETURN_IF_ERROR(AddForms(*plan.lora));
  CHORALE_RETURN_IF_ERROR(tables_->Place(launcher_.stream));
  int64_t first_matrix = 0, first_page = 0;
  for (size_t i = 0; i < lora_uses_.size(); ++i) {
    lora_uses_[i].matrices = device_matrices_ + first_matrix;
    lora_uses_[i].pages = device_lora_pages_ + first_page;
    first_matrix += int64_t{spec_.layers} * kTargets;
    first_page += static_cast<int64_t>(plan.lora->uses[i].adapter->pages.size());
  }
  PlaceForms(*plan.lora);
  tables_->Send(launcher_.stream, turn_);
  LoadLibraryKernels();
  return Status::Ok();
}

// Padded rows are of sequences of their own, all at position 0 of the page that is nobody's, and are not counted.
void CudaBackend::AddRows() {
  const StepView& step = *step_;
  const int32_t room = padded_ ? rows_ : 0, sequences = padded_ ? rows_ : step.sequences();
  const auto assign = [](std::vector<int32_t>& to, std::span<const int32_t> from) { to.assign(from.begin(), from.end()); };
  assign(row_token_, step.token_ids());
  assign(row_position_, step.positions());
  assign(seq_page_start_, step.seq_page_start());
  assign(seq_pages_, step.page_ids());
  seq_pages_.push_back(page_count_);
  assign(seq_prompt_, step.seq_prompt());
  assign(seq_scratch_, step.seq_scratch());
  row_sequence_.resize(static_cast<size_t>(rows_));
  row_page_.assign(static_cast<size_t>(rows_), page_count_);
  for (int32_t s = 0; s < step.sequences(); ++s) {
    const std::span<const int32_t> pages = step.PagesOf(s);
    for (int32_t row = step.seq_token_start()[s]; row < step.seq_token_start()[s + 1]; ++row) {
      row_sequence_[row] = s;
      row_page_[row] = pages[step.positions()[row] / geometry_.page_tokens];
    }
  }
  for (int32_t row = step.rows(); row < rows_; ++row) row_sequence_[row] = row;
  Pad(&row_token_, rows_, 0);
  Pad(&row_position_, rows_, 0);
  Pad(&seq_page_start_, sequences + 1, seq_page_start_.back());
  Pad(&seq_prompt_, sequences, 0);
  Pad(&seq_scratch_, sequences, -1);
  tables_->Add(row_token_, &step_rows_.token_ids);
  tables_->Add(row_position_, &step_rows_.positions);
  tables_->Add(row_page_, &step_rows_.pages);
  tables_->Add(row_sequence_, &sequence_);
  tables_->Add(seq_page_start_, &page_start_);
  tables_->Add(seq_prompt_, &prompt_);
  tables_->Add(seq_scratch_, &scratch_);
  tables_->Add(seq_pages_, &page_ids_, room * kPagesEach);
}

// Which rows go to which kernel, and how their keys are cut, for every window that some layer has.
Status CudaBackend::AddAttention() {
  const StepView& step = *step_;
  const bool packs = spec_.heads / spec_.kv_heads <= kPrefillTile;
  decode_rows_.clear();
  prefill_sequences_.clear();
  for (int32_t s = 0; s < step.sequences(); ++s) {
    const int32_t begin = step.seq_token_start()[s], end = step.seq_token_start()[s + 1];
    if (packs && end - begin >= kPrefillRowsLeast) {
      prefill_sequences_.push_back({begin, end - begin, step.positions()[begin]});
      continue;
    }
    for (int32_t row = begin; row < end; ++row) decode_rows_.push_back({row, step.positions()[row]});
  }
  const int64_t blocks = int64_t{launcher_.sm_count} * kDecodeBlocksPerSm;
  for (auto& [window, work] : attention_) {
    PlanDecode(decode_rows_, spec_.heads, spec_.kv_heads, window, launcher_.sm_count, &work.plan);
    PlanPrefill(prefill_sequences_, spec_.heads, spec_.kv_heads, &work.items);
    const int64_t slots = int64_t{work.plan.partials} * kDecodeHeads;
    CHORALE_RETURN_IF_ERROR(Reserve(&decode_out_, 4 * slots * spec_.head_dim, "attention"));
    CHORALE_RETURN_IF_ERROR(Reserve(&decode_stats_, 8 * slots, "attention"));
    CHORALE_RETURN_IF_ERROR(Reserve(&decode_tickets_, 4 * work.plan.tickets, "attention"));
    tables_->Add(work.plan.block_start, &work.decode.block_start);
    tables_->Add(work.plan.items, &work.decode.items,
                 padded_ ? blocks + rows_ * int64_t{spec_.kv_heads} *
                                        ((spec_.heads / spec_.kv_heads + kDecodeHeads - 1) / kDecodeHeads)
                         : 0);
    tables_->Add(work.items, &work.prefill);
  }
  return Status::Ok();
}

Status CudaBackend::AddSampling() {
  const StepView& step = *step_;
  const std::span<const int32_t> scratch = step.seq_scratch();
  if (counts_.bytes() == 0 && std::any_of(scratch.begin(), scratch.end(), [](int32_t slot) { return slot >= 0; })) {
    CHORALE_RETURN_IF_ERROR(Reserve(&counts_, 4 * int64_t{scratch_max_} * spec_.vocab, "token counts"));
  }
  gathered_.assign(step.sample_row().begin(), step.sample_row().end());
  gathered_.insert(gathered_.end(), step.hidden_rows().begin(), step.hidden_rows().end());
  if (padded_) Pad(&gathered_, rows_, 0);
  MakeSampleRows(nullptr);
  tables_->Add(gathered_, &gather_);
  tables_->Add(sample_rows_, &device_sample_rows_, padded_ ? rows_ : 0);
  return Status::Ok();
}

void CudaBackend::AddLoraUse(const chorale::LoraUse& use) {
  const AdapterLayout& layout = *use.adapter->layout;
  int32_t most = 0;  // columns of v that this use takes at any site
  for (int32_t layer = 0; layer < spec_.layers; ++layer) {
    for (int32_t site = 0; site < kSites; ++site) {
      int32_t cols = 0;
      for (int32_t t = 0; t < kSiteTargets[site].count; ++t) {
        const LoraMatrices& m = layout.at(layer, kSiteTargets[site].first + t);
        lora_matrices_.push_back({static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale});
        cols += LoraColumns(m.rank());
      }
      if (cols > 0) kind_.lora = std::max(kind_.lora, site <= kSiteO ? LoraReach::kAttention : LoraReach::kAll);
      most = std::max(most, cols);
    }
  }
  lora_use_cols_.push_back(most);
  lora_pages_.insert(lora_pages_.end(), use.adapter->pages.begin(), use.adapter->pages.end());
  lora_uses_.push_back({nullptr, nullptr, use.scale, 0});
  const int32_t slot = use.adapter->slot;
  if (loader_->IsLoading(slot) && std::find(lora_slots_.begin(), lora_slots_.end(), slot) == lora_slots_.end()) {
    lora_slots_.push_back(slot);
  }
}

// The groups of gathered_, whose part of v comes after that of the others; returns where it ends.
int64_t CudaBackend::AddNarrowGroups(int64_t v_floats) {
  narrow_groups_.clear();
  for (int32_t i = 0; i < std::ssize(gathered_) && !lora_groups_.empty(); ++i) {
    const auto after = std::upper_bound(lora_groups_.begin(), lora_groups_.end(), gathered_[i],
                                        [](int32_t row, const LoraGroup& group) { return row < group.row_begin; });
    if (after == lora_groups_.begin()) continue;
    const LoraGroup& own = after[-1];
    if (own.use_begin == own.use_end || gathered_[i] >= own.row_begin + own.row_count) continue;
    if (!narrow_groups_.empty()) {
      LoraGroup& last = narrow_groups_.back();
      if (last.use_begin == own.use_begin && last.use_end == own.use_end && last.row_begin + last.row_count == i &&
          last.row_count < kLoraPieceRows) {
        ++last.row_count;
        continue;
      }
    }
    narrow_groups_.push_back({i, 1, own.use_begin, own.use_end, static_cast<int32_t>(v_floats), own.v_cols});
    v_floats += LoraActivationFloats(own.v_cols);
  }
  narrow_group_count_.assign(1, static_cast<int32_t>(narrow_groups_.size()));
  return v_floats;
}

Status CudaBackend::AddLora(const LoraBatch& lora) {
  lora_matrices_.clear();
  lora_pages_.clear();
  lora_uses_.clear();
  lora_groups_.clear();
  lora_use_cols_.clear();
  lora_slots_.clear();
  for (const chorale::LoraUse& use : lora.uses) AddLoraUse(use);
  int64_t v_floats = 0;
  int32_t v_cols_most = 0;
  const bool many = rows_ > kStreamRowsMax;
  const int32_t group_rows = many ? kLoraGroupRowsMany : kLoraGroupRows;
  const auto add = [&](int32_t begin, int32_t end, int32_t use_begin, int32_t use_end) {
    if (!lora_groups_.empty()) {  // the batch's have up to 8 rows: neighbours of the same adapters make one
      LoraGroup& last = lora_groups_.back();
      if (last.use_begin == use_begin && last.use_end == use_end && end - last.row_begin <= group_rows) {
        last.row_count = end - last.row_begin;
        return;
      }
    }
    int32_t v_cols = 0;
    for (int32_t use = use_begin; use < use_end; ++use) v_cols += lora_use_cols_[use];
    v_cols_most = std::max(v_cols_most, v_cols);
    lora_groups_.push_back({begin, end - begin, use_begin, use_end, static_cast<int32_t>(v_floats), v_cols});
    v_floats += LoraActivationFloats(v_cols);
  };
  int32_t row = 0;
  const auto add_base = [&](int32_t end) {  // rows of the base model alone: SwiGluLora goes by groups
    if (!many || lora.groups.empty()) return;
    for (; row < end; row += group_rows) add(row, std::min(row + group_rows, end), 0, 0);
  };
  for (const chorale::LoraGroup& group : lora.groups) {
    add_base(group.row_begin);
    add(group.row_begin, group.row_end, group.use_begin, group.use_end);
    row = group.row_end;
  }
  add_base(rows_);
  const bool narrows = many && !padded_;
  if (narrows) v_floats = AddNarrowGroups(v_floats);
  if (shard_.cuts_both_factors() && v_cols_most > peers_->rank_cols()) {
    return Status::Exhausted(Format("lora_sharding=sharded: the adapters of a row have %d ranks together, %d is the most",
                                    v_cols_most, peers_->rank_cols()));
  }
  if (v_floats > INT32_MAX) {
    return Status::Exhausted("the step's adapters need more rank activations than can be addressed");
  }
  lora_tile_chunks_ = 0;
  for (int32_t tile = 0, group = 0; many && tile < rows_; tile += kManyTileRows) {
    const auto meets = [&](int32_t g) {
      return g < std::ssize(lora_groups_) && lora_groups_[g].row_begin < tile + kManyTileRows;
    };
    int32_t chunks = 0;
    for (int32_t g = group; meets(g); ++g) chunks += lora_groups_[g].v_cols / kLoraChunk;
    lora_tile_chunks_ = std::max(lora_tile_chunks_, chunks);
    while (meets(group) && lora_groups_[group].row_begin + lora_groups_[group].row_count <= tile + kManyTileRows) ++group;
  }
  lora_group_count_.assign(1, static_cast<int32_t>(lora_groups_.size()));
  lora_use_count_.assign(1, static_cast<int32_t>(lora_uses_.size()));
  const int64_t room = padded_ && !lora_groups_.empty() ? rows_ : 0;
  lora_groups_max_ = static_cast<int32_t>(std::max<int64_t>(room, std::ssize(lora_groups_)));
  CHORALE_RETURN_IF_ERROR(Reserve(&lora_v_, 4 * v_floats, "rank activations"));
  CHORALE_RETURN_IF_ERROR(ReserveLoraTables());
  const int64_t plan_room = lora_tables_.sites > 0 ? kLoraGroupsMax : room;
  tables_->Add(lora_group_count_, &device_group_count_);
  tables_->Add(lora_use_count_, &device_use_count_);
  tables_->Add(lora_groups_, &device_groups_, plan_room);
  if (narrows) {
    tables_->Add(narrow_groups_, &device_narrow_groups_);
    tables_->Add(narrow_group_count_, &device_narrow_group_count_);
  }
  tables_->Add(lora_uses_, &device_uses_, plan_room);
  tables_->Add(lora_pages_, &device_lora_pages_, room * kPagesEach);
  tables_->Add(lora_matrices_, &device_matrices_, room * spec_.layers * kTargets);
  return Status::Ok();
}

// What adapters need within products of few rows. Room for more than the step has, as its growth costs all recorded steps.
Status CudaBackend::ReserveLoraTables() {
  lora_tables_ = {};
  if (lora_groups_max_ == 0 || rows_ > kStreamRowsMax || launcher_.sm_major != 9 || shard_.cuts_both_factors()) {
    return Status::Ok();
  }
  int64_t octets = 0;
  for (int32_t cols : lora_use_cols_) octets += cols / kLoraOctetRanks;
  CHORALE_RETURN_IF_ERROR(ReserveOctets(std::bit_ceil(static_cast<uint64_t>(octets))));
  lora_tables_ = {.counts = lora_counts_.as<LoraCounts>(),
                  .octets = lora_octets_.as<LoraOctet>(),
                  .ready = lora_ready_.as<int32_t>(),
                  .sums = lora_sums_.as<uint8_t>(),
                  .sum_bytes = lora_sums_.bytes() / kLoraSumSites,
                  .sites = spec_.layers * kSites,
                  .divisions = lora_divisions_.as<LoraDivision>(),
                  .blocks = launcher_.sm_count};
  return Status::Ok();
}

// Finds the sites whose products of few rows can have LoRA within, once for all steps.
Status CudaBackend::PlanLoraProducts() {
  for (int32_t site = 0; site < kSites; ++site) {
    const auto [first, count] = kSiteTargets[site];
    const auto inputs = static_cast<int32_t>(InWidth(spec_, first));
    int32_t outputs[kLoraSiteTargets] = {}, cols = 0;
    for (int32_t t = 0; t < count; ++t) {
      cols += outputs[t] = static_cast<int32_t>(OutWidth(spec_, static_cast<Target>(first + t)));
    }
    const ProductPlan plan = PlanProduct(cols, inputs, launcher_.sm_count);
    const bool within = HasWholeTiles(outputs) && inputs % kProductTile == 0 && CanHaveLora(plan);
    lora_products_[site] = within ? LoraProductOf(plan, outputs) : LoraProduct{};
  }
  const int64_t divisions = int64_t{spec_.layers} * kSites * launcher_.sm_count;
  return Reserve(&lora_divisions_, divisions * static_cast<int64_t>(sizeof(LoraDivision)), "LoRA tables");
}

Status CudaBackend::ReserveOctets(int64_t octets) {
  const int64_t sites = int64_t{spec_.layers} * kSites;
  const auto reserve = [&](DeviceMemory* memory, int64_t entries, size_t bytes) {
    return Reserve(memory, sites * entries * static_cast<int64_t>(bytes), "LoRA tables");
  };
  CHORALE_RETURN_IF_ERROR(reserve(&lora_counts_, 1, sizeof(LoraCounts)));
  CHORALE_RETURN_IF_ERROR(reserve(&lora_octets_, octets, sizeof(LoraOctet)));
  CHORALE_RETURN_IF_ERROR(reserve(&lora_ready_, LoraTileCount(octets), sizeof(int32_t)));
  const int32_t box_rows = StreamBox(std::min(rows_max_, kStreamRowsMax));
  CHORALE_RETURN_IF_ERROR(Reserve(&lora_sums_, kLoraSumSites * LoraSumBytes(octets, box_rows), "rank activations"));
  const int64_t parts_before = lora_v_parts_.bytes();
  CHORALE_RETURN_IF_ERROR(Reserve(&lora_v_parts_, 4 * LoraPartWords(octets, launcher_.sm_count, box_rows), "rank activations"));
  if (lora_v_parts_.bytes() != parts_before) {
    static_assert(kLoraEmpty == 0xffffffffu);
    Check(cudaMemsetAsync(lora_v_parts_.data(), 0xff, static_cast<size_t>(lora_v_parts_.bytes()), launcher_.stream), "rank activations");
  }
  return Status::Ok();
}

// ---- recording and replaying ----------------------------------------------------------------------------------------------

bool CudaBackend::Replay() {
  if (!padded_) return false;
  for (int32_t slot : lora_slots_) loader_->WaitForLayer(slot, spec_.layers - 1, launcher_.stream);
  lora_slots_.clear();
  if (kind_.weights != 0) graphs_.KeepWeights(kind_.weights);
  const StepGraph* graph = graphs_.Find(kind_, tables_->generation());
  if (graph == nullptr) {
    graphs_.BeginCapture(launcher_.stream);
    capturing_ = true;
    return false;
  }
  graphs_.Launch(*graph, launcher_.stream);
  DrawnFrom().product = graph->logits;
  DrawnFrom().bias = nullptr;
  HaveForwarded();
  return true;
}

void CudaBackend::EndForward() {
  if (capturing_) {
    capturing_ = false;
    Check(launcher_.error, "recording a step");
    graphs_.EndCapture(launcher_.stream, kind_, tables_->generation(), DrawnFrom().product);
  }
  HaveForwarded();
}

void CudaBackend::HaveForwarded() {
  if (std::exchange(narrow_, false)) rows_ = step_->rows();
  Check(cudaEventRecord(turns_[turn_].forwarded, launcher_.stream), "a step");
  loader_->SendRest();
}

}  // namespace chorale::cuda
