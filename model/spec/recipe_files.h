// The files of model/recipes/, as the build found them.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <string>
#include <vector>

namespace proad::model {

struct RecipeFile {
  std::string name;  // without ".yaml"
  std::string yaml;
};

// Sorted by name.
const std::vector<RecipeFile>& RecipeFiles();

}  // namespace proad::model
