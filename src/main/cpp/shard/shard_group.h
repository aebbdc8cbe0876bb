// ShardGroup: where the threads that drive the shards of one engine meet. They agree here on what must be the same for
// all; the numbers of the model go through a Communicator.
//
// A shard that fails while others wait for it would leave them waiting for ever, so a failure is announced by Abort, and
// whoever waits, or comes later, gets ShardsAborted.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/status.h"
#include "shard/shard.h"

namespace chorale {

class ShardsAborted final : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class ShardGroup {
 public:
  explicit ShardGroup(int32_t shards)
      : shards_(shards), items_{Items(shards), Items(shards)}, statuses_{Statuses(shards), Statuses(shards)} {}

  int32_t shards() const { return shards_; }

  // Waits for all shards, and gives what each has brought, by shard. The list is valid until this shard's next meeting;
  // what it points to, as long as its owner leaves it alone.
  std::span<const void* const> Meet(int32_t shard, const void* item);

  // The FirstFailure of all shards', the same on every one.
  Status Agree(int32_t shard, const Status& status);
  // Everybody's number, by shard.
  std::vector<int64_t> Tell(int32_t shard, int64_t value);

  void Abort(const std::string& why);  // the first reason stays
  // What else must be told of it, once; on the thread that aborts. Forget: whether it has been told.
  void WhenAborted(const void* owner, std::function<void()> tell);
  bool Forget(const void* owner);
  std::string failure() const;         // empty: not aborted

 private:
  using Items = std::vector<const void*>;
  using Statuses = std::vector<Status>;

  const int32_t shards_;
  mutable std::mutex mutex_;
  std::condition_variable met_;
  // Of this meeting and the one before, whose list may still be read.
  Items items_[2];
  Statuses statuses_[2];  // what the shards agree on, so that nobody waits for the others to have read theirs
  std::atomic<int64_t> meetings_ = 0;  // written under the lock, as failed_
  std::atomic<bool> failed_ = false;
  int32_t arrived_ = 0;
  std::string failure_;
  std::mutex listeners_mutex_;  // held while they are told
  std::map<const void*, std::function<void()>> listeners_;
};

// OK when all shards' are; else the first failure, with the number of its shard unless all have it.
Status FirstFailure(std::span<const Status> statuses);
// Agree where there are several shards.
Status AgreeOn(const Shard& shard, const Status& status);

}  // namespace chorale
