// Every rule of manifests and packed images: what is right passes, and each single lie is refused by name.
#include "model/image_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <limits>

#include "testing/image_builder.h"

namespace chorale {
namespace {

using testing::AdapterManifest;
using testing::ManifestBuilder;
using testing::ModelManifest;
using testing::OddSpec;
using testing::PackBuilder;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(ManifestView, GivesBackAModel) {
  std::vector<uint8_t> buffer = ModelManifest(OddSpec(), "/model.safetensors").Build();
  auto parsed = ManifestView::ParseModel(buffer);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const ManifestView& view = parsed.value();
  EXPECT_EQ(view.spec().kv_heads, 3);
  EXPECT_EQ(view.inv_freq().size(), 2u);
  EXPECT_EQ(view.windows().size(), 2u);
  EXPECT_EQ(view.files().size(), 1u);
  EXPECT_EQ(view.Path(0), "/model.safetensors");
  ASSERT_NE(view.Find(RoleOf(kRoleWeight, kDown), 1), nullptr);
  EXPECT_EQ(view.Find(RoleOf(kRoleWeight, kDown), 1)->cols, 20);
  EXPECT_EQ(view.Find(RoleOf(kRoleWeight, kO), 1)->cols, 24);
  EXPECT_NE(view.Find(RoleOf(kRoleBias, kV), 0), nullptr);
  EXPECT_EQ(view.Find(RoleOf(kRoleBias, kV), 1), nullptr);
  EXPECT_EQ(view.Find(kRoleWeight, 2), nullptr);
  EXPECT_EQ(view.Find(1000, 0), nullptr);
  EXPECT_EQ(view.Find(-1), nullptr);
}

TEST(ManifestView, GivesBackATiedModelWithoutNorms) {
  ModelSpec spec = OddSpec();
  spec.tied = 1;
  spec.qk_norm = 0;
  std::vector<uint8_t> buffer = ModelManifest(spec, "/m").Build();
  auto parsed = ManifestView::ParseModel(buffer);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed.value().Find(kRoleHead), nullptr);
  EXPECT_EQ(parsed.value().Find(kRoleQNorm, 0), nullptr);
}

TEST(ManifestView, GivesBackAnAdapter) {
  std::vector<uint8_t> buffer = AdapterManifest(OddSpec(), 5, "/a").Build();
  auto parsed = ManifestView::ParseAdapter(buffer, OddSpec());
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed.value().Find(RoleOf(kRoleLoraA, kDown), 1)->rows, 5);
  EXPECT_EQ(parsed.value().Find(RoleOf(kRoleLoraA, kV), 1), nullptr);
}

TEST(ManifestView, TakesSpansWithoutAFile) {
  ManifestBuilder model = ModelManifest(OddSpec(), "/m"), adapter = AdapterManifest(OddSpec(), 5, "/a");
  for (ManifestBuilder* manifest : {&model, &adapter}) {
    manifest->files.clear();
    for (SpanEntry& span : manifest->spans) {
      span.file = kNoFile;
      span.offset = -7;  // any seed
    }
  }
  const std::vector<uint8_t> model_buffer = model.Build(), adapter_buffer = adapter.Build();
  const auto parsed_model = ManifestView::ParseModel(model_buffer);
  EXPECT_TRUE(parsed_model.ok()) << parsed_model.status().message();
  const auto parsed_adapter = ManifestView::ParseAdapter(adapter_buffer, OddSpec());
  EXPECT_TRUE(parsed_adapter.ok()) << parsed_adapter.status().message();
}

TEST(ManifestView, RefusesTheOtherKindAndEveryTruncation) {
  std::vector<uint8_t> model = ModelManifest(OddSpec(), "/m").Build();
  std::vector<uint8_t> adapter = AdapterManifest(OddSpec(), 5, "/a").Build();
  EXPECT_NE(ManifestView::ParseModel(adapter).status().message().find("kind is 2, not 1 (a model)"),
            std::string::npos);
  EXPECT_NE(ManifestView::ParseAdapter(model, OddSpec()).status().message().find("kind is 1, not 2 (an adapter)"),
            std::string::npos);
  for (size_t bytes = 0; bytes < model.size(); ++bytes) {
    std::vector<uint8_t> cut(model.begin(), model.begin() + bytes);
    EXPECT_FALSE(ManifestView::ParseModel(cut).ok()) << bytes;
  }
}

