#include "server/trainer/image_options.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/util/image_keys.h"

namespace proad::server {
namespace {

void Require(const absl::Status& status) {
  if (!status.ok()) throw CLI::ValidationError(std::string(status.message()));
}

}  // namespace

void AddImageOptions(CLI::App& command, model::ImageLimits& limits) {
  struct Given {
    std::string config;
    std::vector<std::string> values;  // of the keys, in their order; "": not given
  };
  struct Row {
    const char* option;
    const char* description;
  };
  // In the order of ImageKeys.
  constexpr Row kRows[] = {{"--max-image-bytes", "Largest image file in bytes"},
                           {"--max-image-pixels", "Largest number of pixels of an image"},
                           {"--max-image-side", "Largest width or height of an image in pixels"}};
  const auto given = std::make_shared<Given>();
  const std::vector<Option> keys = ImageKeys(limits);
  given->values.resize(keys.size());
  command
      .add_option("--config", given->config,
                  "Configuration of a server, whose limits of images (section image) to use")
      ->option_text("FILE");
  for (size_t i = 0; i < keys.size(); ++i) {
    command
        .add_option(kRows[i].option, given->values[i],
                    absl::StrCat(kRows[i].description, " (", keys[i].key(), "; default ",
                                 keys[i].Get(), ")"))
        ->option_text("N");
  }
  command.parse_complete_callback([given, keys, &limits] {
    if (!given->config.empty()) Require(ReadImageKeys(given->config, limits));
    for (size_t i = 0; i < keys.size(); ++i) {
      if (!given->values[i].empty()) Require(keys[i].Set(given->values[i]));
    }
  });
}

}  // namespace proad::server
