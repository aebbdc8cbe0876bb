#include "backend/cuda/peer_exchange.h"

#include <cstdlib>
#include <cstring>

#include "shard/shard_group.h"

namespace chorale::cuda {
namespace {

// Far beyond any delay of a shard that lives: all have agreed to run a step before any of them waits in it.
constexpr uint64_t kPatienceNanos = 10'000'000'000;

bool ReachesAll(const Shard& shard) {
  const char* wanted = std::getenv("CHORALE_PEER_ACCESS");
  if (wanted != nullptr && std::strcmp(wanted, "0") == 0) return false;
  for (int32_t other = 0; other < shard.count; ++other) {
    int can = 1;
    if (other != shard.index) Check(cudaDeviceCanAccessPeer(&can, shard.index, other), "peer access");
    if (can == 0) return false;
  }
  return true;
}

}  // namespace

Result<std::shared_ptr<SharedMemory>> SharedMemory::Allocate(int32_t device, int32_t devices, int64_t bytes,
                                                             cudaStream_t stream) {
  constexpr const char* kPurpose = "memory that other GPUs may write";
  std::shared_ptr<SharedMemory> memory(new SharedMemory());
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  Check(cudaMemPoolCreate(&memory->pool_, &properties), kPurpose);
  std::vector<cudaMemAccessDesc> access;
  for (int32_t other = 0; other < devices; ++other) {
    if (other == device) continue;
    cudaMemAccessDesc& one = access.emplace_back();
    one.location.type = cudaMemLocationTypeDevice;
    one.location.id = other;
    one.flags = cudaMemAccessFlagsProtReadWrite;
  }
  Check(cudaMemPoolSetAccess(memory->pool_, access.data(), access.size()), kPurpose);
  const cudaError_t result = cudaMallocFromPoolAsync(&memory->data_, static_cast<size_t>(bytes), memory->pool_, stream);
  if (result != cudaSuccess) {
    cudaGetLastError();  // forget it
    return Status::Exhausted(Format("%s: %lld bytes cannot be had: %s", kPurpose, static_cast<long long>(bytes),
                                    cudaGetErrorString(result)));
  }
  counts.device_allocations.fetch_add(1, std::memory_order_relaxed);
  Check(cudaStreamSynchronize(stream), kPurpose);
  return memory;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) cudaFree(data_);
  if (pool_ != nullptr) cudaMemPoolDestroy(pool_);
}

Result<std::unique_ptr<PeerExchange>> PeerExchange::Connect(const Shard& shard, const Sizes& sizes, cudaStream_t stream) {
  for (const int64_t reaches : shard.group->Tell(shard.index, ReachesAll(shard) ? 1 : 0)) {
    if (reaches == 0) return std::unique_ptr<PeerExchange>();
  }
  std::unique_ptr<PeerExchange> exchange(new PeerExchange(shard, sizes));
  CHORALE_RETURN_IF_ERROR(shard.group->Agree(shard.index, exchange->Open(stream)));
  struct Own {
    std::shared_ptr<SharedMemory> memory;
    std::shared_ptr<PinnedMemory> state;
  };
  const Own own{exchange->memories_[0], exchange->state_};
  exchange->memories_.clear();
  for (const void* item : shard.group->Meet(shard.index, &own)) {
    const Own& one = *static_cast<const Own*>(item);
    exchange->memories_.push_back(one.memory);
    if (one.state != nullptr) exchange->state_ = one.state;
  }
  shard.group->Meet(shard.index, nullptr);  // until then the others read `own`
  shard.group->WhenAborted(exchange.get(), [state = static_cast<volatile uint32_t*>(exchange->State())] {
    if (*state == 0) *state = kExchangeEnded;  // else it says why
  });
  return exchange;
}

// Two inboxes for sums and two for rank activations, each with a part for every shard; the whole matrix; the summaries of
// a draw; counts of arrivals of the matrix, and of each row's summaries.
float* PeerExchange::Whole(int32_t shard) const { return reinterpret_cast<float*>(Inboxes(shard) + InboxWords()); }
SampleSummary* PeerExchange::Summaries(int32_t shard) const {
  return reinterpret_cast<SampleSummary*>(Whole(shard) + sizes_.whole_rows * sizes_.whole_stride);
}
uint32_t* PeerExchange::Arrivals(int32_t shard) const {
  return reinterpret_cast<uint32_t*>(Summaries(shard)) + SummaryWords();
}

