// Runs the network on files of images and writes all its tensors, which the scripts in this folder
// compare with other implementations. tool_job.h has the protocol. The result of a job is the
// naming scheme of the encoder's file, or the directory of the new version:
//
//   encoder=FILE input=FILE output=FILE preset=NAME [weights=FILE] [option of ModelConfig ...]
//   store=DIRECTORY encoder=FILE weights=FILE preset=NAME
//
// input: safetensors with "pixels" uint8 [B, H, W, 3] or "images", normalised float [B, 3, H, W].
// output: safetensors with tap.<i>; with weights also encoder_group.<g> and decoder_group.<g>
// [B, h, w, C], map and score; for pixels also frozen_map and frozen_score.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/network/anomaly_map.h"
#include "model/network/encoder.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/import_version.h"
#include "model/network/pro_ad.h"
#include "model/network/weight_import.h"
#include "model/spec/config.h"
#include "tests/torch/tool_job.h"

namespace proad::model {
namespace {

using testing::CopyTensor;
using testing::Options;
using testing::Take;

// Makes a version; returns its directory.
std::string Publish(Options options) {
  return ImportVersion({.store = Take(options, "store"),
                        .name = "version",
                        .preset = Take(options, "preset"),
                        .encoder_file = Take(options, "encoder"),
                        .weights_file = Take(options, "weights")})
      .directory;
}

// Runs the network; returns the encoder's dialect.
std::string Run(Options options) {
  const c10::InferenceMode inference;
  ModelConfig config = testing::TakeConfig(options);
  const ImportedEncoder imported =
      ImportEncoder(ReadTensorFile(Take(options, "encoder")), config.encoder);
  config.encoder = imported.config;
  const TensorFile input = ReadTensorFile(Take(options, "input"));
  const std::string output = Take(options, "output");
  const std::string weights = Take(options, "weights");
  testing::RefuseRest(options);

  Preprocessing preprocessing;
  preprocessing.resize_height = preprocessing.crop_height = config.input_height;
  preprocessing.resize_width = preprocessing.crop_width = config.input_width;
  ProAd model(config);
  LoadEncoder(*model->encoder, imported);
  model->eval();

  torch::Tensor pixels;
  torch::Tensor images;
  if (input.tensors.contains("pixels")) {
    pixels = CopyTensor(input.tensors.at("pixels"), at::kByte);
    images = Normalize(pixels, preprocessing);
  } else {
    images = CopyTensor(input.tensors.at("images"), at::kFloat);
  }

  std::map<std::string, torch::Tensor> computed;
  const auto add = [&](const std::string& name, const std::vector<torch::Tensor>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) computed[name + std::to_string(i)] = tensors[i];
  };
  add("tap.", model->encoder->forward(images));
  if (!weights.empty()) {
    LoadTrainable(model, ReadTensorFile(weights));
    const Reconstruction reconstruction = model->forward(images);
    add("encoder_group.", reconstruction.encoder_groups);
    add("decoder_group.", reconstruction.decoder_groups);
    computed["map"] = AnomalyMap(config, at::kCPU)(reconstruction);
    computed["score"] = ImageScore(computed["map"]);
    if (pixels.defined()) {
      const Scored scored = FrozenProAd(model, preprocessing).Detect(pixels);
      computed["frozen_map"] = scored.maps;
      computed["frozen_score"] = scored.scores;
    }
  }
  testing::Write(output, std::move(computed));
  return NameOf(imported.dialect);
}

}  // namespace
}  // namespace proad::model

int main() {
  using proad::model::testing::Options;
  proad::model::testing::AnswerJobs([](Options options) {
    const bool publish = options.contains("store");
    return publish ? proad::model::Publish(std::move(options))
                   : proad::model::Run(std::move(options));
  });
  return 0;
}
