// What CreateTrainJob accepts, what it makes of it, and what it refuses, over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "tests/support/training_server.h"

namespace proad::server {
namespace {

namespace fake = proad::testing;
namespace fs = std::filesystem;

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class TrainingRequestTest : public TrainingTest {};

TEST_F(TrainingRequestTest, WhatIsLeftOutIsFilledIn) {
  Start();
  v1::TrainJob job;
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), job, "", /*validate_only=*/true).ok());
  const v1::TrainJobSpec& spec = job.spec();
  EXPECT_EQ(spec.dataset_path(), "parts");
  EXPECT_EQ(spec.dataset_format(), v1::DATASET_FORMAT_MVTEC);
  EXPECT_THAT(spec.categories(), ElementsAre("pcb"));
  EXPECT_EQ(spec.preset(), "proad-pyramid");
  EXPECT_EQ(spec.recipe(), "quick");
  EXPECT_EQ(spec.encoder(), "encoder-pyramid");
  EXPECT_EQ(spec.device(), "cpu");
  EXPECT_EQ(spec.validation_share(), 0.1);
  EXPECT_EQ(spec.false_reject_budget(), 0.01);
  EXPECT_EQ(spec.world_size(), 1u);
  EXPECT_FALSE(spec.activate_on_success());
  EXPECT_FALSE(spec.has_gate());
  const v1::RecipeOverrides& recipe = spec.overrides();
  EXPECT_EQ(recipe.batch_size(), 8u);
  EXPECT_EQ(recipe.learning_rate(), 3e-3);
  EXPECT_EQ(recipe.weight_decay(), 1e-4);
  EXPECT_EQ(recipe.warmup_steps(), 20u);
  EXPECT_EQ(recipe.dropout(), 0.2);
  EXPECT_EQ(recipe.seed(), 1u);
  EXPECT_EQ(recipe.precision(), v1::PRECISION_FP32);
  EXPECT_TRUE(recipe.has_center_crop());
  EXPECT_NE(recipe.position_resize(), v1::POSITION_RESIZE_UNSPECIFIED);
  EXPECT_GT(recipe.decoder_layers(), 0u);
  EXPECT_GT(recipe.input_side(), 0u);
  EXPECT_TRUE(recipe.adaptive_noisy_bottleneck() && recipe.dynamic_decoder() &&
              recipe.prototype_constraint());
  EXPECT_TRUE(recipe.principal_start());

  v1::TrainJob again;
  ASSERT_TRUE(server_.Create(spec, again, "", true).ok()) << "an answer's spec can be asked for";
  EXPECT_EQ(again.spec().SerializeAsString(), spec.SerializeAsString());
}

TEST_F(TrainingRequestTest, WhatIsGivenIsKept) {
  fake::WriteFile(server_.root / "encoders", "mine.pth", "weights");
  Start();
  v1::TrainJobSpec spec = TrainingServer::Spec();
  spec.set_model_name(std::string(64, 'm'));
  spec.set_recipe("paper-mvtec");
  spec.set_encoder("mine");
  spec.set_validation_share(0);
  spec.set_false_reject_budget(0.05);
  spec.set_skip_unreadable(true);
  spec.set_activate_on_success(true);
  spec.mutable_gate()->set_not_worse_than_active(true);
  spec.mutable_gate()->set_tolerance(0.01);
  auto& minimum = *spec.mutable_gate()->add_minimums();
  minimum.set_name("aupro");
  minimum.set_category("pcb");
  minimum.set_minimum(0.9);
  v1::RecipeOverrides& recipe = *spec.mutable_overrides();
  recipe.set_epochs(7);
  recipe.set_batch_size(4);
  recipe.set_learning_rate(0.01);
  recipe.set_weight_decay(0);
  recipe.set_warmup_steps(3);
  recipe.set_dropout(0);
  recipe.set_seed(std::numeric_limits<uint64_t>::max());
  recipe.set_precision(v1::PRECISION_BF16);
  recipe.set_center_crop(true);
  recipe.set_position_resize(v1::POSITION_RESIZE_LINEAGE);
  recipe.set_input_side(392);
  recipe.set_adaptive_noisy_bottleneck(false);
  recipe.set_dynamic_decoder(false);
  recipe.set_prototype_constraint(false);
  recipe.set_principal_start(false);
  v1::TrainJob job;
  const grpc::Status status = server_.Create(spec, job, "", true);
  ASSERT_TRUE(status.ok()) << status.error_message();
  recipe.set_decoder_layers(job.spec().overrides().decoder_layers());  // left out
  EXPECT_EQ(job.spec().overrides().SerializeAsString(), recipe.SerializeAsString());
  EXPECT_EQ(job.spec().gate().SerializeAsString(), spec.gate().SerializeAsString());
  EXPECT_EQ(job.spec().model_name(), spec.model_name());
  EXPECT_EQ(job.spec().encoder(), "mine");
  EXPECT_EQ(job.spec().recipe(), "paper-mvtec");
  EXPECT_EQ(job.spec().validation_share(), 0);
  EXPECT_EQ(job.spec().false_reject_budget(), 0.05);
  EXPECT_TRUE(job.spec().skip_unreadable() && job.spec().activate_on_success());
}

