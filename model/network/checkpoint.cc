#include "model/network/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/safetensors.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/spec/version_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

using NamedTensors = std::map<std::string, torch::Tensor>;

// Copies on the CPU, in `type`.
NamedTensors ToHost(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                    at::ScalarType type) {
  NamedTensors tensors;
  for (const auto& parameter : parameters) {
    tensors[parameter.key()] = parameter.value().detach().to(at::kCPU, type).contiguous();
  }
  return tensors;
}

bool FitsInto(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
              at::ScalarType type) {
  return std::all_of(parameters.begin(), parameters.end(), [type](const auto& parameter) {
    const torch::Tensor value = parameter.value().detach();
    return value.to(type).to(value.scalar_type()).equal(value);
  });
}

// The smallest type that holds every value exactly.
at::ScalarType SmallestType(const torch::OrderedDict<std::string, torch::Tensor>& parameters) {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    if (FitsInto(parameters, type)) return type;
  }
  return at::kFloat;
}

DType ToDType(at::ScalarType type) {
  if (type == at::kHalf) return DType::kF16;
  return type == at::kBFloat16 ? DType::kBF16 : DType::kF32;
}

void WriteTensors(const fs::path& path, const NamedTensors& tensors) {
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    views[name] = {ToDType(tensor.scalar_type()),
                   tensor.sizes().vec(),
                   {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
  WriteSafetensors(path, views, {{"format", "pt"}});
}

void WriteBytes(const fs::path& path, std::span<const uint8_t> bytes) {
  AtomicFile file(path);
  file.Write(std::as_bytes(bytes));
  file.Commit();
}

void RequireListed(const fs::path& directory, const Manifest& manifest, const char* file) {
  if (manifest.files.contains(file)) return;
  throw CorruptFile(
      (directory / kManifestFile).string(),
      std::string("key \"files\" does not list '") + file + "', which every checkpoint has");
}

// Weights that do not fit the manifest make the checkpoint a damaged file.
template <typename Load>
void LoadPart(const fs::path& path, const Load& load) {
  try {
    load(ReadSafetensors(path));
  } catch (const InvalidInput& error) {
    throw CorruptFile(path.string(),
                      "does not fit the manifest in its directory: " + std::string(error.what()));
  }
}

}  // namespace

Manifest SaveCheckpoint(const ProAd& model, Manifest manifest, std::span<const uint8_t> probe_png,
                        const fs::path& directory) {
  manifest.config = model->config();
  Validate(manifest.config, manifest.preprocessing);
  const FrozenProAd frozen(model, manifest.preprocessing);
  manifest.probe = Probe{kProbeFile, ProbeScore(frozen, manifest.preprocessing, probe_png)};
  const auto encoder = model->encoder->named_parameters();
  return WriteVersion(directory, std::move(manifest), [&](const fs::path& staging) {
    WriteTensors(staging / kModelFile, ToHost(model->TrainableParameters(), at::kFloat));
    WriteTensors(staging / kEncoderFile, ToHost(encoder, SmallestType(encoder)));
    WriteBytes(staging / kProbeFile, probe_png);
  });
}

Checkpoint LoadCheckpoint(const fs::path& directory) {
  Checkpoint checkpoint;
  checkpoint.manifest = ReadManifest(directory);
  const Manifest& manifest = checkpoint.manifest;
  RequireListed(directory, manifest, kModelFile);
  RequireListed(directory, manifest, kEncoderFile);
  if (manifest.probe) RequireListed(directory, manifest, manifest.probe->file.c_str());
  VerifyFiles(directory, manifest);

  checkpoint.model = ProAd(manifest.config);
  LoadPart(directory / kEncoderFile, [&](const TensorFile& file) {
    LoadEncoder(*checkpoint.model->encoder, ImportEncoder(file, manifest.config.encoder));
  });
  LoadPart(directory / kModelFile,
           [&](const TensorFile& file) { LoadTrainable(checkpoint.model, file); });
  checkpoint.model->eval();
  return checkpoint;
}

}  // namespace proad::model
