// The files of model/recipes/, compiled into the program.
//
// No LibTorch. Constants; safe to read from any thread.
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