TEST(ManifestView, RefusesEveryFlippedBit) {
  std::vector<uint8_t> buffer = AdapterManifest(OddSpec(), 5, "/a").Build();
  for (size_t bit = 0; bit < buffer.size() * 8; ++bit) {
    buffer[bit / 8] ^= 1 << (bit % 8);
    EXPECT_FALSE(ManifestView::ParseAdapter(buffer, OddSpec()).ok()) << bit;
    buffer[bit / 8] ^= 1 << (bit % 8);
  }
}

struct Lie {
  std::string name;
  std::string message;
  std::function<void(ManifestBuilder&)> tell;
};

std::string NameOf(const ::testing::TestParamInfo<Lie>& info) { return info.param.name; }

SpanEntry& SpanOf(ManifestBuilder& manifest, int32_t role, int32_t layer) {
  for (SpanEntry& span : manifest.spans) {
    if (span.role == role && span.layer == layer) return span;
  }
  std::abort();
}

void Remove(ManifestBuilder& manifest, int32_t role, int32_t layer) {
  std::erase_if(manifest.spans, [=](const SpanEntry& span) { return span.role == role && span.layer == layer; });
}

std::vector<Lie> ModelLies() {
  return {
      {"Magic", "magic is", [](auto& m) { m.header.magic = 0; }},
      {"Version", "version is 2", [](auto& m) { m.header.version = 2; }},
      {"Layers", "layers is 0", [](auto& m) { m.spec.layers = 0; }},
      {"LayersHuge", "layers is 2147483647", [](auto& m) { m.spec.layers = INT32_MAX; }},
      {"Hidden", "hidden is -12", [](auto& m) { m.spec.hidden = -12; }},
      {"HiddenHuge", "hidden is 2147483647", [](auto& m) { m.spec.hidden = INT32_MAX; }},
      {"Intermediate", "intermediate is 0", [](auto& m) { m.spec.intermediate = 0; }},
      {"Heads", "heads is 0", [](auto& m) { m.spec.heads = 0; }},
      {"KvHeads", "kv_heads is 0", [](auto& m) { m.spec.kv_heads = 0; }},
      {"HeadsUneven", "heads 6 is not a multiple of kv_heads 4", [](auto& m) { m.spec.kv_heads = 4; }},
      {"HeadDim", "head_dim is 0", [](auto& m) { m.spec.head_dim = 0; }},
      {"HeadsWide", "6 heads of 1048576 dims", [](auto& m) { m.spec.head_dim = 1 << 20; }},
      {"Vocab", "vocab is 0", [](auto& m) { m.spec.vocab = 0; }},
      {"Context", "context_max is 0", [](auto& m) { m.spec.context_max = 0; }},
      {"RotaryOdd", "rotary_dims 3 is odd", [](auto& m) { m.spec.rotary_dims = 3; }},
      {"RotaryWide", "rotary_dims is 6", [](auto& m) { m.spec.rotary_dims = 6; }},
      {"Tied", "tied is 2", [](auto& m) { m.spec.tied = 2; }},
      {"QkNorm", "qk_norm is -1", [](auto& m) { m.spec.qk_norm = -1; }},
      {"Reserved", "reserved is 1", [](auto& m) { m.spec.reserved = 1; }},
      {"Eps", "rms_eps is nan", [](auto& m) { m.spec.rms_eps = kNan; }},
      {"Magnitude", "rope_magnitude is inf", [](auto& m) { m.spec.rope_magnitude = INFINITY; }},
      {"Scale", "attention_scale is -1", [](auto& m) { m.spec.attention_scale = -1; }},
      {"InvFreq", "inverse frequency 1 is not finite", [](auto& m) { m.inv_freq[1] = kNan; }},
      {"Window", "window of layer 1 is -4", [](auto& m) { m.windows[1] = -4; }},
      {"NoFile", "file is 0 of 0", [](auto& m) { m.files.clear(); }},
      {"EmptyPath", "path of file 0 is empty", [](auto& m) { m.files[0].first = ""; }},
      {"ZeroInPath", "has a zero byte", [](auto& m) { m.files[0].first = std::string("/a\0b", 4); }},
      {"FileBytes", "file 0 has -1 bytes", [](auto& m) { m.files[0].second = -1; }},
      {"FileShort", "do not lie inside the file's", [](auto& m) { m.files[0].second -= kDataAlign; }},
      {"Role", "role 100): the role is not one of a model", [](auto& m) { m.spans[0].role = kRoleEmbedB + 1; }},
      {"RoleEmbed", "LoRA B of the embedding): the role is not one of a model",
       [](auto& m) { m.spans[0].role = kRoleEmbedB; }},
      {"RoleLora", "LoRA A of q): the role is not one of a model", [](auto& m) { m.spans[0].role = kRoleLoraA; }},
      {"RoleGap", "role 9): the role is not one of a model", [](auto& m) { m.spans[0].role = 9; }},
      {"RoleNegative", "role -1): the role is not", [](auto& m) { m.spans[0].role = -1; }},
      {"LayerOfGlobal", "layer is 0, the model has 2", [](auto& m) { m.spans[0].layer = 0; }},
      {"LayerBeyond", "layer 2 k norm): layer is 2",
       [](auto& m) { SpanOf(m, kRoleKNorm, 1).layer = 2; }},
      {"LayerMissing", "layer is -1", [](auto& m) { SpanOf(m, kRoleKNorm, 1).layer = -1; }},
      {"DType", "dtype is 3", [](auto& m) { m.spans[2].dtype = 3; }},
      {"DTypeNegative", "dtype is -1", [](auto& m) { m.spans[2].dtype = -1; }},
      {"File", "file is 1 of 1", [](auto& m) { m.spans[2].file = 1; }},
      {"FileNegative", "file is -2 of 1", [](auto& m) { m.spans[2].file = -2; }},
      {"NoFileButChecksum", "has a checksum, but no file",
       [](auto& m) { m.spans[2].file = kNoFile, m.spans[2].crc = 1; }},
      {"Shape", "layer 1 weight of k): shape is [12, 13], the model needs [12, 12]",
       [](auto& m) { SpanOf(m, RoleOf(kRoleWeight, kK), 1).cols = 13; }},
      {"ShapeHuge", "shape is [4294967296, 4294967296]",
       [](auto& m) { m.spans[0].rows = m.spans[0].cols = int64_t{1} << 32; }},
      {"Bytes", "bytes, its shape needs", [](auto& m) { m.spans[3].bytes += 1; }},
      {"BytesOfHalf", "has 528 bytes, its shape needs 264", [](auto& m) { m.spans[0].dtype = kF16; }},
      {"OffsetNegative", "at offset -64", [](auto& m) { m.spans[3].offset = -64; }},
      {"OffsetHuge", "at offset 9223372036854775807", [](auto& m) { m.spans[3].offset = INT64_MAX; }},
      {"ScaleNan", "scale is not finite", [](auto& m) { m.spans[3].scale = kNan; }},
      {"Twice", "is there twice, as span 0 too", [](auto& m) { m.spans.push_back(m.spans[0]); }},
      {"NoEmbed", "embedding is missing", [](auto& m) { Remove(m, kRoleEmbed, -1); }},
      {"NoHead", "LM head is missing", [](auto& m) { Remove(m, kRoleHead, -1); }},
      {"HeadOfTied", "LM head is there, but the spec ties it", [](auto& m) { m.spec.tied = 1; }},
      {"NoFinalNorm", "final norm is missing", [](auto& m) { Remove(m, kRoleFinalNorm, -1); }},
      {"NoAttnNorm", "layer 1 attention norm is missing", [](auto& m) { Remove(m, kRoleAttnNorm, 1); }},
      {"NoMlpNorm", "layer 0 MLP norm is missing", [](auto& m) { Remove(m, kRoleMlpNorm, 0); }},
      {"NoQNorm", "layer 1 q norm is missing", [](auto& m) { Remove(m, kRoleQNorm, 1); }},
      {"SurplusNorm", "layer 0 q norm is there, but", [](auto& m) { m.spec.qk_norm = 0; }},
      {"NoWeight", "layer 1 weight of up is missing", [](auto& m) { Remove(m, RoleOf(kRoleWeight, kUp), 1); }},
  };
}

