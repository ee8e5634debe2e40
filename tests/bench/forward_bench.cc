// Times the frozen network on one batch, for peers.py. Each line of standard input runs it once and
// prints one line, "MILLISECONDS CPU_MILLISECONDS SCORE...". Ends at the end of the input.
//
//   forward_bench PRESET ENCODER.safetensors WEIGHTS.safetensors PIXELS.safetensors THREADS

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>

#include "model/files/safetensors.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/weight_import.h"
#include "model/spec/preset.h"

namespace proad::model {
namespace {

FrozenProAd Load(const std::string& preset, const std::string& encoder,
                 const std::string& weights) {
  const ModelConfig config = PresetConfig(preset);
  ProAd model(config);
  LoadEncoder(*model->encoder, ImportEncoder(ReadSafetensors(encoder), config.encoder));
  LoadTrainable(model, ReadSafetensors(weights));
  model->eval();
  return FrozenProAd(model, PresetPreprocessing(preset));
}

torch::Tensor LoadPixels(const std::string& path) {
  const TensorFile file = ReadSafetensors(path);
  const TensorView& view = file.tensors.at("pixels");
  return at::from_blob(const_cast<std::byte*>(view.data.data()), view.shape, torch::kUInt8).clone();
}

int Run(char** argv) {
  const FrozenProAd model = Load(argv[1], argv[2], argv[3]);
  const torch::Tensor pixels = LoadPixels(argv[4]);
  at::set_num_threads(std::atoi(argv[5]));
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const std::clock_t cpu_start = std::clock();
    const auto start = std::chrono::steady_clock::now();
    const Scored scored = model.Detect(pixels);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    const double cpu = 1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
    std::cout.precision(9);
    std::cout << taken.count() << ' ' << cpu;
    for (int64_t i = 0; i < scored.scores.size(0); ++i) {
      std::cout << ' ' << scored.scores[i].item<float>();
    }
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace proad::model

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: forward_bench PRESET ENCODER WEIGHTS PIXELS THREADS\n";
    return 2;
  }
  try {
    return proad::model::Run(argv);
  } catch (const std::exception& error) {
    std::cerr << "forward_bench: " << error.what() << '\n';
    return 1;
  }
}
