#include "model/training_state.h"

#include <string>
#include <system_error>

#include "model/error.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr char kStatePrefix[] = "state-";

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
  const std::optional<SavedCheckpoint> saved = FindCheckpoint(directory);
  if (!saved) return std::nullopt;
  trainer.Load(saved->file);
  return saved->mark;
}

void SaveTraining(const fs::path& directory, const Trainer& trainer, const Checkmark& mark) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw FileError(directory, "make the directory of checkpoints", error.value());
  const std::string name = kStatePrefix + std::to_string(mark.step) + ".safetensors";
  trainer.Save(directory / name);
  PointTo(directory, {mark, directory / name});
  RemoveOthers(directory, name);
}

}  // namespace proad::model
