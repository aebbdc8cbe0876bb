#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda/lab.h"
#include "kernels/attention.h"
#include "kernels/kv_layout.cuh"

namespace chorale::cuda {
namespace {

struct Shape {
  int32_t heads, kv_heads, head_dim, page_tokens, window;
};

// Sequences with `context` tokens of which the last `rows` are queries; keys and values random, all else NaN, pages in
// random order, and pages that fell out of the window -1.
class Case {
 public:
  struct Sequence {
    int32_t context, rows;
  };

  Case(Lab& lab, Element element, const Shape& shape, const std::vector<Sequence>& sequences)
      : lab_(lab), element_(element), shape_(shape), sequences_(sequences) {
    const int32_t t = shape.page_tokens;
    slice_ = int64_t{2} * shape.kv_heads * t * shape.head_dim;
    int32_t page_total = 0;
    for (const Sequence& s : sequences) page_total += (s.context + t - 1) / t;
    std::vector<int32_t> order(page_total);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), lab.random);
    pool_.assign(static_cast<size_t>(page_total * slice_), 0xffff);
    kv_ = {nullptr, slice_ * 2, t, shape.kv_heads, shape.head_dim};
    page_start_.push_back(0);
    int32_t next = 0;
    for (size_t s = 0; s < sequences.size(); ++s) {
      const auto [context, rows] = sequences[s];
      const int32_t oldest = shape.window > 0 ? std::max(0, context - rows + 1 - shape.window) : 0;
      for (int32_t page = 0; page < (context + t - 1) / t; ++page, ++next) {
        page_ids_.push_back((page + 1) * t <= oldest ? -1 : order[next]);
      }
      page_start_.push_back(static_cast<int32_t>(page_ids_.size()));
      for (int32_t i = 0; i < rows; ++i) {
        positions_.push_back(context - rows + i);
        sequence_.push_back(static_cast<int32_t>(s));
      }
      for (int32_t key = oldest; key < context; ++key) {
        for (int32_t head = 0; head < shape.kv_heads; ++head) {
          for (int32_t d = 0; d < shape.head_dim; ++d) {
            *Place(static_cast<int32_t>(s), key, head, false, d) = Round(element, lab.Normal(1.0));
            *Place(static_cast<int32_t>(s), key, head, true, d) = Round(element, lab.Normal(1.0));
          }
        }
      }
    }
    q_ = lab.NormalHalves(element, static_cast<int64_t>(positions_.size()) * shape.heads * shape.head_dim, 1.0);
  }

  enum class Kind { kDecode, kPrefill, kPrefillOldDevice, kPlain };

  void Check(Kind kind, const std::string& name, bool few_blocks = false) {
    const auto rows = static_cast<int32_t>(positions_.size());
    DeviceArray<Half> pool(pool_), q(q_), out(static_cast<int64_t>(q_.size()));
    DeviceArray<int32_t> positions(positions_), sequence(sequence_), page_start(page_start_), page_ids(page_ids_);
    AttentionArgs args;
    args.q = q.data();
    args.out = out.data();
    args.out_stride = shape_.heads * shape_.head_dim;
    args.heads = shape_.heads;
    args.scale = static_cast<float>(1 / std::sqrt(double(shape_.head_dim)));
    args.window = shape_.window;
    args.positions = positions.data();
    args.sequence = sequence.data();
    args.page_start = page_start.data();
    args.page_ids = page_ids.data();
    args.kv = kv_;
    args.kv.slices = reinterpret_cast<uint8_t*>(pool.data());
    if (kind == Kind::kPlain) AttentionPlain(lab_.launcher, element_, rows, args);
    if (kind == Kind::kPrefill || kind == Kind::kPrefillOldDevice) {
      std::vector<PrefillSequence> list;
      int32_t row = 0;
      for (const Sequence& s : sequences_) {
        list.push_back({row, s.rows, s.context - s.rows});
        row += s.rows;
      }
      std::vector<PrefillItem> items;
      PlanPrefill(list, shape_.heads, shape_.kv_heads, &items);
      DeviceArray<PrefillItem> d_items(items);
      const int32_t sm_major = lab_.launcher.sm_major;
      if (kind == Kind::kPrefillOldDevice) lab_.launcher.sm_major = 8;
      AttentionPrefill(lab_.launcher, element_, static_cast<int32_t>(items.size()), args, d_items.data());
      lab_.launcher.sm_major = sm_major;
      lab_.Finish("attention_prefill");
    }
    if (kind == Kind::kDecode) {
      std::vector<DecodeRow> list;
      for (int32_t row = 0; row < rows; ++row) list.push_back({row, positions_[row]});
      DecodePlan plan;
      // As for a device of 3 multiprocessors: blocks then have several items, and items of several blocks.
      const int32_t sm_count = lab_.launcher.sm_count;
      lab_.launcher.sm_count = few_blocks ? 3 : sm_count;
      PlanDecode(list, shape_.heads, shape_.kv_heads, shape_.window, lab_.launcher.sm_count, &plan);
      DeviceArray<DecodeItem> items(plan.items);
      DeviceArray<int32_t> block_start(plan.block_start);
      DeviceArray<float> partial(int64_t{plan.partials} * kDecodeHeads * shape_.head_dim);
      DeviceArray<float2> stats(int64_t{plan.partials} * kDecodeHeads);
      DeviceArray<int32_t> tickets(std::vector<int32_t>(plan.tickets, 0));
      const DecodeWork work{items.data(), block_start.data(), partial.data(), stats.data(), tickets.data()};
      // Twice: the tickets are left as they were found.
      AttentionDecode(lab_.launcher, element_, args, work);
      lab_.Finish("attention_decode");
      const std::vector<Half> first = out.Download();
      AttentionDecode(lab_.launcher, element_, args, work);
      lab_.Finish("attention_decode");
      lab_.Expect(name + " is the same twice", first == out.Download());
      lab_.launcher.sm_count = sm_count;
    }
    lab_.Finish(name.c_str());
    lab_.Compare(name, Widened(element_, out.Download()), Reference(), 5e-3);
  }

