#include "model/network/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/files/safetensors.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/spec/version_directory.h"
#include "tests/torch/test_weights.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    at::set_num_threads(1);
    std::string pattern = (fs::temp_directory_path() / "checkpoint_test.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    store_ = pattern;
  }
  ~CheckpointTest() override { fs::remove_all(store_); }

  // A network with random weights, its encoder's from a file in `type`.
  static ProAd NewModel(at::ScalarType type = at::kHalf) {
    ProAd model(SmallConfig());
    NamedTensors tensors = OfficialTensors();
    for (auto& [name, tensor] : tensors) {
      if (type == at::kFloat) tensor = tensor + 1e-6;      // no longer a half
      if (type == at::kBFloat16) tensor = tensor * 1e-20;  // too small for a half
      tensor = tensor.to(type);
    }
    LoadEncoder(*model->encoder, ImportEncoder(ToFile(tensors), SmallConfig().encoder));
    model->eval();
    return model;
  }

  // A published version to look at or to spoil.
  fs::path Saved() {
    const fs::path directory = store_ / "small" / "1";
    SaveCheckpoint(NewModel(), SmallManifest(), ProbeImage(), directory);
    return directory;
  }

  // A version whose digests are right and whose tensors are what `change` made of sound ones.
  fs::path Forged(
      const std::function<void(Manifest&, NamedTensors& model, NamedTensors& encoder)>& change) {
    const ProAd model = NewModel();
    NamedTensors trained, encoder;
    for (const auto& item : model->TrainableParameters())
      trained[item.key()] = item.value().detach();
    for (const auto& item : model->encoder->named_parameters()) {
      encoder[item.key()] = item.value().detach();
    }
    Manifest manifest = SmallManifest();
    change(manifest, trained, encoder);
    fs::remove_all(store_ / "forged");  // and the number that was used for the last one
    const fs::path directory = store_ / "forged" / "1";
    WriteVersion(directory, manifest, [&](const fs::path& staging) {
      WriteSafetensors(staging / kModelFile, ToFile(trained).tensors);
      WriteSafetensors(staging / kEncoderFile, ToFile(encoder).tensors);
    });
    return directory;
  }

  static void ExpectCorrupt(const fs::path& directory, const std::vector<std::string>& words) {
    try {
      LoadCheckpoint(directory);
      FAIL() << "loaded; expected: " << ::testing::PrintToString(words);
    } catch (const CorruptFile& error) {
      for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }

  fs::path store_;
};

TEST_F(CheckpointTest, LoadsTheSavedBits) {
  const ProAd model = NewModel();
  Manifest manifest = SmallManifest();
  manifest.metrics["image_auroc"] = 0.1 + 0.2;
  manifest.categories["pcb"] = {.threshold = 0.3, .false_reject_budget = 0.01, .images = 7};
  const fs::path directory = store_ / "small" / "1";
  const Manifest written = SaveCheckpoint(model, manifest, ProbeImage(), directory);
  Checkpoint loaded = LoadCheckpoint(directory);

  EXPECT_EQ(loaded.manifest, written);
  EXPECT_EQ(loaded.model->config(), SmallConfig());
  EXPECT_FALSE(loaded.model->is_training());
  const auto expected = model->named_parameters();
  const auto actual = loaded.model->named_parameters();
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& item : expected) {
    EXPECT_TRUE(actual[item.key()].equal(item.value())) << item.key();
  }
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == kManifestFile || written.files.contains(name)) << name;
  }
  EXPECT_EQ(written.files.size(), 3u);
}

TEST_F(CheckpointTest, RecordsTheScoreOfItsProbe) {
  const fs::path directory = Saved();
  const Checkpoint loaded = LoadCheckpoint(directory);
  ASSERT_TRUE(loaded.manifest.probe.has_value());
  const std::string probe = ReadFile(directory / kProbeFile);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(probe.data()),
                                       probe.size());
  const FrozenProAd frozen(loaded.model, loaded.manifest.preprocessing);
  EXPECT_DOUBLE_EQ(ProbeScore(frozen, loaded.manifest.preprocessing, bytes),
                   loaded.manifest.probe->score);
  EXPECT_GT(loaded.manifest.probe->score, 0);
}

TEST_F(CheckpointTest, KeepsThePrecisionOfTheEncoder) {
  const std::vector<std::pair<at::ScalarType, DType>> types = {
      {at::kHalf, DType::kF16}, {at::kBFloat16, DType::kBF16}, {at::kFloat, DType::kF32}};
  int version = 0;
  for (const auto& [type, stored] : types) {
    const fs::path directory = store_ / "small" / std::to_string(++version);
    const ProAd model = NewModel(type);
    SaveCheckpoint(model, SmallManifest(), ProbeImage(), directory);
    for (const auto& [name, view] : ReadSafetensors(directory / kEncoderFile).tensors) {
      EXPECT_EQ(NameOf(view.dtype), NameOf(stored)) << name;
    }
    for (const auto& [name, view] : ReadSafetensors(directory / kModelFile).tensors) {
      EXPECT_EQ(view.dtype, DType::kF32) << name;
    }
    EXPECT_TRUE(VisionTransformerOf(LoadCheckpoint(directory).model)
                    .pos_embed.equal(VisionTransformerOf(model).pos_embed));
  }
}

TEST_F(CheckpointTest, SameWeightsGiveTheSameBytes) {
  const ProAd model = NewModel();
  const Manifest first =
      SaveCheckpoint(model, SmallManifest(), ProbeImage(), store_ / "small" / "1");
  const Manifest second =
      SaveCheckpoint(model, SmallManifest(), ProbeImage(), store_ / "small" / "2");
  EXPECT_EQ(first.files, second.files);
  EXPECT_EQ(first.hash, second.hash);
}

