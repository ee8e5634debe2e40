// Prints the score of a picture: foreign ADDRESS PICTURE.
#include <fstream>
#include <iostream>
#include <iterator>

#include "client/detection_client.h"
#include "client/error.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  proad::v1::DetectRequest request;
  request.set_encoded(std::string(std::istreambuf_iterator<char>(file), {}));
  const proad::client::DetectionClient client({.address = argv[1]});
  const auto detection = client.Detect(request);
  if (!detection.ok()) {
    std::cerr << proad::client::Describe(detection.status()) << "\n";
    return 1;
  }
  std::cout << detection->score() << "\n";
}
