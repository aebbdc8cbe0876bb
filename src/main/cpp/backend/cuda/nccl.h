// NcclCommunicator: shards on GPUs of one host, one process, through NCCL, which is found at run time: for GPUs that do
// not reach each other (peer_exchange.h). Collectives are in the order of the stream and can be recorded in a graph.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "shard/communicator.h"
#include "shard/shard.h"

namespace chorale::cuda {

class NcclCommunicator final : public Communicator {
 public:
  // On the current device, with all shards at once. Sums and gathers once, to see that it works.
  static Result<std::unique_ptr<NcclCommunicator>> Connect(const Shard& shard, cudaStream_t stream);
  ~NcclCommunicator() override;

  // Blocks without gaps between rows only. Every shard gets the bits of one addition.
  void AllReduce(Collective what, const Block& block) override;
  // Blocks in which shard i's columns lie together, one shard after another: begins counts elements for each row.
  void AllGather(Collective what, const Block& block, std::span<const int64_t> begins) override;

  const std::string& name() const { return name_; }

 private:
  struct Functions;

  NcclCommunicator(const Shard& shard, cudaStream_t stream);
  Status Load();
  Status Join();
  Status SelfTest();
  void CheckNccl(int32_t result, const char* what) const;

  const Shard shard_;
  const cudaStream_t stream_;
  std::unique_ptr<Functions> functions_;
  std::string name_;
  void* communicator_ = nullptr;
};

}  // namespace chorale::cuda