Status PeerExchange::Open(cudaStream_t stream) {
  if (shard_.index == 0) {
    Result<PinnedMemory> state = PinnedMemory::Allocate(4, "the state of an exchange");
    if (!state.ok()) return state.status();
    state_ = std::make_shared<PinnedMemory>(std::move(state).value());
    *State() = 0;
  }
  const int64_t inboxes = InboxWords();
  const int64_t rest = sizes_.whole_rows * sizes_.whole_stride + SummaryWords() + (1 + sizes_.whole_rows) * shard_.count;
  Result<std::shared_ptr<SharedMemory>> own =
      SharedMemory::Allocate(shard_.index, shard_.count, 4 * (inboxes + rest), stream);
  if (!own.ok()) return own.status();
  uint8_t* data = own.value()->data();
  memories_ = {std::move(own).value()};
  static_assert(kEmptyWord == 0xffffffff);
  cuda::Check(cudaMemsetAsync(data, 0xff, static_cast<size_t>(4 * inboxes), stream), "inboxes");
  cuda::Check(cudaMemsetAsync(data + 4 * inboxes, 0, static_cast<size_t>(4 * rest), stream), "inboxes");
  Wait(stream, "inboxes");
  return Status::Ok();
}

PeerExchange::~PeerExchange() { shard_.group->Forget(this); }

Exchange PeerExchange::MakeExchange(int64_t part_words, int64_t first_word) const {
  Exchange exchange{.part_words = part_words,
                    .shard = shard_.index,
                    .shards = shard_.count,
                    .state = State(),
                    .patience_nanos = kPatienceNanos};
  for (int32_t i = 0; i < shard_.count; ++i) exchange.inboxes[i] = Inboxes(i) + first_word;
  return exchange;
}

Exchange PeerExchange::NextSum() {
  ++counts_[kSumHidden];
  const int32_t turn = turn_;
  turn_ = 1 - turn_;
  return MakeExchange(PartWords(), turn * shard_.count * PartWords());
}

Exchange PeerExchange::RankSum(Collective what, int32_t turn) {
  ++counts_[what];
  return MakeExchange(RankWords(), shard_.count * (2 * PartWords() + turn * RankWords()));
}

SpreadArgs PeerExchange::NextSpread(int32_t rows, std::span<const SampleWords> words) {
  ++counts_[kGatherLogits];
  SpreadArgs next{.cols = words[shard_.index].count,
                  .first = words[shard_.index].first,
                  .stride = sizes_.whole_stride,
                  .shard = shard_.index,
                  .shards = shard_.count,
                  .state = State(),
                  .patience_nanos = kPatienceNanos};
  for (int32_t i = 0; i < shard_.count; ++i) {
    next.whole[i] = Whole(i);
    next.arrivals[i] = Arrivals(i);
    next.expected[i] = static_cast<uint32_t>(rows) * static_cast<uint32_t>(SpreadBlocks(words[i].count));
  }
  return next;
}

float* PeerExchange::whole() const { return Whole(shard_.index); }

SampleExchange PeerExchange::NextDraw(std::span<const SampleWords> words) {
  ++counts_[kGatherLogits];
  SampleExchange next{
      .shard = shard_.index, .shards = shard_.count, .state = State(), .patience_nanos = kPatienceNanos};
  for (int32_t i = 0; i < shard_.count; ++i) {
    next.summaries[i] = Summaries(i);
    next.arrivals[i] = DrawArrivals(i);
    next.expected[i] = static_cast<uint32_t>(SampleChunks(words[i].count));
  }
  return next;
}

void PeerExchange::Check() const {
  const uint32_t state = *static_cast<volatile uint32_t*>(State());
  if (state == 0) return;
  if (state < kExchangeMissed) throw std::runtime_error("another shard has failed");
  throw std::runtime_error(Format("GPU %d has waited %llu s for what GPU %d was to send", WhoWaited(state),
                                  static_cast<unsigned long long>(kPatienceNanos / 1'000'000'000), WhoWasMissed(state)));
}

}  // namespace chorale::cuda
