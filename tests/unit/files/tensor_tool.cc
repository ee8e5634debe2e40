// Reads and writes tensor files for tests in Python.
//
//   tensor_tool list FILE        prints the contents as JSON:
//                                {"tensors": {NAME: {"dtype", "shape", "sha256"}}, "metadata": {}}
//   tensor_tool rewrite IN OUT   reads IN in any format and writes OUT as safetensors
//
// Errors go to standard error with exit status 1.
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/files/safetensors.h"
#include "model/files/sha256.h"
#include "model/files/tensor_file.h"

namespace {

using proad::model::TensorFile;

void List(const TensorFile& file) {
  nlohmann::json listing = {{"tensors", nlohmann::json::object()}, {"metadata", file.metadata}};
  for (const auto& [name, view] : file.tensors) {
    listing["tensors"][name] = {{"dtype", proad::model::NameOf(view.dtype)},
                                {"shape", view.shape},
                                {"sha256", proad::model::Sha256Hex(view.data)}};
  }
  std::cout << listing.dump() << "\n";
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "list" && argc == 3) {
    List(proad::model::ReadTensorFile(argv[2]));
  } else if (command == "rewrite" && argc == 4) {
    const TensorFile file = proad::model::ReadTensorFile(argv[2]);
    proad::model::WriteSafetensors(argv[3], file.tensors, file.metadata);
  } else {
    std::cerr << "usage: tensor_tool list FILE | rewrite IN OUT\n";
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
