#include "server/serving/recalibration.h"

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "server/util/exception_status.h"
#include "server/util/json_fields.h"

namespace proad::server {

template <SameType<Recalibration> Struct, typename Visit>
void Fields(Struct& recalibration, Visit& visit) {
  visit("threshold", recalibration.calibration.threshold);
  visit("false_reject_budget", recalibration.calibration.false_reject_budget);
  visit("images", recalibration.calibration.images);
  visit("rejected", recalibration.rejected);
  visit("created", recalibration.created);
}

namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
// More than the size with 1,000 categories.
constexpr size_t kMaxBytes = 4 << 20;

struct Contents {
  int format = kFormat;
  std::string manifest;  // hash
  Recalibrations categories;
};

template <SameType<Contents> Struct, typename Visit>
void Fields(Struct& contents, Visit& visit) {
  visit("format", contents.format);
  visit("manifest", contents.manifest);
  visit("categories", contents.categories);
}

Contents Parse(const std::string& text, const std::string& source) {
  if (text.size() > kMaxBytes) throw model::CorruptFile(source, "is too large");
  Contents contents;
  const nlohmann::json json = model::ParseStrictJson(text, source);
  JsonReader reader(json, source);
  Fields(contents, reader);
  reader.Finish();
  if (contents.format != kFormat) reader.Refuse("format", absl::StrCat("must be ", kFormat));
  for (const auto& [category, entry] : contents.categories) {
    if (!(std::isfinite(entry.calibration.threshold) && entry.calibration.threshold > 0)) {
      reader.Refuse(absl::StrCat("categories.", model::Quote(category), ".threshold"),
                    "must be above 0");
    }
  }
  return contents;
}

}  // namespace

fs::path RecalibrationFile(const fs::path& version_directory) {
  return version_directory.parent_path() / ".calibration" /
         absl::StrCat(version_directory.filename().string(), ".json");
}

absl::StatusOr<Recalibrations> ReadRecalibrations(const fs::path& file,
                                                  const std::string& manifest_hash) {
  try {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
      if (errno == ENOENT || errno == ENOTDIR) return Recalibrations();
      throw model::FileError(file, "read", errno);
    }
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    Contents contents = Parse(text, file.string());
    if (contents.manifest != manifest_hash) return Recalibrations();
    return std::move(contents.categories);
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status WriteRecalibrations(const fs::path& file, const std::string& manifest_hash,
                                 const Recalibrations& recalibrations) {
  try {
    if (fs::create_directory(file.parent_path())) {
      model::FlushToDisk(file.parent_path().parent_path());
    }
    const Contents contents = {.manifest = manifest_hash, .categories = recalibrations};
    JsonWriter writer;
    Fields(contents, writer);
    model::AtomicFile out(file);
    out.Write(writer.Take().dump(2) + "\n");
    out.Commit();
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

std::optional<FileStamp> StampOf(const fs::path& file) {
  struct stat found = {};
  if (stat(file.c_str(), &found) != 0) return std::nullopt;
  return FileStamp{
      .inode = found.st_ino,
      .modified = int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec,
      .bytes = found.st_size};
}

}  // namespace proad::server
