#include "model/network/import_version.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "model/files/error.h"
#include "model/files/safetensors.h"
#include "model/network/checkpoint.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/spec/preset.h"
#include "model/spec/recipe.h"
#include "tests/support/paths.h"
#include "tests/torch/test_weights.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const fs::path kWeights = proad::testing::SourceFolder() / "model" / "weights";

class ImportVersionTest : public ::testing::Test {
 protected:
  ImportVersionTest() {
    at::set_num_threads(1);
    std::string pattern = (fs::temp_directory_path() / "import_version_test.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    root_ = pattern;
  }
  ~ImportVersionTest() override { fs::remove_all(root_); }

  ImportOptions Shipped() const {
    return {.store = root_ / "store",
            .name = "proad-tiny",
            .preset = "proad-tiny",
            .encoder_file = kWeights / "encoder-tiny.safetensors",
            .weights_file = kWeights / "proad-tiny.safetensors",
            .code_version = "0.1.0"};
  }

  fs::path Write(const std::string& name, const std::string& text) const {
    const fs::path path = root_ / name;
    std::ofstream(path) << text;
    return path;
  }

  void ExpectRefused(const ImportOptions& options, const std::string& field,
                     const std::string& words) {
    try {
      ImportVersion(options);
      ADD_FAILURE() << "imported; expected " << field << ": " << words;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), field);
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
    EXPECT_FALSE(fs::exists(options.store / options.name));
  }

  fs::path root_;
};

TEST_F(ImportVersionTest, MakesAVersionOfTheShippedWeights) {
  const ImportedVersion imported = ImportVersion(Shipped());
  EXPECT_THAT(imported.warnings, IsEmpty());
  EXPECT_EQ(imported.directory, root_ / "store" / "proad-tiny" / "1");

  const Checkpoint loaded = LoadCheckpoint(imported.directory);
  EXPECT_EQ(loaded.manifest, imported.manifest);
  const Manifest& manifest = loaded.manifest;
  EXPECT_EQ(manifest.name, "proad-tiny");
  EXPECT_EQ(manifest.version, "1");
  EXPECT_EQ(manifest.code_version, "0.1.0");
  EXPECT_EQ(manifest.config, PresetConfig("proad-tiny"));
  EXPECT_EQ(manifest.preprocessing, PresetPreprocessing("proad-tiny"));
  EXPECT_EQ(manifest.encoder.source, "encoder-tiny.safetensors");
  EXPECT_EQ(manifest.encoder.dialect, "official");
  EXPECT_EQ(manifest.map_range, PresetMapRange("proad-tiny"));
  EXPECT_FALSE(manifest.calibration.has_value());

  // What was imported is what is there: the same values, and the encoder no larger than it came.
  const TensorFile source = ReadSafetensors(kWeights / "encoder-tiny.safetensors");
  const TensorFile stored = ReadSafetensors(imported.directory / kEncoderFile);
  ASSERT_EQ(stored.tensors.size(), source.tensors.size());
  for (const auto& [name, view] : source.tensors) {
    const TensorView& copy = stored.tensors.at(name);
    EXPECT_EQ(copy.dtype, DType::kF16) << name;
    EXPECT_TRUE(std::ranges::equal(copy.data, view.data)) << name;
  }
  ASSERT_TRUE(manifest.probe.has_value());
  EXPECT_NEAR(ProbeScore(FrozenProAd(loaded.model, manifest.preprocessing), manifest.preprocessing,
                         ProbeImage()),
              manifest.probe->score, 1e-5);
}

TEST_F(ImportVersionTest, NumbersVersionsConsecutively) {
  ImportOptions options = Shipped();
  EXPECT_EQ(ImportVersion(options).manifest.version, "1");
  options.version = "9";
  EXPECT_EQ(ImportVersion(options).manifest.version, "9");
  options.version = "spare";
  EXPECT_EQ(ImportVersion(options).manifest.version, "spare");
  options.version = "";
  EXPECT_EQ(ImportVersion(options).manifest.version, "10");
  options.version = "9";
  try {
    ImportVersion(options);
    FAIL() << "an existing version was written again";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "ALREADY_EXISTS");
  }
}

TEST_F(ImportVersionTest, UsesTheOptionsOfTheCaller) {
  ImportOptions options = Shipped();
  options.map_range = MapRange{0.0f, 0.5f};
  options.position_resize = PositionResize::kLineage;
  const Manifest manifest = ImportVersion(options).manifest;
  EXPECT_EQ(manifest.map_range, (MapRange{0.0f, 0.5f}));
  EXPECT_EQ(manifest.config.encoder.position_resize, PositionResize::kLineage);
}

