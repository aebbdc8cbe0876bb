// What adapters do beside A and B of the layers' linears: tables and launches (kernels/forms.h).
#include <algorithm>

#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {
namespace {

OuterMatrix MatrixOf(const TiledRows& rows) { return {rows.offset, rows.rank, rows.columns}; }
OuterPair PairOf(const LoraMatrices& pair) { return {MatrixOf(pair.a), MatrixOf(pair.b), pair.scale}; }

}  // namespace

FormUse CudaBackend::FormOf(const chorale::LoraUse& use) {
  const AdapterLayout& layout = *use.adapter->layout;
  if (layout.has_gains()) {
    for (int32_t layer = 0; layer < spec_.layers; ++layer) {
      for (int32_t target = 0; target < kTargets; ++target) {
        const LoraMatrices& m = layout.at(layer, target);
        form_gains_.push_back(m.has_gain() ? static_cast<uint32_t>(m.gain.offset) : kNoGain);
      }
    }
  }
  // What is outside the layers comes with the last of them, and is read before the first.
  if (layout.has_outer()) loader_->WaitForLayer(use.adapter->slot, spec_.layers - 1, launcher_.stream);
  return {.embed = PairOf(layout.outer(kOuterEmbed)),
          .head = PairOf(layout.outer(kOuterHead)),
          .own_head = MatrixOf(layout.own_head()),
          .scale = use.scale};
}

// Which rows of the step, and which of those that are sampled, have to do with each form. Nearly all steps have none.
Status CudaBackend::AddForms(const LoraBatch& lora) {
  kind_.gains = lora.has_gains;
  kind_.outer = lora.has_outer;
  form_uses_.clear();
  form_gains_.clear();
  gain_rows_.clear();
  embed_rows_.clear();
  head_rows_.clear();
  own_heads_.clear();
  form_counts_.clear();
  int64_t v_floats = 0, ranks_most = 0;
  if (kind_.gains || kind_.outer) {
    for (const chorale::LoraUse& use : lora.uses) form_uses_.push_back(FormOf(use));
    const auto any = [&](const chorale::LoraGroup& group, const auto& has) {
      return std::any_of(lora.uses.begin() + group.use_begin, lora.uses.begin() + group.use_end,
                         [&](const chorale::LoraUse& use) { return has(*use.adapter->layout); });
    };
    for (const chorale::LoraGroup& group : lora.groups) {
      const bool gains = any(group, [](const AdapterLayout& layout) { return layout.has_gains(); });
      const bool embed = any(group, [](const AdapterLayout& layout) { return layout.outer(kOuterEmbed).rank() > 0; });
      for (int32_t row = group.row_begin; row < group.row_end; ++row) {
        if (gains) gain_rows_.push_back({row, group.use_begin, group.use_end, 0});
        if (embed) embed_rows_.push_back({row, group.use_begin, group.use_end, 0});
      }
    }
    for (int32_t k = 0; kind_.outer && k < step_->samples(); ++k) {
      const chorale::LoraGroup* group = lora.GroupOf(step_->sample_row()[k]);
      if (group == nullptr) continue;
      int64_t ranks = 0;
      for (int32_t use = group->use_begin; use < group->use_end; ++use) {
        ranks += form_uses_[use].head.b.rank;
        if (form_uses_[use].own_head.columns == 0) continue;
        if (own_heads_.empty() || own_heads_.back().use != use || own_heads_.back().count == kOwnHeadRows) {
          own_heads_.push_back({.use = use});
        }
        OwnHeadGroup& own = own_heads_.back();
        own.rows[own.count++] = k;
      }
      if (ranks == 0) continue;
      head_rows_.push_back({k, group->use_begin, group->use_end, static_cast<int32_t>(v_floats)});
      v_floats += ranks;
      ranks_most = std::max(ranks_most, ranks);
    }
    form_counts_ = {static_cast<int32_t>(gain_rows_.size()), static_cast<int32_t>(embed_rows_.size()),
                    static_cast<int32_t>(head_rows_.size()), static_cast<int32_t>(own_heads_.size())};
  }
  const int64_t room = padded_ && !form_uses_.empty() ? rows_ : 0;
  CHORALE_RETURN_IF_ERROR(Reserve(&head_v_, 4 * std::max(v_floats, room * ranks_most), "rank activations of the head"));
  const auto add = [&](const auto& entries, auto* list) {
    list->entries_max = static_cast<int32_t>(std::max<int64_t>(room, std::ssize(entries)));
    tables_->Add(entries, &list->entries, room);
  };
  tables_->Add(form_counts_, &device_form_counts_);
  add(gain_rows_, &gain_list_);
  add(embed_rows_, &embed_list_);
  add(head_rows_, &head_list_);
  add(own_heads_, &own_head_list_);
  tables_->Add(form_uses_, &device_form_uses_, room);
  tables_->Add(form_gains_, &device_form_gains_, kind_.gains ? room * spec_.layers * kTargets : 0);
  return Status::Ok();
}

