#include "model/spec/last_checkpoint.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/sha256.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr char kPointer[] = "checkpoint.json";

}  // namespace

std::optional<LastCheckpoint> FindLastCheckpoint(const fs::path& directory) {
  const fs::path path = directory / kPointer;
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  std::ifstream stream(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  const nlohmann::json object = ParseStrictJson(text, path);
  LastCheckpoint found;
  std::string digest;
  try {
    if (object.at("format").get<int>() != kFormat) {
      throw CorruptFile(path, "has a format that this program does not know");
    }
    found.position = {object.at("step").get<int64_t>(), object.at("loss").get<double>(),
                      object.at("data_fingerprint").get<std::string>(),
                      object.value("steps", int64_t{0}), object.value("train_images", int64_t{0})};
    found.file = directory / fs::path(object.at("file").get<std::string>()).filename();
    digest = object.at("sha256").get<std::string>();
  } catch (const nlohmann::json::exception& problem) {
    throw CorruptFile(path, std::string("is not a checkpoint: ") + problem.what());
  }
  if (!fs::exists(found.file, error)) {
    throw CorruptFile(found.file, "is missing, but " + path.string() + " names it");
  }
  if (Sha256File(found.file) != digest) {
    throw CorruptFile(found.file, "does not match the digest in " + path.string());
  }
  return found;
}

void SetLastCheckpoint(const fs::path& directory, const LastCheckpoint& checkpoint) {
  const nlohmann::ordered_json pointer = {
      {"format", kFormat},
      {"step", checkpoint.position.step},
      {"loss", checkpoint.position.loss},
      {"file", checkpoint.file.filename().string()},
      {"sha256", Sha256File(checkpoint.file)},
      {"data_fingerprint", checkpoint.position.data_fingerprint},
      {"steps", checkpoint.position.steps},
      {"train_images", checkpoint.position.train_images}};
  AtomicFile file(directory / kPointer);
  file.Write(pointer.dump(2) + "\n");
  file.Commit();
}

}  // namespace proad::model