TEST_F(ImportVersionTest, TakesOverTheManifestOfTheSameWeights) {
  Manifest known = ImportVersion(Shipped()).manifest;
  known.map_range = {0.01f, 0.3f};
  known.calibration = Calibration{.threshold = 0.12, .false_reject_budget = 0.05, .images = 30};
  known.categories["brick"] = {.threshold = 0.08, .false_reject_budget = 0.05, .images = 20};
  known.metrics["image_auroc/brick"] = 0.875;
  known.data_fingerprint = "of the images";
  known.parent_job = "a job elsewhere";
  known.training = TrainingRecord{.recipe = FindRecipe("quick"), .steps = 200, .images = 240};

  ImportOptions options = Shipped();
  options.manifest_file = Write("known.json", ToJson(known));
  options.name = "again";
  const Manifest manifest = ImportVersion(options).manifest;
  EXPECT_EQ(manifest.name, "again");
  EXPECT_EQ(manifest.map_range, known.map_range);
  EXPECT_EQ(manifest.calibration, known.calibration);
  EXPECT_EQ(manifest.categories, known.categories);
  EXPECT_EQ(manifest.metrics, known.metrics);
  EXPECT_EQ(manifest.data_fingerprint, known.data_fingerprint);
  EXPECT_EQ(manifest.training, known.training);
  EXPECT_EQ(manifest.parent_job, "");
  EXPECT_EQ(manifest.files.at(kModelFile), known.files.at(kModelFile));
  EXPECT_EQ(LoadCheckpoint(root_ / "store" / "again" / "1").manifest, manifest);
}

TEST_F(ImportVersionTest, RefusesTheManifestOfOtherWeights) {
  const Manifest known = ImportVersion(Shipped()).manifest;
  ImportOptions options = Shipped();
  options.name = "again";

  Manifest other = known;
  other.files[kModelFile].sha256 = std::string(64, 'a');
  options.manifest_file = Write("other.json", ToJson(other));
  ExpectRefused(options, "manifest", "is of other weights than " + options.weights_file.string());

  other = known;
  other.encoder.sha256 = std::string(64, 'b');
  options.manifest_file = Write("other.json", ToJson(other));
  ExpectRefused(options, "manifest", "is of other weights than " + options.encoder_file.string());

  // An encoder's file as a version has it is the same encoder.
  options.encoder_file = root_ / "store" / "proad-tiny" / "1" / kEncoderFile;
  EXPECT_EQ(ImportVersion(options).manifest.files.at(kEncoderFile), known.files.at(kEncoderFile));
}

TEST_F(ImportVersionTest, WarnsOfAnUnknownEncoder) {
  const ModelConfig config = PresetConfig("proad-tiny");
  const fs::path file = root_ / "own.safetensors";
  WriteSafetensors(file, ToFile(OfficialTensors(config)).tensors);
  ImportOptions options = Shipped();
  options.encoder_file = file;
  const ImportedVersion imported = ImportVersion(options);
  EXPECT_THAT(imported.warnings, ElementsAre(HasSubstr(imported.manifest.encoder.sha256)));
}

TEST_F(ImportVersionTest, RefusesInvalidVersions) {
  ImportOptions options = Shipped();
  options.name = "../elsewhere";
  ExpectRefused(options, "name", "'../elsewhere'");
  options = Shipped();
  options.version = "1/2";
  ExpectRefused(options, "version", "'1/2'");
  options.version = "active";
  ExpectRefused(options, "version", "the file that names the active version");
  options = Shipped();
  options.preset = "proad-huge";
  ExpectRefused(options, "preset", "proad-base");
  options = Shipped();
  options.preset = "proad-base";
  ExpectRefused(options, "preset", "'proad-tiny'");
  options = Shipped();
  options.encoder_file = options.weights_file;
  ExpectRefused(options, "encoder", "trained weights of a Pro-AD");
  options = Shipped();
  options.map_range = MapRange{0.5f, 0.1f};
  ExpectRefused(options, "map_range", "low");
}

TEST_F(ImportVersionTest, NamesAnUnreadableFile) {
  ImportOptions options = Shipped();
  options.weights_file = root_ / "absent.safetensors";
  try {
    ImportVersion(options);
    FAIL() << "weights that are not there were imported";
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("absent.safetensors"));
  }
  options = Shipped();
  std::ofstream(root_ / "text.pth") << "no weights in here";
  options.encoder_file = root_ / "text.pth";
  try {
    ImportVersion(options);
    FAIL() << "a text file was imported";
  } catch (const CorruptFile& error) {
    EXPECT_THAT(error.what(), HasSubstr("text.pth"));
  }
  EXPECT_FALSE(fs::exists(options.store / options.name));
}

}  // namespace
}  // namespace proad::model
