#include "server/jobs/job_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/files/sha256.h"
#include "model/spec/recipe.h"
#include "server/uploads/dataset_upload.h"
#include "server/util/status_details.h"
#include "tests/support/dataset_files.h"
#include "tests/support/fake_store.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SmallBmp;
using testing::TempDirectory;
using testing::WriteFile;
using testing::WriteText;

// A data root with the dataset "two" in the layout of MVTec-AD, one encoder of a preset's own and
// one other, a store, and a machine without a GPU.
class JobPlannerTest : public ::testing::Test {
 protected:
  JobPlannerTest() {
    for (const char* category : {"brick", "pcb"}) WriteParts("two", category);
    for (const char* file : {"encoder-pyramid.safetensors", "mine.pth"}) {
      WriteFile(root_ / "encoders", file, file);
    }
    fs::create_directory(root_ / "models");
  }

  // Eight good training images; one good and one defective test image.
  void WriteParts(const std::string& dataset, const std::string& category) {
    for (uint8_t i = 0; i < 8; ++i) {
      WriteFile(root_ / "data" / dataset, absl::StrCat(category, "/train/good/", i, ".bmp"),
                SmallBmp(i));
    }
    for (const char* name : {"/test/good/0.bmp", "/test/scratch/0.bmp"}) {
      WriteFile(root_ / "data" / dataset, category + name, SmallBmp(99));
    }
  }

  static JobSpec Spec() {
    JobSpec spec;
    spec.train.model_name = "pcb";
    spec.train.preset = "";
    spec.train.recipe = model::FindRecipe("quick");
    spec.train.recipe.batch_size = 4;
    spec.dataset_path = "two";
    return spec;
  }

  absl::Status Plan(JobSpec& spec) {
    const JobPlanner planner(
        {.data_root = data_root_, .encoders = {root_ / "encoders", root_ / "installed"}}, datasets_,
        models_, [this](const std::string& device) { return Resolve(device); });
    return planner.Plan(spec);
  }

  absl::StatusOr<std::string> Resolve(const std::string& device) const {
    if (device == "cpu") return "cpu";
    if (device == "auto") return gpus_ > 0 ? "cuda:0" : "cpu";
    if (device == "cuda" && gpus_ > 0) return "cuda:0";
    for (int i = 0; i < gpus_; ++i) {
      if (device == "cuda:" + std::to_string(i)) return device;
    }
    return absl::InvalidArgumentError(gpus_ == 0 ? "there is no CUDA device"
                                                 : "there are not so many");
  }

  void ExpectRefused(JobSpec spec, absl::StatusCode code, const std::string& field,
                     const std::string& words) {
    const absl::Status status = Plan(spec);
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(GetDetails(status).field, field) << status;
    EXPECT_NE(GetDetails(status).reason, "") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }

  // A version that was trained as Spec() says, on `encoder`.
  void WriteTrained(const std::string& version, const fs::path& encoder) {
    model::Manifest manifest = StoredManifest("pcb", version);
    const model::Network network = model::NetworkOf("proad-pyramid", Spec().train.recipe);
    manifest.config = network.config;
    manifest.preprocessing = network.preprocessing;
    manifest.encoder = {encoder.filename(), model::Sha256File(encoder), "official"};
    model::WriteVersion(root_ / "models/pcb" / version, manifest, [](const fs::path& staging) {
      WriteText(staging / model::kModelFile, "weights");
    });
  }

  TempDirectory root_;
  fs::path data_root_ = root_ / "data";
  DatasetStore datasets_{{.root = root_ / "datasets", .min_free_bytes = 0}};
  ModelStore models_{root_ / "models"};
  int gpus_ = 0;
};

