#include "server/memory_bound.h"

#include <algorithm>
#include <system_error>

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kProgram = 512 * kMiB;
constexpr uint64_t kPreparedImage = 3 * kMiB / 2;
constexpr uint64_t kActivations = 64 * kMiB;  // of one image in the base preset

// The directories directly in `parent`, without hidden ones.
std::vector<fs::path> Directories(const fs::path& parent) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->path().filename().string().front() == '.') continue;
    if (at->is_directory(ignored)) found.push_back(at->path());
  }
  return found;
}

uint64_t BytesOfFiles(const fs::path& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;
    const uint64_t size = at->file_size(unreadable);
    if (!unreadable) bytes += size;
  }
  return bytes;
}

}  // namespace

StoredModels MeasureStore(const fs::path& store) {
  StoredModels models;
  for (const fs::path& name : Directories(store)) {
    ++models.names;
    for (const fs::path& version : Directories(name)) {
      models.largest_version = std::max(models.largest_version, BytesOfFiles(version));
    }
  }
  return models;
}

uint64_t MemoryBound::total() const {
  uint64_t sum = 0;
  for (const Part& part : parts) sum += part.bytes;
  return sum;
}

MemoryBound ComputeMemoryBound(const ResolvedConfig& config, const StoredModels& models) {
  const Config& c = config.values;
  const bool on_cpu = config.device == "cpu";
  const uint64_t in_memory =
      on_cpu ? 4 * static_cast<uint64_t>(models.names) * models.largest_version : 0;
  const uint64_t images = static_cast<uint64_t>(c.admission.max_images);
  const uint64_t in_batches = static_cast<uint64_t>(c.workers.workers) * c.batching.batch.max_batch;
  const int64_t pixels = std::max(c.detector.pixel_bytes, Detector::MaxPixelBytes(c.detector));
  return {.parts = {{"program", kProgram},
                    {"models", in_memory + 3 * models.largest_version},
                    {"gRPC", static_cast<uint64_t>(c.endpoint.max_memory) * 3 / 2},
                    {"images", static_cast<uint64_t>(c.admission.max_bytes)},
                    {"answers", 2 * static_cast<uint64_t>(c.output.max_bytes)},
                    {"prepared images", images * kPreparedImage},
                    {"pixels", static_cast<uint64_t>(pixels)},
                    {"batches", on_cpu ? in_batches * kActivations : 0}}};
}

}  // namespace proad::server
