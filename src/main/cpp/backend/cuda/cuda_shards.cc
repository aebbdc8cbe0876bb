// What a shard does together with the others, and what it takes to have them.
#include <cstring>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "shard/shard_cut.h"
#include "shard/shard_group.h"

namespace chorale::cuda {
namespace {

constexpr int64_t kRankColumnsLeast = 1024;  // of a row of rank activations that shards exchange, however small the model

}  // namespace
Status CudaBackend::CheckShards(int32_t devices) const {
  if (shard_.count == 1) return Status::Ok();
  if (shard_.count > devices) {
    return Status::Invalid(Format("shards=%d: each takes a GPU of its own, and this machine shows %d (see "
                                  "CUDA_VISIBLE_DEVICES); possible: 1 to %d",
                                  shard_.count, devices, devices));
  }
  return Status::Ok();
}

// Directly where all GPUs reach each other, else through NCCL.
Status CudaBackend::ConnectShards() {
  if (shard_.count == 1) return Status::Ok();
  const SampleWords& last = words_.back();
  Result<std::unique_ptr<Activation>> logits =
      MakeActivation(ActivationKind::kProduct, samples_max_, words_[shard_.index].count);
  if (!logits.ok()) return logits.status();
  shard_logits_ = std::move(logits).value();
  Result<std::unique_ptr<PeerExchange>> peers =
      PeerExchange::Connect(shard_,
                            {.sum_rows = rows_max_,
                             .sum_cols = Padded(spec_.hidden),
                             .rank_cols = shard_.cuts_both_factors() ? std::max(Padded(spec_.hidden), kRankColumnsLeast) : 0,
                             .whole_rows = samples_max_,
                             .whole_stride = Padded(spec_.vocab),
                             .chunks = last.chunk + SampleChunks(last.count)},
                            launcher_.stream);
  if (!peers.ok()) return peers.status();
  peers_ = std::move(peers).value();
  if (peers_ != nullptr) {
    info_.device += Format(", %d of them with peer access", shard_.count);
    return Status::Ok();
  }
  if (shard_.cuts_both_factors()) {
    return Status::Invalid("lora_sharding=sharded: the GPUs do not reach each other (no peer access), which it needs; "
                           "lora_sharding=replicate does without");
  }
  Result<std::unique_ptr<NcclCommunicator>> connected = NcclCommunicator::Connect(shard_, launcher_.stream);
  if (!connected.ok()) return connected.status();
  nccl_ = std::move(connected).value();
  info_.device += Format(", %d of them with %s (no peer access: what shards exchange takes longer)", shard_.count,
                         nccl_->name().c_str());
  gathered_begins_ = {0};
  for (const SampleWords& words : words_) gathered_begins_.push_back(gathered_begins_.back() + Padded(words.count));
  Result<DeviceMemory> gathered = AllocateZeros(4 * samples_max_ * gathered_begins_.back(), "gathered logits");
  if (!gathered.ok()) return gathered.status();
  gathered_logits_ = std::move(gathered).value();
  return Status::Ok();
}

// The library loads a kernel when it is first wanted, and that may wait for the device and keep other threads from
// launching. While a kernel of a step waits for another GPU's, it must not happen: whatever the step is going to want is
// run here, before the shards agree to begin it, on weights and activations that nobody needs at the time.
void CudaBackend::LoadLibraryKernels() {
  if (shard_.count == 1 || cublaslt_ == nullptr) return;
  const int64_t q_width = OutWidth(spec_, kQ), kv_width = OutWidth(spec_, kK);
  const struct {
    int64_t outputs, inputs;
    int32_t rows;
  } products[] = {{q_width + 2 * kv_width, spec_.hidden, rows_},
                  {spec_.hidden, q_width, rows_},
                  {int64_t{2} * spec_.intermediate, spec_.hidden, rows_},
                  {spec_.hidden, spec_.intermediate, rows_},
                  {VocabOf(spec_, shard_).size(), spec_.hidden, step_->samples()}};
  bool idle = false;
  for (const auto& [outputs, inputs, rows] : products) {
    const auto found = matrices_.find({outputs, inputs});
    if (rows < kLibraryRowsLeast || found == matrices_.end()) continue;
    const CudaMatrix& weight = *found->second;
    for (const bool half : {false, true}) {
      if (half && rows < kHalfProductRowsLeast) continue;
      const CublasLt::GemmArgs args{.weight = weight.memory.data(),
                                    .weight_stride = weight.stride,
                                    .x = widest_input_->memory.data(),
                                    .x_stride = weight.stride,
                                    .y = widest_product_->memory.data(),
                                    .half = half,
                                    .rows = rows,
                                    .cols = static_cast<int32_t>(Padded(outputs)),
                                    .inputs = static_cast<int32_t>(weight.stride)};
      if (cublaslt_->HasRun(element_, args)) continue;
      if (!std::exchange(idle, true)) Finish("loading kernels");  // what this shard owes the others has been sent then
      cublaslt_->Gemm(launcher_, element_, args);
    }
  }
}

// The bytes of A or B of an adapter, in order.
std::vector<uint8_t> CudaBackend::ReadRows(const ResidentAdapter& adapter, int32_t layer, const TiledRows& rows) {
  std::vector<uint8_t> bytes(static_cast<size_t>(rows.bytes()));
  for (int64_t at = 0; at < rows.bytes();) {
    const int64_t place = rows.offset + at, in_slice = place % geometry_.slice_bytes;
    const int64_t count = std::min(geometry_.slice_bytes - in_slice, rows.bytes() - at);
    Check(cudaMemcpyAsync(bytes.data() + at, Slice(adapter.pages[place / geometry_.slice_bytes], layer) + in_slice,
                          static_cast<size_t>(count), cudaMemcpyDeviceToHost, launcher_.stream),
          "the factors of a merge");
    at += count;
  }
  Finish("the factors of a merge");
  return bytes;
}

// No shard has all of both factors of a linear: they are put together in the host's memory, which is where all shards
// are; a merge is rare.
void CudaBackend::GatherFactors(const ResidentAdapter& adapter, int32_t layer, int32_t target, LoraMergeArgs* args) {
  struct Held {
    const LoraMatrices* matrices;
    std::vector<uint8_t> a, b;
  };
  const LoraMatrices& m = adapter.layout->at(layer, target);
  peers_->Count(kGatherFactors);
  const Held own{&m, ReadRows(adapter, layer, m.a), ReadRows(adapter, layer, m.b)};
  TiledRows a{.rank = m.rank(), .columns = m.a.columns, .element_bytes = 2};
  TiledRows b{.offset = a.bytes(), .rank = m.rank(), .columns = m.b.columns, .element_bytes = 2};
  const bool cuts_outputs = SumsProducts(static_cast<Target>(target));
  if (cuts_outputs) b.columns = spec_.hidden;
  std::vector<uint8_t> bytes(static_cast<size_t>(a.bytes() + b.bytes()));
  const auto copy = [&](const TiledRows& from, const std::vector<uint8_t>& data, const TiledRows& to, int32_t rank_begin,
                        int32_t column_begin) {
    for (int32_t column = 0; column < from.columns; ++column) {
      const int32_t tile = column / kTileColumns, place = column_begin + column;
      for (int32_t j = 0; j < from.rank; ++j) {
        const int64_t source = from.row_offset(tile, j) - from.offset + column % kTileColumns * 2;
        std::memcpy(bytes.data() + to.row_offset(place / kTileColumns, rank_begin + j) + place % kTileColumns * 2,
                    data.data() + source, 2);
      }
    }
  };
  for (const void* item : shard_.group->Meet(shard_.index, &own)) {
    const Held& held = *static_cast<const Held*>(item);
    if (&held == &own || !cuts_outputs) copy(held.matrices->a, held.a, a, held.matrices->rank_begin, 0);
    if (&held == &own || cuts_outputs) copy(held.matrices->b, held.b, b, 0, held.matrices->first_output);
  }
  shard_.group->Meet(shard_.index, nullptr);  // until then the others read `own`
  const Status reserved = Reserve(&merge_factors_, static_cast<int64_t>(bytes.size()), "the factors of a merge");
  if (!reserved.ok()) throw std::runtime_error(reserved.message());
  Check(cudaMemcpyAsync(merge_factors_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice, launcher_.stream),
        "the factors of a merge");
  args->pool = {merge_factors_.data(), 0, static_cast<uint32_t>(bytes.size())};
  args->layer = 0;
  args->matrix.a_offset = 0;
  args->matrix.b_offset = static_cast<uint32_t>(b.offset);
  args->outputs = b.columns;
}

// Of each adapter's v = A x a shard has some ranks, or a share of all.
void CudaBackend::SumRanksOverShards(const LoraSite& site, const LoraSiteArgs& args) {
  if (!shard_.cuts_both_factors()) return;
  const bool all_ranks = SumsProducts(static_cast<Target>(site.first));
  const Exchange exchange = peers_->RankSum(all_ranks ? kSumRanks : kGatherRanks, all_ranks ? 1 : 0);
  SumRanks(launcher_, element_, LoraBlocks(), args, exchange, peers_->rank_cols() / 2);
}

void CudaBackend::AllReduce(const AllReduceParams& params) {
  CudaActivation& x = Cuda(params.x);
  if (peers_ != nullptr) {
    x.exchange = peers_->NextSum();  // who reads it adds it up
    return;
  }
  Collapse(x);
  const int32_t element = !x.product.half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  nccl_->AllReduce(kSumHidden, {.data = x.product.data,
                                .element = element,
                                .rows = rows_,
                                .cols = x.cols(),
                                .stride = x.product.cols});
}

// Tokens are drawn where their logits are (cuda_sample.cc), so all logits are wanted by who looks at them only.
void CudaBackend::AllGather(const AllGatherParams& params) {
  logits_ = &Cuda(params.x);
  if (has_all_logits_ && params.count > 0) GatherLogits(padded_ ? rows_ : params.count);
}

void CudaBackend::GatherLogits(int32_t rows) {
  const int64_t stride = logits_->stride();
  logits_->bias = nullptr;
  logits_->product = {logits_->memory.data(), rows * stride, static_cast<int32_t>(stride), 1, 1};
  if (peers_ == nullptr) {
    GatherThroughNccl(rows);
    return;
  }
  logits_->product.data = peers_->whole();
  SpreadArgs args = peers_->NextSpread(rows, words_);
  args.own = Cuda(shard_logits_.get()).product;
  Spread(launcher_, rows, args);
}

// The shards' logits lie one shard after another when they have come; they are wanted one row after another.
void CudaBackend::GatherThroughNccl(int32_t rows) {
  auto* gathered = gathered_logits_.as<float>();
  const CudaActivation& own = Cuda(shard_logits_.get());
  const size_t stride = static_cast<size_t>(logits_->stride()) * 4;
  if (own.cols() > 0) {
    Collapse(own);
    Check(cudaMemcpyAsync(gathered + rows * gathered_begins_[shard_.index], own.product.data,
                          static_cast<size_t>(rows * own.stride()) * 4, cudaMemcpyDeviceToDevice, launcher_.stream),
          "logits");
  }
  nccl_->AllGather(kGatherLogits,
                   {.data = gathered, .rows = rows, .cols = gathered_begins_.back(), .stride = gathered_begins_.back()},
                   gathered_begins_);
  for (int32_t i = 0; i < shard_.count; ++i) {
    if (words_[i].count == 0) continue;
    Check(cudaMemcpy2DAsync(logits_->memory.as<float>() + words_[i].first, stride, gathered + rows * gathered_begins_[i],
                            static_cast<size_t>(gathered_begins_[i + 1] - gathered_begins_[i]) * 4,
                            static_cast<size_t>(words_[i].count) * 4, static_cast<size_t>(rows), cudaMemcpyDeviceToDevice,
                            launcher_.stream),
          "logits");
  }
}

CollectiveCounts CudaBackend::collectives() const {
  if (peers_ != nullptr) return peers_->collectives();
  return nccl_ == nullptr ? CollectiveCounts{} : nccl_->counts();
}

}  // namespace chorale::cuda
