#include "model/training/train_subject.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/files/tensor_file.h"
#include "model/network/checkpoint.h"
#include "model/network/device.h"
#include "model/network/weight_import.h"
#include "model/spec/preset.h"
#include "model/spec/shuffle.h"
#include "model/training/rendezvous.h"

namespace proad::model {
namespace {

void CopyWeights(const ProAd& from, ProAd& to) {
  const torch::NoGradGuard no_grad;
  const auto source = from->TrainableParameters();
  for (auto& parameter : to->TrainableParameters())
    parameter.value().copy_(source[parameter.key()]);
}

// Copies the weights of a version with the same network and encoder.
void StartFrom(const std::filesystem::path& version, TrainSubject& subject) {
  const Checkpoint start = LoadCheckpoint(version);
  if (!start.manifest.config.SameNetwork(subject.model->config()) ||
      start.manifest.encoder.sha256 != subject.encoder.sha256) {
    throw InvalidInput(
        "init_from", "INIT_FROM_MISMATCH",
        "init_from " + start.manifest.name + "@" + start.manifest.version +
            " has another network or encoder than the job; use a version with the same "
            "preset, overrides and encoder");
  }
  CopyWeights(start.model, subject.model);
  subject.init_from = start.manifest.name + "@" + start.manifest.version;
}

}  // namespace

TrainSubject NewTrainSubject(const TrainSpec& spec) {
  TrainSubject subject;
  Network network = NetworkOf(spec.preset, spec.recipe);
  const ImportedEncoder encoder =
      ImportEncoder(ReadTensorFile(spec.encoder_file), network.config.encoder);
  network.config.encoder = encoder.config;
  subject.preprocessing = network.preprocessing;
  subject.encoder = {spec.encoder_file.filename(), Sha256File(spec.encoder_file),
                     NameOf(encoder.dialect)};
  at::manual_seed(DeriveSeed(spec.recipe.seed, kInitialWeightsStream));
  subject.model = ProAd(network.config);
  LoadEncoder(*subject.model->encoder, encoder);
  if (!spec.init_from.empty()) StartFrom(spec.init_from, subject);
  return subject;
}

torch::Device DeviceOf(const TrainSpec& spec, const Rendezvous* processes) {
  if (processes == nullptr || !spec.device.starts_with("cuda")) {
    return torch::Device(ResolveDevice(spec.device));
  }
  const int number = processes->membership().local_rank;
  return torch::Device(ResolveDevice("cuda:" + std::to_string(number)));
}

}  // namespace proad::model