TEST_F(TrainingRequestTest, EachImpossibleValueIsRefusedByName) {
  WriteFakeVersion(server_.config.store, "pcb", "1");
  Start();
  using Spec = v1::TrainJobSpec;
  constexpr auto kInvalid = StatusCode::INVALID_ARGUMENT;
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const auto with_minimum = [](Spec& spec, const char* name, double minimum,
                               const char* category = "") {
    spec.set_activate_on_success(true);
    spec.mutable_gate()->add_minimums()->set_name("image_ap");
    auto& second = *spec.mutable_gate()->add_minimums();
    second.set_name(name);
    second.set_minimum(minimum);
    second.set_category(category);
  };
  const struct {
    std::function<void(Spec&)> change;
    Refusal refusal;
  } kCases[] = {
      {[](Spec& s) { s.set_model_name(""); }, {kInvalid, "spec.model_name", "is not a name"}},
      {[](Spec& s) { s.set_model_name(std::string(65, 'm')); },
       {kInvalid, "spec.model_name", "up to 64"}},
      {[](Spec& s) { s.set_model_name("../pcb"); },
       {kInvalid, "spec.model_name", "\"../pcb\" is not a name"}},
      {[](Spec& s) { s.clear_dataset(); },
       {kInvalid, "spec.dataset_path", "a dataset_path or a dataset_id is expected"}},
      {[](Spec& s) { s.set_dataset_id(""); },
       {kInvalid, "spec.dataset_path", "a dataset_path or a dataset_id is expected"}},
      {[](Spec& s) { s.set_dataset_format(static_cast<v1::DatasetFormat>(99)); },
       {kInvalid, "spec.dataset_format", "99"}},
      {[](Spec& s) { s.set_dataset_format(v1::DATASET_FORMAT_REAL_IAD); },
       {kInvalid, "spec.dataset_path", "looks like Real-IAD"}},
      {[](Spec& s) { s.add_categories("cable"); },
       {StatusCode::NOT_FOUND, "spec.categories", "cable"}},
      {[](Spec& s) { s.add_categories(""); }, {kInvalid, "spec.categories", "empty"}},
      {[](Spec& s) {
         s.add_categories("pcb");
         s.add_categories("pcb");
       },
       {kInvalid, "spec.categories", "twice"}},
      {[](Spec& s) {
         for (int i = 0; i < 1001; ++i) s.add_categories(absl::StrCat(i));
       },
       {kInvalid, "spec.categories", "1001 are given; at most 1000 are accepted"}},
      {[](Spec& s) { s.set_preset("proad-huge"); },
       {kInvalid, "spec.preset",
        "proad-pyramid, proad-tiny, proad-lite, proad-combined, proad-small, proad-base, "
        "proad-large"}},
      {[](Spec& s) { s.set_recipe("slow"); }, {kInvalid, "spec.recipe", "quick"}},
      {[](Spec& s) { s.mutable_overrides()->set_epochs(0); },
       {kInvalid, "spec.overrides.epochs", "from 1 to 100000"}},
      {[](Spec& s) { s.mutable_overrides()->set_epochs(100001); },
       {kInvalid, "spec.overrides.epochs", "100001"}},
      {[](Spec& s) { s.mutable_overrides()->set_batch_size(0); },
       {kInvalid, "spec.overrides.batch_size", "4096"}},
      {[](Spec& s) { s.mutable_overrides()->set_batch_size(4097); },
       {kInvalid, "spec.overrides.batch_size", "4097"}},
      {[](Spec& s) { s.mutable_overrides()->set_batch_size(18); },
       {kInvalid, "spec.overrides.batch_size", "only 17 images to train on"}},
      {[](Spec& s) { s.mutable_overrides()->set_learning_rate(0); },
       {kInvalid, "spec.overrides.learning_rate", "above 0"}},
      {[](Spec& s) { s.mutable_overrides()->set_learning_rate(1.5); },
       {kInvalid, "spec.overrides.learning_rate", "1.5"}},
      {[](Spec& s) { s.mutable_overrides()->set_learning_rate(kNaN); },
       {kInvalid, "spec.overrides.learning_rate", "nan"}},
      {[](Spec& s) { s.mutable_overrides()->set_weight_decay(-0.1); },
       {kInvalid, "spec.overrides.weight_decay", "-0.1"}},
      {[](Spec& s) { s.mutable_overrides()->set_warmup_steps(4000000000u); },
       {kInvalid, "spec.overrides.warmup_steps", "4000000000"}},
      {[](Spec& s) { s.mutable_overrides()->set_dropout(1); },
       {kInvalid, "spec.overrides.dropout", "below 1"}},
      {[](Spec& s) { s.mutable_overrides()->set_precision(static_cast<v1::Precision>(9)); },
       {kInvalid, "spec.overrides.precision", "9"}},
      {[](Spec& s) {
         s.mutable_overrides()->set_position_resize(static_cast<v1::PositionResize>(9));
       },
       {kInvalid, "spec.overrides.position_resize", "9"}},
      {[](Spec& s) { s.mutable_overrides()->set_decoder_layers(25); },
       {kInvalid, "spec.overrides.decoder_layers", "24"}},
      {[](Spec& s) {
         s.set_preset("proad-tiny");  // of two groups
         s.mutable_overrides()->set_decoder_layers(7);
       },
       {kInvalid, "spec.overrides.decoder_layers", "multiple of the number of groups"}},
      {[](Spec& s) { s.mutable_overrides()->set_input_side(27); },
       {kInvalid, "spec.overrides.input_side", "28"}},
      {[](Spec& s) { s.mutable_overrides()->set_input_side(4294967295u); },
       {kInvalid, "spec.overrides.input_side", "1400"}},
      {[](Spec& s) { s.mutable_overrides()->set_input_side(393); },
       {kInvalid, "spec.overrides.input_side", "multiple"}},
      {[](Spec& s) { s.mutable_overrides()->set_precision(v1::PRECISION_TF32); },
       {StatusCode::FAILED_PRECONDITION, "spec.overrides.precision", "CUDA"}},
      {[](Spec& s) { s.set_init_from("a@b@c"); }, {kInvalid, "spec.init_from", "a@b@c"}},
      {[](Spec& s) { s.set_init_from("gone"); }, {StatusCode::NOT_FOUND, "spec.init_from", "pcb"}},
      {[](Spec& s) { s.set_init_from("pcb@7"); },
       {StatusCode::NOT_FOUND, "spec.init_from", "pcb@7"}},
      {[](Spec& s) {
         s.set_preset("proad-small");
         s.set_init_from("pcb");
       },
       {kInvalid, "spec.init_from", "pcb@1 has the preset proad-tiny"}},
      {[](Spec& s) { s.set_encoder("../encoder-pyramid"); },
       {kInvalid, "spec.encoder", "is not a name"}},
      {[](Spec& s) { s.set_encoder("gone"); },
       {StatusCode::NOT_FOUND, "spec.encoder", "there are: encoder-pyramid"}},
      {[](Spec& s) { s.set_preset("proad-large"); }, {kInvalid, "spec.encoder", "encoder-large"}},
      {[](Spec& s) { s.set_device("cuda:1"); },
       {StatusCode::FAILED_PRECONDITION, "spec.device", "there is no cuda:1"}},
      {[](Spec& s) { s.set_device("toaster"); }, {kInvalid, "spec.device", "toaster"}},
      {[](Spec& s) { s.set_validation_share(1); }, {kInvalid, "spec.validation_share", "below 1"}},
      {[](Spec& s) { s.set_validation_share(kNaN); }, {kInvalid, "spec.validation_share", "nan"}},
      {[](Spec& s) { s.set_false_reject_budget(0); },
       {kInvalid, "spec.false_reject_budget", "above 0"}},
      {[](Spec& s) { s.mutable_gate(); }, {kInvalid, "spec.gate", "activate_on_success"}},
      {[](Spec& s) {
         s.set_activate_on_success(true);
         s.mutable_gate()->set_tolerance(-1);
       },
       {kInvalid, "spec.gate.tolerance", "at least 0"}},
      {[&](Spec& s) { with_minimum(s, "auc", 0.5); },
       {kInvalid, "spec.gate.minimums[1].name", "image_auroc"}},
      {[&](Spec& s) { with_minimum(s, "aupro", 1.5); },
       {kInvalid, "spec.gate.minimums[1].minimum", "from 0 to 1"}},
      {[&](Spec& s) { with_minimum(s, "aupro", 0.5, "cable"); },
       {kInvalid, "spec.gate.minimums[1].category", "cable"}},
      {[](Spec& s) { s.set_world_size(65); }, {kInvalid, "spec.world_size", "64"}},
      {[](Spec& s) { s.set_world_size(3); }, {kInvalid, "spec.world_size", "batch of 8"}},
      {[](Spec& s) {
         for (int i = 0; i < 17; ++i) (*s.mutable_labels())[absl::StrCat(i)] = "";
       },
       {kInvalid, "spec.labels", "17 are given; at most 16 are accepted"}},
      {[](Spec& s) { s = With(s, std::string(65, 'k').c_str()); }, {kInvalid, "spec.labels", "64"}},
      {[](Spec& s) { s = With(s, "key", std::string(257, 'v')); },
       {kInvalid, "spec.labels", "256"}},
  };
  for (const auto& [change, refusal] : kCases) {
    SCOPED_TRACE(absl::StrCat(refusal.field, ": ", refusal.words));
    Spec spec = TrainingServer::Spec();
    change(spec);
    v1::TrainJob job;
    ExpectRefused(server_.Create(spec, job), refusal);
    ExpectRefused(server_.Create(spec, job, "", /*validate_only=*/true), refusal);
  }
  EXPECT_THAT(ListIds(), IsEmpty());
}

