#include "tools/written_tokens.h"

#include <algorithm>

namespace chorale {

void WrittenTokens::Fill(int32_t page, bool value) {
  std::fill_n(written_.begin() + int64_t{page} * page_tokens_, page_tokens_, value);
}

Status WrittenTokens::Advance(const StepView& step) {
  for (const Move& move : step.moves()) {
    auto pages = step.PagesOf(move);
    if (move.kind == kMoveLoad || move.kind == kMoveImportPages) {
      for (int32_t page : pages) Fill(page, move.kind == kMoveImportPages);
    } else if (move.kind == kMoveCopyPage) {
      std::copy_n(written_.begin() + int64_t{pages[0]} * page_tokens_, page_tokens_,
                  written_.begin() + int64_t{pages[1]} * page_tokens_);
    }
  }
  for (int32_t s = 0; s < step.sequences(); ++s) {
    auto pages = step.PagesOf(s);
    auto place = [&](int32_t position) {
      return int64_t{pages[position / page_tokens_]} * page_tokens_ + position % page_tokens_;
    };
    int32_t first = step.positions()[step.seq_token_start()[s]];
    for (int32_t p = window_max_ > 0 ? std::max(0, first - window_max_ + 1) : 0; p < first; ++p) {
      if (written_[place(p)]) continue;
      return Status::Invalid(Format("step %lld: sequence %d reads its token %d in page %d, which no recorded step has "
                                    "written: record from the sequence's first step on (a larger record_steps)",
                                    static_cast<long long>(step.step_id()), s, p, pages[p / page_tokens_]));
    }
    for (int32_t p = first; p < step.seq_context()[s]; ++p) written_[place(p)] = true;
  }
  return Status::Ok();
}

}  // namespace chorale
