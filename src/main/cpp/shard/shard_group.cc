#include "shard/shard_group.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace chorale {
namespace {

// The others come soon, and to wake who sleeps takes longer than that: on a virtual machine 300 us, as much as a whole
// step of a small model.
constexpr std::chrono::microseconds kWatch{200};

}  // namespace

std::span<const void* const> ShardGroup::Meet(int32_t shard, const void* item) {
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) throw ShardsAborted(failure_);
  const int64_t meeting = meetings_;
  Items& items = items_[meeting % 2];
  items[shard] = item;
  if (++arrived_ == shards_) {
    arrived_ = 0;
    ++meetings_;
    met_.notify_all();
    return items;
  }
  lock.unlock();
  const auto sleeps = std::chrono::steady_clock::now() + kWatch;
  while (meetings_ == meeting && !failed_ && std::chrono::steady_clock::now() < sleeps) std::this_thread::yield();
  lock.lock();
  met_.wait(lock, [&] { return meetings_ != meeting || failed_; });
  if (meetings_ == meeting) throw ShardsAborted(failure_);
  return items;
}

Status ShardGroup::Agree(int32_t shard, const Status& status) {
  Statuses* statuses = nullptr;
  {
    std::lock_guard lock(mutex_);  // the meeting at hand ends only when this shard has come
    statuses = &statuses_[meetings_ % 2];
  }
  (*statuses)[shard] = status;
  Meet(shard, nullptr);
  return FirstFailure(*statuses);
}

Status FirstFailure(std::span<const Status> statuses) {
  const auto failure = std::ranges::find_if_not(statuses, &Status::ok);
  if (failure == statuses.end()) return Status::Ok();
  const bool alike = std::ranges::all_of(statuses, [&](const Status& other) {
    return other.code() == failure->code() && other.message() == failure->message();
  });
  if (alike) return *failure;
  return failure->WithMessage(Format("shard %td: %s", failure - statuses.begin(), failure->message().c_str()));
}

Status AgreeOn(const Shard& shard, const Status& status) {
  return shard.count == 1 ? status : shard.group->Agree(shard.index, status);
}

std::vector<int64_t> ShardGroup::Tell(int32_t shard, int64_t value) {
  std::vector<int64_t> values;
  for (const void* item : Meet(shard, &value)) values.push_back(*static_cast<const int64_t*>(item));
  Meet(shard, nullptr);
  return values;
}

void ShardGroup::Abort(const std::string& why) {
  {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = why.empty() ? "a shard has failed" : why;
    failed_ = true;
  }
  met_.notify_all();
  std::lock_guard lock(listeners_mutex_);
  for (const auto& [owner, tell] : listeners_) tell();
  listeners_.clear();
}

void ShardGroup::WhenAborted(const void* owner, std::function<void()> tell) {
  std::lock_guard lock(listeners_mutex_);
  listeners_.emplace(owner, std::move(tell));
}

bool ShardGroup::Forget(const void* owner) {
  std::lock_guard lock(listeners_mutex_);
  return listeners_.erase(owner) == 0;
}

std::string ShardGroup::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace chorale
