#include "client/cli/map_files.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

absl::Status WriteFile(const fs::path& path, const std::string& content) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) return absl::OkStatus();
  const int reason = errno;
  std::error_code ignored;
  fs::remove(path, ignored);
  return absl::InternalError(absl::StrCat("cannot write ", path.string(), ": ",
                                          reason ? std::strerror(reason) : "unknown reason"));
}

// File name extension and numpy's name of the sample type.
struct Format {
  const char* extension;
  const char* dtype;
};

Format FormatOf(proad::v1::HeatmapFormat format) {
  switch (format) {
    case proad::v1::HEATMAP_FORMAT_FLOAT32:
      return {".f32", "<f4"};
    case proad::v1::HEATMAP_FORMAT_U16_SCALED:
      return {".u16", "<u2"};
    case proad::v1::HEATMAP_FORMAT_U8_SCALED:
      return {".u8", "|u1"};
    default:
      return {".png", "png16"};
  }
}

std::string Sidecar(const proad::v1::DetectResponse& detection, const fs::path& data) {
  const auto& map = detection.heatmap();
  const auto& area = detection.inspected_area();
  const nlohmann::ordered_json json = {
      {"file", data.filename().string()},
      {"dtype", FormatOf(map.format()).dtype},
      {"width", map.width()},
      {"height", map.height()},
      {"order", "row-major from the top left"},
      {"value", "raw * scale + offset"},
      {"scale", map.scale()},
      {"offset", map.offset()},
      {"image_width", detection.image_width()},
      {"image_height", detection.image_height()},
      {"inspected_area",
       {{"x", area.x()}, {"y", area.y()}, {"width", area.width()}, {"height", area.height()}}},
      {"score", detection.score()},
      {"model",
       absl::StrCat(detection.model_version().name(), "@", detection.model_version().version())},
      {"model_hash", detection.model_version().hash()},
  };
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::Status WriteMaps(const proad::v1::DetectResponse& detection, const fs::path& base,
                       MapFiles& files) {
  const bool overlay = !detection.overlay().data().empty();
  const bool heatmap = !detection.heatmap().data().empty();
  if (!overlay && !heatmap) return absl::OkStatus();
  std::error_code error;
  fs::create_directories(base.parent_path(), error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot create the folder ",
                                            base.parent_path().string(), ": ", error.message()));
  }
  if (overlay) {
    const fs::path path = base.string() + ".overlay.png";
    if (auto status = WriteFile(path, detection.overlay().data()); !status.ok()) return status;
    files.overlay = path.string();
  }
  if (heatmap) {
    const fs::path path =
        absl::StrCat(base.string(), ".heatmap", FormatOf(detection.heatmap().format()).extension);
    if (auto status = WriteFile(path, detection.heatmap().data()); !status.ok()) return status;
    const auto status = WriteFile(base.string() + ".heatmap.json", Sidecar(detection, path));
    if (!status.ok()) {
      fs::remove(path, error);
      return status;
    }
    files.heatmap = path.string();
  }
  return absl::OkStatus();
}

}  // namespace proad::client