 private:
  Half* Place(int32_t s, int32_t key, int32_t head, bool value, int32_t d) {
    const int32_t page = page_ids_[page_start_[s] + key / shape_.page_tokens];
    return pool_.data() + page * slice_ + KvHeadOffset(kv_, value, head) +
           KvOffsetInHead(kv_, key % shape_.page_tokens, d);
  }

  std::vector<double> Reference() {
    std::vector<double> out;
    const std::vector<double> wide_pool = Widened(element_, pool_), wide_q = Widened(element_, q_);
    const auto at = [&](int32_t s, int32_t key, int32_t head, bool value, int32_t d) {
      return wide_pool[Place(s, key, head, value, d) - pool_.data()];
    };
    const int32_t group = shape_.heads / shape_.kv_heads;
    for (size_t row = 0; row < positions_.size(); ++row) {
      const int32_t position = positions_[row], s = sequence_[row];
      const int32_t first = shape_.window > 0 ? std::max(0, position + 1 - shape_.window) : 0;
      for (int32_t head = 0; head < shape_.heads; ++head) {
        const double* q = wide_q.data() + (row * shape_.heads + head) * shape_.head_dim;
        std::vector<double> p;
        double max = -1e300, total = 0;
        for (int32_t key = first; key <= position; ++key) {
          double dot = 0;
          for (int32_t d = 0; d < shape_.head_dim; ++d) {
            dot += q[d] * at(s, key, head / group, false, d);
          }
          p.push_back(dot / std::sqrt(double(shape_.head_dim)));
          max = std::max(max, p.back());
        }
        for (double& x : p) total += x = std::exp(x - max);
        std::vector<double> sum(shape_.head_dim, 0.0);
        for (int32_t key = first; key <= position; ++key) {
          for (int32_t d = 0; d < shape_.head_dim; ++d) {
            sum[d] += p[key - first] / total * at(s, key, head / group, true, d);
          }
        }
        out.insert(out.end(), sum.begin(), sum.end());
      }
    }
    return out;
  }

  Lab& lab_;
  Element element_;
  Shape shape_;
  std::vector<Sequence> sequences_;
  int64_t slice_ = 0;
  std::vector<Half> pool_, q_;
  KvPages kv_;
  std::vector<int32_t> positions_, sequence_, page_start_, page_ids_;
};

}  // namespace

void CheckAttention(Lab& lab) {
  const Shape shapes[] = {{8, 2, 128, 16, 0},   {4, 4, 128, 16, 0},  {14, 2, 64, 64, 0}, {16, 1, 64, 32, 0},
                          {8, 8, 64, 16, 0},    {8, 2, 128, 16, 40}, {7, 1, 64, 64, 100}, {20, 2, 128, 32, 0}};
  const Shape plain[] = {{6, 2, 32, 64, 0}, {4, 4, 80, 16, 0}, {4, 2, 256, 16, 50}, {8, 2, 128, 16, 40}};
  for (const Element element : {Element::kBf16, Element::kF16}) {
    for (const Shape& s : shapes) {
      const std::string name = " heads " + std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " d " +
                               std::to_string(s.head_dim) + " T " + std::to_string(s.page_tokens) + " window " +
                               std::to_string(s.window);
      Case decode(lab, element, s, {{1, 1}, {15, 1}, {16, 1}, {17, 1}, {64, 1}, {131, 1}, {700, 1}, {1027, 1}, {300, 3}});
      decode.Check(Case::Kind::kDecode, "attention_decode" + name);
      decode.Check(Case::Kind::kDecode, "attention_decode, few blocks" + name, true);
      Case prefill(lab, element, s, {{1, 1}, {16, 16}, {70, 70}, {150, 20}, {333, 130}, {65, 1}});
      prefill.Check(Case::Kind::kPrefill, "attention_prefill" + name);
      prefill.Check(Case::Kind::kPrefillOldDevice, "attention_prefill without wgmma" + name);
    }
    for (const Shape& s : plain) {
      Case(lab, element, s, {{1, 1}, {17, 3}, {140, 30}, {300, 1}})
          .Check(Case::Kind::kPlain, "attention_plain d " + std::to_string(s.head_dim));
    }
  }
}

}  // namespace chorale::cuda