class ModelLie : public ::testing::TestWithParam<Lie> {};

TEST_P(ModelLie, IsRefusedByName) {
  ManifestBuilder manifest = ModelManifest(OddSpec(), "/m");
  GetParam().tell(manifest);
  std::vector<uint8_t> buffer = manifest.Build();
  auto parsed = ManifestView::ParseModel(buffer);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), CH_INVALID_ARGUMENT);
  EXPECT_NE(parsed.status().message().find(GetParam().message), std::string::npos) << parsed.status().message();
}

INSTANTIATE_TEST_SUITE_P(All, ModelLie, ::testing::ValuesIn(ModelLies()), NameOf);

std::vector<Lie> AdapterLies() {
  return {
      {"Empty", "the adapter has no tensors", [](auto& m) { m.spans.clear(); }},
      {"Role", "layer 0 weight of q): the role is not one of an adapter",
       [](auto& m) { m.spans[0].role = kRoleWeight; }},
      {"RoleGap", "the role is not one of an adapter", [](auto& m) { m.spans[0].role = RoleOf(kRoleLoraA, kTargets); }},
      {"LayerBeyond", "layer is 2, the model has 2", [](auto& m) { m.spans[0].layer = 2; }},
      {"OtherBase", "LoRA A of q): shape is [5, 16], the model needs [5, 12]",
       [](auto& m) { m.spans[0].cols = 16, m.spans[0].bytes = 5 * 16 * 4; }},
      {"OtherBaseOut", "LoRA B of q): shape is [25, 5], the model needs [24, 5]",
       [](auto& m) { m.spans[1].rows = 25, m.spans[1].bytes = 25 * 5 * 4; }},
      {"RankZero", "rank is 0", [](auto& m) { m.spans[0].rows = m.spans[0].bytes = 0; }},
      {"RankNegative", "rank is -1", [](auto& m) { m.spans[0].rows = -1; }},
      {"RankHuge", "rank is 1152921504606846976", [](auto& m) { m.spans[0].rows = int64_t{1} << 60; }},
      {"RanksDiffer", "layer 0 LoRA A of q has rank 4, but B has 5",
       [](auto& m) { m.spans[0].rows = 4, m.spans[0].bytes = 4 * 12 * 4; }},
      {"NoB", "layer 1 LoRA A of down is there, but layer 1 LoRA B of down is missing",
       [](auto& m) { m.spans.pop_back(); }},
      {"NoA", "layer 0 LoRA B of q is there, but layer 0 LoRA A of q is missing",
       [](auto& m) { m.spans.erase(m.spans.begin()); }},
      {"Scale", "scale is not finite", [](auto& m) { m.spans[1].scale = INFINITY; }},
      {"Twice", "is there twice, as span 0 too", [](auto& m) { m.spans.push_back(m.spans[0]); }},
      {"MagnitudesOfNobody", "layer 0 magnitudes of k is there, but layer 0 LoRA B of k is missing",
       [](auto& m) { m.Span(RoleOf(kRoleMagnitude, kK), 0, 1, OutWidth(OddSpec(), kK), 0); }},
      {"MagnitudesTooMany", "layer 0 magnitudes of q): shape is [1, 25], the model needs [1, 24]",
       [](auto& m) { m.Span(RoleOf(kRoleMagnitude, kQ), 0, 1, 25, 0); }},
      {"HeadOfALayer", "LoRA A of the LM head): layer is 0",
       [](auto& m) { m.Span(kRoleHeadA, 0, 3, OddSpec().hidden, 0); }},
      {"HeadWithoutB", "LoRA A of the LM head is there, but LoRA B of the LM head is missing",
       [](auto& m) { m.Span(kRoleHeadA, -1, 3, OddSpec().hidden, 0); }},
      {"EmbeddingTurnedRound", "LoRA A of the embedding): shape is",
       [](auto& m) { m.Span(kRoleEmbedA, -1, OddSpec().vocab, 3, 0); }},
      {"OwnHeadTooShort", "LM head): shape is",
       [](auto& m) { m.Span(kRoleHead, -1, OddSpec().vocab - 1, OddSpec().hidden, 0); }},
  };
}

