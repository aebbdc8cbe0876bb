#include "backend/cuda/nccl.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "shard/shard_group.h"

namespace chorale::cuda {
namespace {

// What this needs of the library's binary interface, the same in all versions 2.x. The self-test guards it.
struct UniqueId {
  char bytes[128];
};
constexpr int32_t kNcclFloat16 = 6, kNcclFloat32 = 7, kNcclBfloat16 = 9;
constexpr int32_t kNcclSum = 0;

int32_t TypeOf(int32_t element) {
  return element == kF32 ? kNcclFloat32 : element == kF16 ? kNcclFloat16 : kNcclBfloat16;
}

// Read by the library when it is first used. What the environment already says stays.
void SetDefaults() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("NCCL_NVLS_ENABLE", "0", 0);      // multicast is a resource of the whole NVLink domain, not of one process
    setenv("NCCL_RUNTIME_CONNECT", "0", 0);  // all connections now, none while a step is being recorded
  });
}

}  // namespace

struct NcclCommunicator::Functions {
  int32_t (*version)(int32_t*) = nullptr;
  int32_t (*unique_id)(UniqueId*) = nullptr;
  int32_t (*init_rank)(void**, int32_t, UniqueId, int32_t) = nullptr;
  int32_t (*destroy)(void*) = nullptr;
  int32_t (*abort)(void*) = nullptr;
  int32_t (*all_reduce)(const void*, void*, size_t, int32_t, int32_t, void*, cudaStream_t) = nullptr;
  int32_t (*broadcast)(const void*, void*, size_t, int32_t, int32_t, void*, cudaStream_t) = nullptr;
  int32_t (*group_start)() = nullptr;
  int32_t (*group_end)() = nullptr;
  const char* (*error_string)(int32_t) = nullptr;
};

NcclCommunicator::NcclCommunicator(const Shard& shard, cudaStream_t stream)
    : shard_(shard), stream_(stream), functions_(std::make_unique<Functions>()) {}

Result<std::unique_ptr<NcclCommunicator>> NcclCommunicator::Connect(const Shard& shard, cudaStream_t stream) {
  std::unique_ptr<NcclCommunicator> nccl(new NcclCommunicator(shard, stream));
  CHORALE_RETURN_IF_ERROR(nccl->Load());
  CHORALE_RETURN_IF_ERROR(nccl->Join());
  CHORALE_RETURN_IF_ERROR(nccl->SelfTest());
  return nccl;
}

Status NcclCommunicator::Load() {
  SetDefaults();
  const char* chosen = std::getenv("CHORALE_NCCL");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "libnccl.so.2";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Status::Invalid(Format("shards=%d: the GPUs do not reach each other (no peer access), and NCCL, which would do, "
                                  "was not found (%s); install libnccl2, or set CHORALE_NCCL to the path of libnccl.so.2; "
                                  "shards=1 does without",
                                  shard_.count, dlerror()));
  }
  std::string missing;
  const auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, symbol));
    if (function == nullptr) missing = symbol;
  };
  Functions& f = *functions_;
  find(f.version, "ncclGetVersion");
  find(f.unique_id, "ncclGetUniqueId");
  find(f.init_rank, "ncclCommInitRank");
  find(f.destroy, "ncclCommDestroy");
  find(f.abort, "ncclCommAbort");
  find(f.all_reduce, "ncclAllReduce");
  find(f.broadcast, "ncclBroadcast");
  find(f.group_start, "ncclGroupStart");
  find(f.group_end, "ncclGroupEnd");
  find(f.error_string, "ncclGetErrorString");
  if (!missing.empty()) return Status::Invalid(Format("shards=%d: %s has no %s", shard_.count, path.c_str(), missing.c_str()));
  int32_t version = 0;
  f.version(&version);
  name_ = Format("NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
  return Status::Ok();
}

Status NcclCommunicator::Join() {
  UniqueId id{};
  if (shard_.index == 0) CheckNccl(functions_->unique_id(&id), "ncclGetUniqueId");
  id = *static_cast<const UniqueId*>(shard_.group->Meet(shard_.index, &id)[0]);
  shard_.group->Meet(shard_.index, nullptr);  // the first shard's id has been read
  CheckNccl(functions_->init_rank(&communicator_, shard_.count, id, shard_.index), "ncclCommInitRank");
  // A shard that has failed never comes: whoever waits for it on the device must be told.
  shard_.group->WhenAborted(this, [this] { functions_->abort(communicator_); });
  return Status::Ok();
}

Status NcclCommunicator::SelfTest() {
  const int32_t count = shard_.count;
  Result<DeviceMemory> memory = DeviceMemory::Allocate(4 * count, "NCCL's test");
  CHORALE_RETURN_IF_ERROR(shard_.group->Agree(shard_.index, memory.status()));
  std::vector<float> values(count, static_cast<float>(shard_.index + 1));
  const Block block{.data = memory.value().data(), .element = kF32, .rows = 1, .cols = count, .stride = count};
  const auto run = [&](const auto& collective) {
    Check(cudaMemcpyAsync(block.data, values.data(), values.size() * 4, cudaMemcpyHostToDevice, stream_), "NCCL's test");
    collective();
    Check(cudaMemcpyAsync(values.data(), block.data, values.size() * 4, cudaMemcpyDeviceToHost, stream_), "NCCL's test");
    Check(cudaStreamSynchronize(stream_), "NCCL's test");
  };
  run([&] { AllReduce(kSumHidden, block); });
  bool right = true;
  for (float value : values) right = right && value == static_cast<float>(count * (count + 1) / 2);
  values.assign(count, 0.0f);
  values[shard_.index] = static_cast<float>(shard_.index + 10);
  std::vector<int64_t> begins(count + 1);
  for (int32_t i = 0; i <= count; ++i) begins[i] = i;
  run([&] { AllGather(kGatherLogits, block, begins); });
  for (int32_t i = 0; i < count; ++i) right = right && values[i] == static_cast<float>(i + 10);
  ResetCounts();
  const Status status = right ? Status::Ok() : Status::Invalid(name_ + " does not sum or gather as it should");
  return shard_.group->Agree(shard_.index, status);
}

NcclCommunicator::~NcclCommunicator() {
  if (communicator_ == nullptr) return;
  const bool aborted = shard_.group->Forget(this);
  if (!aborted) functions_->destroy(communicator_);
}

void NcclCommunicator::CheckNccl(int32_t result, const char* what) const {
  if (result != 0) throw std::runtime_error(Format("%s: %s", what, functions_->error_string(result)));
}

void NcclCommunicator::AllReduce(Collective what, const Block& block) {
  Count(what);
  CheckNccl(functions_->all_reduce(block.data, block.data, static_cast<size_t>(block.rows * block.stride),
                                   TypeOf(block.element), kNcclSum, communicator_, stream_),
            "ncclAllReduce");
}

void NcclCommunicator::AllGather(Collective what, const Block& block, std::span<const int64_t> begins) {
  Count(what);
  const int64_t bytes = block.element == kF32 ? 4 : 2;
  CheckNccl(functions_->group_start(), "ncclGroupStart");
  for (int32_t i = 0; i < shard_.count; ++i) {
    auto* part = static_cast<uint8_t*>(block.data) + block.rows * begins[i] * bytes;
    const auto count = static_cast<size_t>(block.rows * (begins[i + 1] - begins[i]));
    if (count == 0) continue;
    CheckNccl(functions_->broadcast(part, part, count, TypeOf(block.element), i, communicator_, stream_), "ncclBroadcast");
  }
  CheckNccl(functions_->group_end(), "ncclGroupEnd");
}

}  // namespace chorale::cuda
