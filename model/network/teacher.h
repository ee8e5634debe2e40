// A pretrained network whose features a student encoder learns in distillation.
//
// Two kinds, recognised by their tensor names: SqueezeNet 1.1 (squeezenet.h), and the vision
// transformers that can be encoders (weight_import.h). Thread-safety: Features may be called from
// several threads.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace proad::model {

// The features that one group of the student's taps learns.
struct TeacherFeatures {
  std::vector<torch::Tensor> kinds;  // of [B, grid * grid, D]
  std::vector<double> weights;       // of the kinds
  double anchor = 1;                 // of the group's targets (target_space.h)
};

class Teacher {
 public:
  virtual ~Teacher() = default;

  // For the encoder's card: "squeezenet1_1", "dinov2 384 wide".
  virtual std::string name() const = 0;

  // Features of each patch for each group of the student's taps, from fine to coarse.
  // images: RGB in 0..1, float [B, 3, S, S], at the student's input size. grid: patches per side
  virtual std::vector<TeacherFeatures> Features(const torch::Tensor& images, int grid) const = 0;
};

// Reads a teacher's weights (safetensors or a PyTorch archive) for a student with `groups` groups
// of taps and patches of `patch` pixels. Throws InvalidInput (field "teacher") for a network of an
// unknown kind, and FileError or CorruptFile.
std::unique_ptr<Teacher> LoadTeacher(const std::filesystem::path& file, int groups, int patch,
                                     const torch::Device& device);

}  // namespace proad::model