TEST_F(TrainingRequestTest, DatasetsStayWithinTheDataRoot) {
  WriteParts(server_.root / "outside", "pcb");
  fs::create_directory_symlink(server_.root / "outside", server_.root / "data/link");
  fs::create_directory_symlink("parts", server_.root / "data/inside");
  fake::WriteFile(server_.root / "data/list", "dataset.csv",
                  "path,label,split\n../../outside/pcb/train/good/100.bmp,good,train\n");
  fs::create_directories(server_.root / "data/empty");
  WriteParts(server_.root / "data/defects", "pcb", /*good=*/0);
  Start();
  const struct {
    const char* path;
    Refusal refusal;
  } kCases[] = {
      {"..", {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"../outside",
       {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"../nothing",
       {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"parts/../../outside",
       {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"/etc", {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"link", {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"link/pcb",
       {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "is outside the data root"}},
      {"gone", {StatusCode::NOT_FOUND, "spec.dataset_path", "there is no \"gone\""}},
      {"list", {StatusCode::INVALID_ARGUMENT, "spec.dataset_path", "../../outside"}},
      {"empty", {StatusCode::INVALID_ARGUMENT, "spec.dataset_path", "empty"}},
      {"defects", {StatusCode::INVALID_ARGUMENT, "spec.dataset_path", "good"}},
  };
  for (const auto& [path, refusal] : kCases) {
    SCOPED_TRACE(path);
    v1::TrainJobSpec spec = TrainingServer::Spec();
    spec.set_dataset_path(path);
    v1::TrainJob job;
    const grpc::Status status = server_.Create(spec, job);
    ExpectRefused(status, refusal);
    EXPECT_THAT(status.error_message(), Not(HasSubstr(server_.root.path().string())))
        << "where the server keeps its data is nobody's business";
  }
  v1::TrainJobSpec spec = TrainingServer::Spec();
  spec.set_dataset_path("");
  v1::TrainJob job;
  ExpectRefused(server_.Create(spec, job),
                {StatusCode::INVALID_ARGUMENT, "spec.dataset_path", "is expected"});
  for (const char* path : {"inside", "parts/", "./parts/../parts"}) {
    spec.set_dataset_path(path);
    const grpc::Status status = server_.Create(spec, job, "", true);
    EXPECT_TRUE(status.ok()) << path << ": " << status.error_message();
  }
}

TEST_F(TrainingRequestTest, WithoutADataRootOnlyUploadsCanBeTrainedOn) {
  server_.config.training.data_root = "";
  Start();
  v1::TrainJob job;
  ExpectRefused(server_.Create(TrainingServer::Spec(), job),
                {StatusCode::PERMISSION_DENIED, "spec.dataset_path", "training.data_root"});
  v1::TrainJobSpec spec = TrainingServer::Spec();
  spec.set_dataset_id("gone");
  ExpectRefused(server_.Create(spec, job), {StatusCode::NOT_FOUND, "spec.dataset_id", "gone"});
  spec.set_dataset_id("../models");
  ExpectRefused(server_.Create(spec, job), {StatusCode::NOT_FOUND, "spec.dataset_id", "models"});
}

TEST_F(TrainingRequestTest, ARequestIdMakesRepeatingSafe) {
  Start();
  v1::TrainJob first, again, other;
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), first, "nightly 7").ok());
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), again, "nightly 7").ok());
  EXPECT_EQ(again.job_id(), first.job_id());
  const grpc::Status reused =
      server_.Create(With(TrainingServer::Spec(), "line", "3"), other, "nightly 7");
  ExpectRefused(reused, {StatusCode::ALREADY_EXISTS, "request_id", first.job_id()});
  EXPECT_THAT(ListIds(), ElementsAre(first.job_id()));
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), other, "nightly 8").ok());
  EXPECT_NE(other.job_id(), first.job_id());

  for (const std::string& id :
       {std::string(129, 'x'), std::string("two\nlines"), std::string("caf\xc3\xa9")}) {
    ExpectRefused(server_.Create(TrainingServer::Spec(), other, id),
                  {StatusCode::INVALID_ARGUMENT, "request_id", "printable ASCII"});
  }
  EXPECT_TRUE(server_.Create(TrainingServer::Spec(), other, std::string(128, '~')).ok());
}

