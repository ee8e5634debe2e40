// The gain of the feature cache: one epoch with it and one without it, in one run.
//
//   train_bench [DATASET] [--steps N]     default: one epoch of factory4 beside the project, or of
//                                         deploy/sample if there is none
//
// Prints milliseconds per image of each part and the ratio of the epochs. Exits 1 if the losses of
// the two differ in a bit.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "model/files/sha256.h"
#include "model/files/tensor_file.h"
#include "model/network/weight_import.h"
#include "model/spec/train_data.h"
#include "model/training/feature_cache.h"
#include "model/training/trainer.h"
#include "tests/support/paths.h"

namespace {

using namespace proad::model;

double Seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

struct Epoch {
  double first_pass = 0;  // seconds to encode every image once
  double steps = 0;       // seconds
  std::vector<double> losses;
};

Epoch Measure(const TrainSpec& spec, const TrainData& data, bool keep, int64_t steps) {
  const Network network = NetworkOf(spec.preset, spec.recipe);
  at::manual_seed(spec.recipe.seed);
  ProAd model(network.config);
  LoadEncoder(*model->encoder,
              ImportEncoder(ReadTensorFile(spec.encoder_file), network.config.encoder));
  FeatureCache features(model, network.preprocessing, Sha256File(spec.encoder_file),
                        {.keep = keep});
  Epoch epoch;
  double start = Seconds();
  for (const Sample& sample : data.train) features.Add(sample);
  epoch.first_pass = Seconds() - start;
  Trainer trainer(model, spec.recipe, features);
  trainer.Step();  // warm-up
  start = Seconds();
  for (int64_t i = 0; i < steps; ++i) epoch.losses.push_back(trainer.Step().loss);
  epoch.steps = Seconds() - start;
  return epoch;
}

int Run(int argc, char** argv) {
  const std::filesystem::path root = proad::testing::SourceFolder();
  const std::filesystem::path factory4 = root / "../shared/datasets/factory4";
  TrainSpec spec;
  spec.dataset = exists(factory4) ? factory4 : root / "deploy/sample";
  spec.preset = "proad-tiny";
  spec.encoder_file = root / "model/weights/encoder-tiny.safetensors";
  spec.recipe = FindRecipe("quick");
  int64_t steps = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--steps" && i + 1 < argc) {
      steps = std::atoll(argv[++i]);
    } else {
      spec.dataset = argument;
    }
  }
  const TrainData data = OpenTrainData(spec, {});
  const auto images = static_cast<int64_t>(data.train.size());
  if (steps == 0) steps = LengthOf(spec.recipe, images).steps_per_epoch;

  const Epoch cached = Measure(spec, data, true, steps);
  const Epoch plain = Measure(spec, data, false, steps);
  const double trained = static_cast<double>(steps * spec.recipe.batch_size);
  const double per_image = 1000 / trained;  // milliseconds per second of a run
  const double without_encoder = plain.steps - cached.steps;
  std::printf("%lld images, %lld steps of %lld, proad-tiny\n", static_cast<long long>(images),
              static_cast<long long>(steps), static_cast<long long>(spec.recipe.batch_size));
  std::printf("features, encoded once   %8.1f ms per image\n",
              1000 * cached.first_pass / static_cast<double>(images));
  std::printf("step with the cache      %8.1f ms per image\n", cached.steps * per_image);
  std::printf("step without             %8.1f ms per image\n", plain.steps * per_image);
  std::printf("an epoch is              %8.2f times as fast with the cache\n",
              plain.steps / cached.steps);
  std::printf("features cost            %8.1f ms per image without the cache\n",
              without_encoder * per_image);
  if (cached.losses != plain.losses) {
    std::puts("FAILED: the losses differ");
    return 1;
  }
  std::printf("losses                   equal bit for bit, the last %.6f\n", cached.losses.back());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_bench: %s\n", error.what());
    return 1;
  }
}
