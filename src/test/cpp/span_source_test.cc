// Spans read from files that somebody else may change meanwhile.
#include "model/span_source.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/aligned_bytes.h"
#include "testing/engine_harness.h"

namespace chorale {
namespace {

class SpanSourceTest : public ::testing::Test {
 protected:
  SpanSourceTest() : path_(directory_.File("adapter")) {
    manifest_.Assign(testing::RandomAdapter(testing::SmallSpec(), 4, [](int32_t, Target) { return 3; }).WriteTo(path_));
  }
  ManifestView View() { return ManifestView::ParseAdapter(manifest_.bytes(), testing::SmallSpec()).value(); }

  testing::TempDirectory directory_;
  std::string path_;
  AlignedBytes manifest_;
};

TEST_F(SpanSourceTest, ReadsTheSameBytesAsAMapping) {
  const ManifestView view = View();
  ReadSpans read(view);
  FileSpans mapped(view);
  for (const SpanEntry& span : view.spans()) {
    const std::span<const uint8_t> a = read.Map(span).value();
    const std::span<const uint8_t> b = mapped.Map(span).value();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

TEST_F(SpanSourceTest, AFileThatIsCutWhileItIsReadIsAnErrorAndNoSignal) {
  const ManifestView view = View();
  ReadSpans spans(view);
  ASSERT_TRUE(spans.Map(view.spans().front()).ok());
  std::filesystem::resize_file(path_, 8);
  const Status status = spans.Map(view.spans().back()).status();
  EXPECT_EQ(status.code(), CH_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find("had"), std::string::npos) << status.message();
}

TEST_F(SpanSourceTest, AFileOfAnotherSizeIsRefusedBeforeItIsRead) {
  const ManifestView view = View();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) + 1);
  ReadSpans spans(view);
  EXPECT_NE(spans.Map(view.spans().front()).status().message().find("when it was verified"), std::string::npos);
}

}  // namespace
}  // namespace chorale