class AdapterLie : public ::testing::TestWithParam<Lie> {};

TEST_P(AdapterLie, IsRefusedByName) {
  ManifestBuilder manifest = AdapterManifest(OddSpec(), 5, "/a");
  GetParam().tell(manifest);
  std::vector<uint8_t> buffer = manifest.Build();
  auto parsed = ManifestView::ParseAdapter(buffer, OddSpec());
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.status().message().find(GetParam().message), std::string::npos) << parsed.status().message();
}

INSTANTIATE_TEST_SUITE_P(All, AdapterLie, ::testing::ValuesIn(AdapterLies()), NameOf);

// Lies in the offsets of a manifest's header, sealed again so that the checksum does not find them first.
TEST(ManifestView, RefusesOffsetsAndCountsThatLeadOutside) {
  const std::vector<uint8_t> whole = ModelManifest(OddSpec(), "/m").Build();
  struct Case {
    const char* message;
    std::function<void(ManifestHeader&)> tell;
  };
  const Case cases[] = {
      {"total_bytes is", [](auto& h) { --h.total_bytes; }},
      {"spec at offset 0", [](auto& h) { h.spec_offset = 0; }},
      {"spec at offset -8", [](auto& h) { h.spec_offset = -8; }},
      {"spec at offset 92", [](auto& h) { h.spec_offset = 92; }},
      {"spec at offset 9223372036854775800", [](auto& h) { h.spec_offset = INT64_MAX - 7; }},
      {"inverse frequencies at offset 0", [](auto& h) { h.inv_freq_offset = 0; }},
      {"attention windows at offset -16", [](auto& h) { h.window_offset = -16; }},
      {"files at offset", [](auto& h) { h.files_offset = h.total_bytes; }},
      {"-1 files", [](auto& h) { h.file_count = -1; }},
      {"2147483647 files", [](auto& h) { h.file_count = INT32_MAX; }},
      {"2147483647 spans", [](auto& h) { h.span_count = INT32_MAX; }},
      {"-5 spans", [](auto& h) { h.span_count = -5; }},
      {"bytes of text", [](auto& h) { h.text_bytes = INT64_MAX; }},
      {"path of file 0, 2 bytes at 0, lies outside", [](auto& h) { h.text_bytes = 1; }},
  };
  for (const Case& lie : cases) {
    std::vector<uint8_t> buffer = whole;
    lie.tell(*reinterpret_cast<ManifestHeader*>(buffer.data()));
    ManifestBuilder::Seal(buffer);
    auto parsed = ManifestView::ParseModel(buffer);
    ASSERT_FALSE(parsed.ok()) << lie.message;
    EXPECT_NE(parsed.status().message().find(lie.message), std::string::npos) << parsed.status().message();
  }
}

