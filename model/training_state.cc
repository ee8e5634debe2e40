#include "model/training_state.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "model/atomic_file.h"
#include "model/error.h"
#include "model/sha256.h"
#include "model/strict_json.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr char kPointer[] = "checkpoint.json";
constexpr char kStatePrefix[] = "state-";

struct Pointer {
  std::string file;
  std::string sha256;
  Checkmark mark;
};

Pointer ReadPointer(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  const nlohmann::json object = ParseStrictJson(text, path);
  try {
    if (object.at("format").get<int>() != kFormat) {
      throw CorruptFile(path, "is of a format that this program does not know");
    }
    return {object.at("file").get<std::string>(),
            object.at("sha256").get<std::string>(),
            {object.at("step").get<int64_t>(), object.at("loss").get<double>(),
             object.at("data_fingerprint").get<std::string>()}};
  } catch (const nlohmann::json::exception& error) {
    throw CorruptFile(path, std::string("is not a checkpoint: ") + error.what());
  }
}

// Files of checkpoints that hold no more, and what a crash left of one that was being written.
void RemoveOthers(const fs::path& directory, const std::string& kept) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name != kept && name.find(kStatePrefix) != std::string::npos) fs::remove(entry, error);
  }
}

}  // namespace

std::optional<Checkmark> RestoreTraining(const fs::path& directory, Trainer& trainer) {
  std::error_code error;
  if (!fs::exists(directory / kPointer, error)) return std::nullopt;
  const Pointer pointer = ReadPointer(directory / kPointer);
  const fs::path file = directory / pointer.file;
  if (Sha256File(file) != pointer.sha256) {
    throw CorruptFile(file, "does not have the digest that it was written with");
  }
  trainer.Load(file);
  return pointer.mark;
}

void SaveTraining(const fs::path& directory, const Trainer& trainer, const Checkmark& mark) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw FileError(directory, "make the directory of checkpoints", error.value());
  const std::string name = kStatePrefix + std::to_string(mark.step) + ".safetensors";
  trainer.Save(directory / name);
  const nlohmann::ordered_json pointer = {{"format", kFormat},
                                          {"step", mark.step},
                                          {"loss", mark.loss},
                                          {"file", name},
                                          {"sha256", Sha256File(directory / name)},
                                          {"data_fingerprint", mark.data_fingerprint}};
  AtomicFile file(directory / kPointer);
  file.Write(pointer.dump(2) + "\n");
  file.Commit();
  RemoveOthers(directory, name);
}

}  // namespace proad::model