// The tables have their places: says where in them a use's own parts are.
void CudaBackend::PlaceForms(const LoraBatch& lora) {
  const uint32_t* gains = device_form_gains_;
  for (size_t i = 0; i < form_uses_.size(); ++i) {
    const AdapterLayout& layout = *lora.uses[i].adapter->layout;
    FormUse& use = form_uses_[i];
    use.pages = lora_uses_[i].pages;
    use.outer_pages = use.pages + layout.outer_page();
    if (!layout.has_gains()) continue;
    use.gains = gains;
    gains += int64_t{spec_.layers} * kTargets;
  }
  gain_list_.count = device_form_counts_;
  embed_list_.count = device_form_counts_ + 1;
  head_list_.count = device_form_counts_ + 2;
  own_head_list_.count = device_form_counts_ + 3;
}

void CudaBackend::MultiplyByGains(const LoraSite& site, const Product& y) {
  GainArgs args{.rows = gain_list_,
                .uses = device_form_uses_,
                .pool = {pool_.data(), geometry_.page_bytes, static_cast<uint32_t>(geometry_.slice_bytes)},
                .layer = site.layer,
                .targets = site.count,
                .first_target = site.first,
                .y = y};
  for (int32_t t = 0; t < site.count; ++t) {
    args.outputs[t] = static_cast<int32_t>(OutWidth(spec_, static_cast<Target>(site.first + t)));
  }
  cuda::MultiplyByGains(launcher_, element_, args);
}

void CudaBackend::AddToEmbedded(const EmbedParams& params) {
  if (embed_list_.entries_max == 0) return;
  AddEmbedLora(launcher_, element_,
               {.outer = {device_form_uses_, pool_.data(), geometry_.page_bytes},
                .rows = embed_list_,
                .token_ids = step_rows_.token_ids,
                .drawn = drawn_.as<int32_t>(),
                .residual = Cuda(params.out).memory.as<float>(),
                .hidden = static_cast<int32_t>(params.out->stride()),
                .columns = spec_.hidden});
}

void CudaBackend::AddToLogits(const LogitsParams& params, const Product& logits) {
  const HeadArgs args{.outer = {device_form_uses_, pool_.data(), geometry_.page_bytes},
                      .rows = head_list_,
                      .groups = own_head_list_,
                      .x = Cuda(params.x).memory.data(),
                      .stride = static_cast<int32_t>(params.x->stride()),
                      .words = static_cast<int32_t>(params.head->rows()),
                      .v = head_v_.as<float>(),
                      .logits = logits};
  if (own_head_list_.entries_max > 0) OwnHead(launcher_, element_, args);
  if (head_list_.entries_max > 0) AddHeadLora(launcher_, element_, args);
}

}  // namespace chorale::cuda