TEST(PackView, GivesBackModelAndAdapters) {
  std::vector<uint8_t> image = PackBuilder::Of(OddSpec()).Build();
  auto parsed = PackView::Parse(image);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const PackView& pack = parsed.value();
  EXPECT_EQ(pack.model_name(), "base");
  ASSERT_EQ(pack.adapters(), 2);
  EXPECT_EQ(pack.adapter_name(1), "large");
  EXPECT_EQ(pack.adapter(1).Find(RoleOf(kRoleLoraA, kQ), 0)->rows, 5);
  for (const SpanEntry& span : pack.model().spans()) {
    auto bytes = pack.Map(span);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    EXPECT_EQ(static_cast<int64_t>(bytes.value().size()), span.bytes);
  }
}

TEST(PackView, OpensFilesAndNamesThemWhenTheyAreWrong) {
  std::string path = ::testing::TempDir() + "/image_view_test.chpk";
  std::vector<uint8_t> image = PackBuilder::Of(OddSpec()).Build();
  auto write = [&](size_t bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(bytes));
  };
  write(image.size());
  auto opened = PackView::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  PackView moved = std::move(opened).value();
  EXPECT_TRUE(moved.Map(moved.model().spans()[0]).ok());
  write(image.size() - 1);
  EXPECT_NE(PackView::Open(path).status().message().find(path + ": image: file_bytes is"), std::string::npos);
  write(0);
  EXPECT_NE(PackView::Open(path).status().message().find("0 bytes are less"), std::string::npos);
  std::remove(path.c_str());
  EXPECT_NE(PackView::Open(path).status().message().find(path + ": cannot open"), std::string::npos);
  EXPECT_NE(PackView::Open(::testing::TempDir()).status().message().find("is not a file"), std::string::npos);
}