TEST_F(JobPlannerTest, SetsTheFieldsThatTheRequestLeavesOpen) {
  JobSpec spec = Spec();
  const absl::Status status = Plan(spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(spec.train.dataset, fs::canonical(root_ / "data/two"));
  EXPECT_EQ(spec.train.dataset_format, model::DatasetFormat::kMvtec);
  EXPECT_THAT(spec.train.categories, ElementsAre("brick", "pcb"));
  EXPECT_EQ(spec.train.preset, "proad-pyramid");
  EXPECT_EQ(spec.encoder, "encoder-pyramid");
  EXPECT_EQ(spec.train.encoder_file, root_ / "encoders/encoder-pyramid.safetensors");
  EXPECT_EQ(spec.train.device, "cpu");
  EXPECT_EQ(spec.train.init_from, "");
  EXPECT_EQ(spec.train.active_version, "");
  EXPECT_EQ(spec.dataset_path, "two") << "as requested";
}

TEST_F(JobPlannerTest, KeepsTheFieldsOfTheRequest) {
  JobSpec spec = Spec();
  spec.train.categories = {"pcb"};
  spec.encoder = "mine";
  spec.train.device = "cpu";
  const absl::Status status = Plan(spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(spec.train.categories, ElementsAre("pcb"));
  EXPECT_EQ(spec.train.encoder_file, root_ / "encoders/mine.pth");
}

TEST_F(JobPlannerTest, UploadedDatasetMustBeComplete) {
  JobSpec spec = Spec();
  spec.dataset_path = "";
  spec.dataset_id = "mine";
  spec.train.recipe.batch_size = 1;
  ExpectRefused(spec, absl::StatusCode::kNotFound, "spec.dataset_id", "\"mine\"");
  auto upload = datasets_.Begin("mine", 0, 0);
  ASSERT_TRUE(upload.ok()) << upload.status();
  const std::string image = SmallBmp();
  const auto bytes = static_cast<int64_t>(image.size());
  ASSERT_TRUE(
      (*upload)->StartFile("0.bmp", bytes, absl::HexStringToBytes(model::Sha256Hex(image))).ok());
  ASSERT_TRUE((*upload)->Append(image).ok());
  ExpectRefused(spec, absl::StatusCode::kFailedPrecondition, "spec.dataset_id", "not complete");
  ASSERT_TRUE((*upload)->Finish(1).ok());
  const absl::Status status = Plan(spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(spec.train.categories, ElementsAre("mine"));
}

TEST_F(JobPlannerTest, DatasetPathStaysBelowTheDataRoot) {
  WriteFile(root_ / "outside", "pcb/train/good/0.bmp", SmallBmp());
  fs::create_directory_symlink(root_ / "outside", root_ / "data/leaving");
  fs::create_directory_symlink(root_ / "outside/missing", root_ / "data/dangling");
  fs::create_directory_symlink("two", root_ / "data/staying");
  const std::vector<std::string> outside = {
      "..",      "../outside",  "two/../../outside",          "/etc",
      "leaving", "leaving/pcb", (root_ / "outside").string(), "../nothing"};
  for (const std::string& path : outside) {
    JobSpec spec = Spec();
    spec.dataset_path = path;
    SCOPED_TRACE(path);
    ExpectRefused(spec, absl::StatusCode::kPermissionDenied, "spec.dataset_path", "data root");
  }
  for (const std::string& path : {std::string("nothing"), std::string("two/nothing")}) {
    JobSpec spec = Spec();
    spec.dataset_path = path;
    ExpectRefused(spec, absl::StatusCode::kNotFound, "spec.dataset_path", path);
  }
  for (const std::string& path :
       {std::string("staying"), std::string("./two/"), (root_ / "data/two").string()}) {
    JobSpec spec = Spec();
    spec.dataset_path = path;
    const absl::Status status = Plan(spec);
    EXPECT_TRUE(status.ok()) << path << ": " << status;
    EXPECT_EQ(spec.train.dataset, fs::canonical(root_ / "data/two"));
  }
  for (const std::string& path :
       {std::string("two\0/../../outside", 18), std::string("two\0", 4), std::string(2000, 'x')}) {
    JobSpec spec = Spec();
    spec.dataset_path = path;
    ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.dataset_path", "NUL");
  }
  JobSpec overlong = Spec();  // of a length that only the file system refuses
  overlong.dataset_path = std::string(400, 'x');
  EXPECT_FALSE(Plan(overlong).ok());
  JobSpec dangling = Spec();
  dangling.dataset_path = "dangling";
  EXPECT_FALSE(Plan(dangling).ok());
}

TEST_F(JobPlannerTest, WithoutADataRootOnlyUploadedDatasetsAreAccepted) {
  data_root_ = "";
  ExpectRefused(Spec(), absl::StatusCode::kPermissionDenied, "spec.dataset_path", "upload");
  data_root_ = root_ / "missing";
  ExpectRefused(Spec(), absl::StatusCode::kFailedPrecondition, "spec.dataset_path", "data root");
}

TEST_F(JobPlannerTest, UnusableDatasetIsRefusedWithTheReason) {
  fs::create_directories(root_ / "data/empty");
  WriteFile(root_ / "data/bad-only", "pcb/train/good/readme.txt", "not an image");
  WriteFile(root_ / "data/bad-only", "pcb/test/scratch/0.bmp", SmallBmp());
  for (const char* path : {"empty", "bad-only"}) {
    JobSpec spec = Spec();
    spec.dataset_path = path;
    SCOPED_TRACE(path);
    ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.dataset_path", path);
  }
  JobSpec format = Spec();
  format.train.dataset_format = model::DatasetFormat::kRealIad;
  ExpectRefused(format, absl::StatusCode::kInvalidArgument, "spec.dataset_path", "realiad");
  JobSpec category = Spec();
  category.train.categories = {"gravel"};
  ExpectRefused(category, absl::StatusCode::kNotFound, "spec.categories", "gravel");
  JobSpec batch = Spec();
  batch.train.recipe.batch_size = 64;
  ExpectRefused(batch, absl::StatusCode::kInvalidArgument, "spec.overrides.batch_size", "64");
}

TEST_F(JobPlannerTest, InstalledEncodersAreFoundAfterThoseOfTheOperator) {
  fs::remove_all(root_ / "encoders");
  WriteFile(root_ / "installed", "encoder-pyramid.safetensors", "installed");
  JobSpec spec = Spec();
  ASSERT_TRUE(Plan(spec).ok());
  EXPECT_EQ(spec.train.encoder_file, root_ / "installed/encoder-pyramid.safetensors");
  WriteFile(root_ / "encoders", "encoder-pyramid.pth", "operator");
  spec = Spec();
  ASSERT_TRUE(Plan(spec).ok());
  EXPECT_EQ(spec.train.encoder_file, root_ / "encoders/encoder-pyramid.pth");
}

// The manifest of the result would be refused, after all training steps.
TEST_F(JobPlannerTest, ACategoryThatAManifestRefusesIsRefused) {
  for (const std::string& category : {std::string("pcb\n2"), std::string(129, 'a')}) {
    const std::string dataset = absl::StrCat("with-", category.size());
    WriteParts(dataset, category);
    JobSpec spec = Spec();
    spec.dataset_path = dataset;
    ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.dataset_path", "rename it");
  }
}

TEST_F(JobPlannerTest, UnknownEncoderListsTheKnownOnes) {
  JobSpec unknown = Spec();
  unknown.encoder = "theirs";
  ExpectRefused(unknown, absl::StatusCode::kNotFound, "spec.encoder", "encoder-pyramid, mine");
  WriteFile(root_ / "installed", "shipped.safetensors", "shipped");
  WriteFile(root_ / "installed", "mine.safetensors", "shipped");
  WriteFile(root_ / "installed", "proad-pyramid.safetensors", "a model");
  ExpectRefused(unknown, absl::StatusCode::kNotFound, "spec.encoder",
                "encoder-pyramid, mine, shipped");
  JobSpec none = Spec();
  none.train.preset = "proad-large";
  ExpectRefused(none, absl::StatusCode::kInvalidArgument, "spec.encoder", "encoder-large");
}

TEST_F(JobPlannerTest, OverridesMustFitThePreset) {
  JobSpec side = Spec();
  side.train.recipe.input_side = 225;
  ExpectRefused(side, absl::StatusCode::kInvalidArgument, "spec.overrides.input_side", "multiple");
  JobSpec layers = Spec();
  layers.train.preset = "proad-tiny";  // of two groups
  layers.train.recipe.decoder_layers = 7;
  ExpectRefused(layers, absl::StatusCode::kInvalidArgument, "spec.overrides.decoder_layers",
                "groups");
}

TEST_F(JobPlannerTest, DeviceMustExist) {
  JobSpec missing = Spec();
  missing.train.device = "cuda:3";
  ExpectRefused(missing, absl::StatusCode::kFailedPrecondition, "spec.device", "no CUDA device");
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:99999999999"}) {
    JobSpec spec = Spec();
    spec.train.device = device;
    ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.device", device);
  }
  JobSpec precision = Spec();
  precision.train.recipe.precision = model::Precision::kTf32;
  ExpectRefused(precision, absl::StatusCode::kFailedPrecondition, "spec.overrides.precision",
                "CUDA");
}

TEST_F(JobPlannerTest, EachOfSeveralProcessesUsesItsOwnGpu) {
  JobSpec on_cpus = Spec();
  on_cpus.train.world_size = 4;
  EXPECT_TRUE(Plan(on_cpus).ok());
  EXPECT_EQ(on_cpus.train.device, "cpu");
  gpus_ = 4;
  for (const char* device : {"auto", "cuda"}) {
    JobSpec spec = Spec();
    spec.train.world_size = 4;
    spec.train.device = device;
    const absl::Status status = Plan(spec);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(spec.train.device, "cuda") << "each takes its own";
  }
  JobSpec one_for_all = Spec();
  one_for_all.train.world_size = 4;
  one_for_all.train.device = "cuda:1";
  ExpectRefused(one_for_all, absl::StatusCode::kInvalidArgument, "spec.device", "cuda:1");
  gpus_ = 3;
  JobSpec too_many = Spec();
  too_many.train.world_size = 4;
  ExpectRefused(too_many, absl::StatusCode::kFailedPrecondition, "spec.world_size", "not so many");
}

TEST_F(JobPlannerTest, JobStartsFromAVersionOfTheSameNetwork) {
  WriteTrained("1", root_ / "encoders/encoder-pyramid.safetensors");
  WriteTrained("2", root_ / "encoders/encoder-pyramid.safetensors");
  WriteText(root_ / "models/pcb/active", "1");
  for (const auto& [from, version] : {std::pair("pcb", "1"), {"pcb@2", "2"}}) {
    JobSpec spec = Spec();
    spec.init_from = from;
    const absl::Status status = Plan(spec);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(spec.init_from, absl::StrCat("pcb@", version));
    EXPECT_EQ(spec.train.init_from, root_ / "models/pcb" / version);
    EXPECT_EQ(spec.train.preset, "proad-pyramid") << "that of the version";
  }
}

TEST_F(JobPlannerTest, JobDoesNotStartFromAVersionOfAnotherNetwork) {
  WriteTrained("1", root_ / "encoders/encoder-pyramid.safetensors");
  JobSpec spec = Spec();
  spec.init_from = "gravel";
  ExpectRefused(spec, absl::StatusCode::kNotFound, "spec.init_from", "there are: pcb");
  spec.init_from = "pcb@7";
  ExpectRefused(spec, absl::StatusCode::kNotFound, "spec.init_from", "pcb@7");

  spec.init_from = "pcb@1";
  spec.train.preset = "proad-base";
  ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.init_from", "proad-base");
  spec = Spec();
  spec.init_from = "pcb@1";
  spec.train.recipe.decoder_layers = 4;
  spec.train.recipe.dynamic_decoder = false;
  ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.init_from", "another network");
  spec = Spec();
  spec.init_from = "pcb@1";
  spec.encoder = "mine";
  ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.init_from", "mine");

  WriteText(root_ / "models/pcb/1/manifest.json", "{");
  spec = Spec();
  spec.init_from = "pcb@1";
  ExpectRefused(spec, absl::StatusCode::kDataLoss, "spec.init_from", "manifest.json");
}

TEST_F(JobPlannerTest, GateComparesWithTheActiveVersion) {
  JobSpec spec = Spec();
  spec.train.gate.emplace().not_worse_than_active = true;
  ASSERT_TRUE(Plan(spec).ok());
  EXPECT_EQ(spec.train.active_version, "") << "none is active";
  WriteTrained("1", root_ / "encoders/mine.pth");
  WriteTrained("2", root_ / "encoders/mine.pth");
  WriteText(root_ / "models/pcb/active", "1");
  ASSERT_TRUE(Plan(spec).ok());
  EXPECT_EQ(spec.train.active_version, root_ / "models/pcb/1");
  WriteText(root_ / "models/pcb/active", "");
  spec.train.active_version = "";
  ASSERT_TRUE(Plan(spec).ok());
  EXPECT_EQ(spec.train.active_version, "");
}

TEST_F(JobPlannerTest, GateAcceptsOnlyCategoriesOfTheJob) {
  JobSpec spec = Spec();
  spec.train.categories = {"pcb"};
  spec.train.gate.emplace().minimums = {{"image_auroc", "", 0.5}, {"image_auroc", "pcb", 0.5}};
  JobSpec good = spec;
  ASSERT_TRUE(Plan(good).ok());
  spec.train.gate->minimums.push_back({"image_auroc", "brick", 0.5});
  ExpectRefused(spec, absl::StatusCode::kInvalidArgument, "spec.gate.minimums[2].category",
                "there are: pcb");
}

}  // namespace
}  // namespace proad::server