TEST_F(CheckpointTest, NeverReplacesAVersion) {
  const fs::path directory = Saved();
  const std::string before = ReadFile(directory / kModelFile);
  try {
    SaveCheckpoint(NewModel(), SmallManifest(), ProbeImage(), directory);
    FAIL() << "a published version was replaced";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "ALREADY_EXISTS");
  }
  EXPECT_EQ(ReadFile(directory / kModelFile), before);
}

TEST_F(CheckpointTest, WritesNothingIfTheProbeCannotBeScored) {
  const std::vector<uint8_t> not_an_image = {'n', 'o'};
  EXPECT_THROW(SaveCheckpoint(NewModel(), SmallManifest(), not_an_image, store_ / "small" / "1"),
               InvalidInput);
  ProAd broken = NewModel();
  {
    const at::NoGradGuard no_gradient;
    broken->prototypes.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  try {
    SaveCheckpoint(broken, SmallManifest(), ProbeImage(), store_ / "small" / "1");
    FAIL() << "a network that scores NaN was published";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "PROBE_NOT_FINITE");
  }
  EXPECT_TRUE(fs::is_empty(store_));
}

// ---------------------------------------------------------------- damage on the disk

TEST_F(CheckpointTest, DetectsAFlippedBitInAnyFile) {
  const fs::path directory = Saved();
  for (const char* file : {kModelFile, kEncoderFile, kProbeFile}) {
    const std::string good = ReadFile(directory / file);
    std::string bad = good;
    bad[bad.size() / 2] ^= 4;
    WriteFile(directory / file, bad);
    ExpectCorrupt(directory, {file});
    WriteFile(directory / file, good);
  }
  EXPECT_NO_THROW(LoadCheckpoint(directory));
}

TEST_F(CheckpointTest, DetectsATruncatedFile) {
  const fs::path directory = Saved();
  for (const char* file : {kModelFile, kEncoderFile, kProbeFile, kManifestFile}) {
    const std::string good = ReadFile(directory / file);
    WriteFile(directory / file, good.substr(0, good.size() - 1 - good.size() / 3));
    ExpectCorrupt(directory, {file});
    WriteFile(directory / file, good);
  }
}

TEST_F(CheckpointTest, DetectsAMissingFile) {
  const fs::path directory = Saved();
  for (const char* file : {kModelFile, kEncoderFile, kProbeFile, kManifestFile}) {
    const std::string good = ReadFile(directory / file);
    fs::remove(directory / file);
    try {
      LoadCheckpoint(directory);
      ADD_FAILURE() << "loaded without " << file;
    } catch (const std::runtime_error& error) {  // CorruptFile or FileError
      EXPECT_THAT(error.what(), HasSubstr(file));
    }
    WriteFile(directory / file, good);
  }
}

TEST_F(CheckpointTest, DetectsSwappedFiles) {
  const fs::path directory = Saved();
  fs::rename(directory / kModelFile, directory / "other");
  fs::rename(directory / kEncoderFile, directory / kModelFile);
  fs::rename(directory / "other", directory / kEncoderFile);
  ExpectCorrupt(directory, {".safetensors"});
}

TEST_F(CheckpointTest, DetectsAManifestWithoutWeights) {
  const fs::path directory = store_ / "empty" / "1";
  WriteVersion(directory, SmallManifest(),
               [](const fs::path& staging) { WriteFile(staging / kEncoderFile, "not looked at"); });
  ExpectCorrupt(directory, {kManifestFile, kModelFile});
}

// ---------------------------------------------------------------- right digests, wrong contents

TEST_F(CheckpointTest, DetectsTensorsThatDoNotFit) {
  struct Case {
    std::function<void(Manifest&, NamedTensors& model, NamedTensors& encoder)> change;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {[](Manifest&, NamedTensors& model, NamedTensors&) { model.erase("prototypes"); },
       {kModelFile, "missing tensor 'prototypes' [9, 8]"}},
      {[](Manifest&, NamedTensors& model, NamedTensors&) { model["extra"] = at::zeros({2}); },
       {kModelFile, "unknown tensor 'extra' F32 [2]"}},
      {[](Manifest&, NamedTensors& model, NamedTensors&) {
         model["decoder.0.ffn.fc1.bias"] = at::zeros({31});
       },
       {kModelFile, "'decoder.0.ffn.fc1.bias' F32 [31]", "[32]"}},
      {[](Manifest&, NamedTensors&, NamedTensors& encoder) { encoder.erase("blocks.1.ls2.gamma"); },
       {kEncoderFile, "missing tensor 'blocks.1.ls2.gamma' [8]"}},
      {[](Manifest&, NamedTensors&, NamedTensors& encoder) {
         encoder["pos_embed"] = at::zeros({1, 17, 8});
       },
       {kEncoderFile, "position grid"}},
      {[](Manifest&, NamedTensors& model, NamedTensors& encoder) { std::swap(model, encoder); },
       {kEncoderFile, "trained weights of a Pro-AD"}},
      {[](Manifest& manifest, NamedTensors&, NamedTensors&) { manifest.config.decoder_layers = 4; },
       {kModelFile, "missing tensor 'decoder.2."}},
      {[](Manifest& manifest, NamedTensors&, NamedTensors&) { manifest.config.encoder.width = 16; },
       {kEncoderFile, "8 wide"}},
  };
  for (const Case& entry : cases) {
    const fs::path directory = Forged(entry.change);
    ExpectCorrupt(directory, entry.words);
  }
  EXPECT_NO_THROW(LoadCheckpoint(Forged([](Manifest&, NamedTensors&, NamedTensors&) {})));
}

}  // namespace
}  // namespace proad::model