TEST(PackView, ChecksDataWhenItIsMapped) {
  PackBuilder pack = PackBuilder::Of(OddSpec());
  std::vector<uint8_t> image = pack.Build();
  image[pack.data_offset + 1] ^= 4;
  auto parsed = PackView::Parse(image);
  ASSERT_TRUE(parsed.ok());
  auto bytes = parsed.value().Map(*parsed.value().model().Find(kRoleEmbed));
  ASSERT_FALSE(bytes.ok());
  EXPECT_NE(bytes.status().message().find("checksum of embedding"), std::string::npos);
}

TEST(PackView, RefusesLies) {
  struct Case {
    const char* message;
    std::function<void(PackBuilder&)> tell;
  };
  const Case cases[] = {
      {"image: magic", [](auto& p) { p.header.magic = kManifestMagic; }},
      {"image: version is 7", [](auto& p) { p.header.version = 7; }},
      {"image: 0 entries", [](auto& p) { p.entries.clear(); }},
      {"image entry 2: its name, 100 bytes", [](auto& p) { p.entries[2].name_bytes = 100; }},
      {"image entry 2: its name, 0 bytes", [](auto& p) { p.entries[2].name_bytes = 0; }},
      {"image entry 2: its name, 5 bytes at -1", [](auto& p) { p.entries[2].name_offset = -1; }},
      {"image entry 1 (base): the name is there twice",
       [](auto& p) { p.entries[1].name_offset = 0, p.entries[1].name_bytes = 4; }},
      {"image entry 0 (base): kind is 2, not 1", [](auto& p) { p.entries[0].kind = kAdapterManifest; }},
      {"image entry 1 (small): kind is 1, not 2", [](auto& p) { p.entries[1].kind = kModelManifest; }},
      {"file is -1 of 1",
       [](auto& p) {
         auto* span = reinterpret_cast<SpanEntry*>(p.manifests[0].data() +
                                                   reinterpret_cast<ManifestHeader*>(p.manifests[0].data())->spans_offset);
         span->file = kNoFile;
         ManifestBuilder::Seal(p.manifests[0]);
       }},
      {"image entry 1 (small): manifest: kind is 1",
       [](auto& p) {
         p.manifests[1] = p.manifests[0];
         p.entries[1].manifest_offset = p.entries[0].manifest_offset;
         p.entries[1].manifest_bytes = p.entries[0].manifest_bytes;
       }},
  };
  for (const Case& lie : cases) {
    PackBuilder pack = PackBuilder::Of(OddSpec());
    lie.tell(pack);
    std::vector<uint8_t> image = pack.Build();
    auto parsed = PackView::Parse(image);
    ASSERT_FALSE(parsed.ok()) << lie.message;
    EXPECT_NE(parsed.status().message().find(lie.message), std::string::npos) << parsed.status().message();
  }
}

TEST(PackView, RefusesManifestsOutsideOrOfAnotherSize) {
  struct Case {
    const char* message;
    std::function<void(PackEntry&)> tell;
  };
  const Case cases[] = {
      {"does not lie behind the text", [](auto& e) { e.manifest_offset = 0; }},
      {"does not lie behind the text", [](auto& e) { e.manifest_offset += 4; }},
      {"does not lie behind the text", [](auto& e) { e.manifest_offset = INT64_MAX - 7; }},
      {"does not lie behind the text", [](auto& e) { e.manifest_bytes = INT64_MAX; }},
      {"does not lie behind the text", [](auto& e) { e.manifest_bytes = -8; }},
      {"manifest: total_bytes is", [](auto& e) { e.manifest_bytes -= 8; }},
  };
  for (const Case& lie : cases) {
    std::vector<uint8_t> image = PackBuilder::Of(OddSpec()).Build();
    lie.tell(reinterpret_cast<PackEntry*>(image.data() + sizeof(PackHeader))[1]);
    PackBuilder::Seal(image);
    auto parsed = PackView::Parse(image);
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(parsed.status().message().find(lie.message), std::string::npos) << parsed.status().message();
  }
  PackBuilder longer = PackBuilder::Of(OddSpec());
  longer.data.push_back(0);
  std::vector<uint8_t> image = longer.Build();
  EXPECT_NE(PackView::Parse(image).status().message().find("its file has"), std::string::npos);
  image = PackBuilder::Of(OddSpec()).Build();
  image[sizeof(PackHeader) + 2] ^= 1;
  EXPECT_NE(PackView::Parse(image).status().message().find("image: checksum is"), std::string::npos);
}

}  // namespace
}  // namespace chorale
