#include "backend/cuda/step_graphs.h"

namespace chorale::cuda {

const StepGraph* StepGraphs::Find(const StepKind& kind, int64_t tables) const {
  const auto found = graphs_.find(kind);
  return found == graphs_.end() || found->second.tables != tables ? nullptr : &found->second;
}

void StepGraphs::BeginCapture(cudaStream_t stream) {
  // Other threads go on pinning memory for adapters meanwhile.
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a step");
}

void StepGraphs::EndCapture(cudaStream_t stream, const StepKind& kind, int64_t tables, const Product& logits) {
  cudaGraph_t recorded = nullptr;
  Check(cudaStreamEndCapture(stream, &recorded), "recording a step");
  StepGraph graph{.tables = tables, .logits = logits};
  const cudaError_t result = cudaGraphInstantiate(&graph.executable, recorded, 0);
  cudaGraphDestroy(recorded);
  Check(result, "recording a step");
  ++captures_;
  const auto [place, is_new] = graphs_.try_emplace(kind);
  if (!is_new) cudaGraphExecDestroy(place->second.executable);  // one that runs is freed when it has ended
  place->second = graph;
  Check(cudaGraphLaunch(graph.executable, stream), "a step");
}

void StepGraphs::Launch(const StepGraph& graph, cudaStream_t stream) {
  Check(cudaGraphLaunch(graph.executable, stream), "a step");
  ++replays_;
}

void StepGraphs::Clear() {
  for (auto& [kind, graph] : graphs_) cudaGraphExecDestroy(graph.executable);
  graphs_.clear();
}

void StepGraphs::KeepWeights(int64_t weights) {
  std::erase_if(graphs_, [weights](const auto& entry) {
    if (entry.first.weights == 0 || entry.first.weights == weights) return false;
    cudaGraphExecDestroy(entry.second.executable);
    return true;
  });
}

}  // namespace chorale::cuda