TEST_F(TrainingRequestTest, ARequestIdHoldsWhenItsDatasetIsGone) {
  Start();
  v1::TrainJob first, again;
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), first, "r").ok());
  server_.AwaitEnd(first.job_id());
  fs::remove_all(server_.root / "data/parts");
  const grpc::Status status = server_.Create(TrainingServer::Spec(), again, "r");
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(again.job_id(), first.job_id());
  EXPECT_EQ(again.state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
}

TEST_F(TrainingRequestTest, ValidationCreatesNothing) {
  Start();
  v1::TrainJob job;
  ASSERT_TRUE(server_.Create(TrainingServer::Spec(), job, "r", /*validate_only=*/true).ok());
  EXPECT_EQ(job.job_id(), "");
  EXPECT_THAT(ListIds(), IsEmpty());
  ASSERT_TRUE(server_.Create(Held(), job, "r").ok()) << "the id was not used";
}

TEST_F(TrainingRequestTest, AFullQueueIsSaid) {
  server_.config.training.jobs.max_queued = 1;
  Start();
  const std::string running = server_.Create(Held());
  server_.AwaitPhase(running, v1::TRAIN_PHASE_TRAINING);
  const std::string cancelled = server_.Create(Held());
  v1::TrainJob job;
  ASSERT_TRUE(Cancel(cancelled, job).ok());
  server_.Create(Held());
  const grpc::Status full = server_.Create(Held(), job);
  ExpectRefused(full, {StatusCode::RESOURCE_EXHAUSTED, "", "1 jobs are queued already"});
  EXPECT_EQ(ReasonOf(DetailsOf(full)), "JOB_QUEUE_FULL");
  EXPECT_EQ(Resume(cancelled, job).error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace proad::server
