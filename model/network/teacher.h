// A network that knows pictures already, and from which a student encoder learns.
//
// Two kinds are known, told apart by the names of their tensors: SqueezeNet 1.1 (squeezenet.h), and
// every vision transformer that can be an encoder (weight_import.h). Thread-safety: Features may be
// called from several threads.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace proad::model {

// What one group of taps is to know.
struct TeacherFeatures {
  std::vector<torch::Tensor> kinds;  // of [B, grid * grid, D]
  std::vector<double> weights;       // of the kinds
  double anchor = 1;                 // of the group's targets (target_space.h)
};

class Teacher {
 public:
  virtual ~Teacher() = default;

  // "squeezenet1_1", "dinov2 384 wide".
  virtual std::string name() const = 0;

  // What it makes of each patch, for each of the student's groups of taps, from fine to coarse.
  // images: RGB in 0..1, float [B, 3, S, S], as the student sees them
  virtual std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const = 0;
};

// Reads a teacher's weights (safetensors or a PyTorch archive) for a student with `groups` groups
// of taps and patches of `patch` pixels. Throws InvalidInput (field "teacher") for a network of no
// known kind, and FileError or CorruptFile.
std::unique_ptr<Teacher> LoadTeacher(const std::filesystem::path& file, int groups, int patch,
                                     const torch::Device& device);

}  // namespace proad::model
