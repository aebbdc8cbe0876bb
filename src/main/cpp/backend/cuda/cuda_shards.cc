// What a shard does together with the others, and what it takes to have them.
#include "backend/cuda/cuda_backend.h"
#include "shard/shard_cut.h"

namespace chorale::cuda {
namespace {

// The GPUs that this one cannot reach but through the host's memory.
std::string WithoutPeerAccess(const Shard& shard) {
  std::string names;
  for (int32_t other = 0; other < shard.count; ++other) {
    int can = 1;
    if (other == shard.index) continue;
    Check(cudaDeviceCanAccessPeer(&can, shard.index, other), "peer access");
    if (can == 0) names += Format("%s%d", names.empty() ? "" : ", ", other);
  }
  return names;
}

}  // namespace

Status CudaBackend::CheckShards(int32_t devices) const {
  if (shard_.count == 1) return Status::Ok();
  if (shard_.lora == LoraSharding::kSharded) {
    return Status::Invalid("lora_sharding=sharded: backend=cuda computes replicate only");
  }
  if (shard_.count > devices) {
    return Status::Invalid(Format("shards=%d: each takes a GPU of its own, and this machine shows %d (see "
                                  "CUDA_VISIBLE_DEVICES); possible: 1 to %d",
                                  shard_.count, devices, devices));
  }
  return Status::Ok();
}

Status CudaBackend::ConnectShards() {
  if (shard_.count == 1) return Status::Ok();
  Result<std::unique_ptr<NcclCommunicator>> connected = NcclCommunicator::Connect(shard_, launcher_.stream);
  if (!connected.ok()) return connected.status();
  communicator_ = std::move(connected).value();
  info_.device += Format(", %d of them with %s", shard_.count, communicator_->name().c_str());
  if (const std::string others = WithoutPeerAccess(shard_); !others.empty()) {
    info_.device += Format(" (no peer access from GPU %d to %s: sums go through the host's memory, slowly)",
                           shard_.index, others.c_str());
  }
  const Part vocab = VocabOf(spec_, shard_);
  Result<std::unique_ptr<Activation>> logits = MakeActivation(ActivationKind::kProduct, samples_max_, vocab.size());
  if (!logits.ok()) return logits.status();
  shard_logits_ = std::move(logits).value();
  logit_begins_ = {0};
  Shard other = shard_;
  for (other.index = 0; other.index < shard_.count; ++other.index) {
    logit_begins_.push_back(logit_begins_.back() + Padded(VocabOf(spec_, other).size()));
  }
  Result<DeviceMemory> gathered = AllocateZeros(4 * samples_max_ * logit_begins_.back(), "gathered logits");
  if (!gathered.ok()) return gathered.status();
  gathered_logits_ = std::move(gathered).value();
  return Status::Ok();
}

void CudaBackend::AllReduce(const AllReduceParams& params) {
  CudaActivation& x = Cuda(params.x);
  Collapse(x);
  const int32_t element = !x.product.half ? kF32 : element_ == Element::kF16 ? kF16 : kBF16;
  communicator_->AllReduce(kSumHidden, {.data = x.product.data,
                                        .element = element,
                                        .rows = rows_,
                                        .cols = x.cols(),
                                        .stride = x.product.cols});
}

// The shards' logits lie one shard after another when they have come; they are wanted one row after another.
void CudaBackend::AllGather(const AllGatherParams& params) {
  CudaActivation& logits = Cuda(params.x);
  logits_ = &logits;
  if (params.count == 0) return;
  const int32_t rows = padded_ ? rows_ : params.count;
  auto* gathered = gathered_logits_.as<float>();
  const CudaActivation& own = Cuda(shard_logits_.get());
  const size_t stride = static_cast<size_t>(logits.stride()) * 4;
  if (own.cols() > 0) {
    Collapse(own);
    Check(cudaMemcpyAsync(gathered + rows * logit_begins_[shard_.index], own.product.data,
                          static_cast<size_t>(rows * own.stride()) * 4, cudaMemcpyDeviceToDevice, launcher_.stream),
          "logits");
  }
  communicator_->AllGather(kGatherLogits,
                           {.data = gathered, .rows = rows, .cols = logit_begins_.back(), .stride = logit_begins_.back()},
                           logit_begins_);
  for (int32_t i = 0; i < shard_.count; ++i) {
    const int64_t cols = params.begins[i + 1] - params.begins[i];
    if (cols == 0) continue;
    Check(cudaMemcpy2DAsync(logits.memory.as<float>() + params.begins[i], stride, gathered + rows * logit_begins_[i],
                            static_cast<size_t>(logit_begins_[i + 1] - logit_begins_[i]) * 4,
                            static_cast<size_t>(cols) * 4, static_cast<size_t>(rows), cudaMemcpyDeviceToDevice,
                            launcher_.stream),
          "logits");
  }
  logits.product = {logits.memory.data(), rows * logits.stride(), static_cast<int32_t>(logits.stride()), 1, 1};
  logits.bias = nullptr;
}

CollectiveCounts CudaBackend::collectives() const {
  return communicator_ == nullptr ? CollectiveCounts{} : communicator_->counts();
}

}  // namespace chorale::cuda
