#include "backend/cuda/step_tables.h"

#include <cstring>

namespace chorale::cuda {
namespace {

constexpr int64_t kAlign = 256;

constexpr int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

StepTables::~StepTables() {
  for (Staging& staging : staging_) {
    if (staging.sent != nullptr) cudaEventDestroy(staging.sent);
  }
}

bool StepTables::Fits() const {
  if (entries_.size() != spots_.size()) return false;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].room > spots_[i].room) return false;
  }
  return true;
}

// Gives every table its place, and those that have outgrown theirs half as much again.
Status StepTables::Move(cudaStream_t stream) {
  const bool same_tables = entries_.size() == spots_.size();
  spots_.resize(entries_.size());
  int64_t place = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const int64_t room = entries_[i].room, had = same_tables ? spots_[i].room : 0;
    spots_[i] = {place, std::max(had, room > had && same_tables ? Aligned(room + room / 2) : Aligned(room))};
    place += spots_[i].room;
  }
  ++generation_;
  if (device_.bytes() >= place) return Status::Ok();
  Wait(stream, "step tables");  // what still reads the old ones
  device_ = DeviceMemory();
  Result<DeviceMemory> device = DeviceMemory::Allocate(place, "step tables");
  if (!device.ok()) {
    spots_.clear();
    return device.status();
  }
  device_ = std::move(device).value();
  for (Staging& staging : staging_) {
    staging.memory = PinnedMemory();
    Result<PinnedMemory> memory = PinnedMemory::Allocate(place, "step tables");
    if (!memory.ok()) {
      device_ = DeviceMemory();
      spots_.clear();
      return memory.status();
    }
    staging.memory = std::move(memory).value();
    if (staging.sent == nullptr) Check(cudaEventCreateWithFlags(&staging.sent, cudaEventDisableTiming), "event");
  }
  return Status::Ok();
}

Status StepTables::Place(cudaStream_t stream) {
  if (!Fits()) CHORALE_RETURN_IF_ERROR(Move(stream));
  for (size_t i = 0; i < entries_.size(); ++i) *entries_[i].device = device_.data() + spots_[i].place;
  return Status::Ok();
}

void StepTables::Send(cudaStream_t stream, int32_t turn) {
  Staging& staging = staging_[turn];
  if (cudaEventQuery(staging.sent) != cudaSuccess) {  // hardly ever: the step before the last has been awaited
    CountWait();
    Check(cudaEventSynchronize(staging.sent), "step tables");
  }
  int64_t end = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].bytes == 0) continue;
    std::memcpy(staging.memory.data() + spots_[i].place, entries_[i].source, static_cast<size_t>(entries_[i].bytes));
    end = spots_[i].place + entries_[i].bytes;
  }
  if (end == 0) return;
  Check(cudaMemcpyAsync(device_.data(), staging.memory.data(), static_cast<size_t>(end), cudaMemcpyHostToDevice, stream),
        "step tables");
  Check(cudaEventRecord(staging.sent, stream), "step tables");
}

}  // namespace chorale::cuda
