// The errors that model/ throws. Each message names what was wrong, where, and what would be right.
//
// LibTorch throws c10::Error for wrong shapes and devices (model/network/torch_failure.h). The
// server translates all of them in one place: server/util/exception_status.h.
#pragma once

#include <stdexcept>
#include <string>

namespace proad::model {

// An argument of the caller cannot be used: an image, a frame, a configuration.
class InvalidInput : public std::invalid_argument {
 public:
  // `field` is the name of the wrong field or option in the caller's terms. `reason` is a stable
  // UPPER_SNAKE_CASE word for programs, for example IMAGE_TOO_LARGE.
  InvalidInput(std::string field, std::string reason, const std::string& message)
      : std::invalid_argument(message), field_(std::move(field)), reason_(std::move(reason)) {}

  const std::string& field() const { return field_; }
  const std::string& reason() const { return reason_; }

 private:
  std::string field_;
  std::string reason_;
};

// The bytes are not a valid image: damaged, empty, too large, or of an unknown format. The reason
// begins with IMAGE_, except that of UnreadableImage.
class InvalidImage : public InvalidInput {
 public:
  using InvalidInput::InvalidInput;
};

// An image file of a dataset cannot be read or decoded.
class UnreadableImage : public InvalidImage {
 public:
  UnreadableImage(std::string field, const std::string& message)
      : InvalidImage(std::move(field), "UNREADABLE_IMAGE", message) {}
};

// The dataset is not the one that a training job started with.
class DatasetChanged : public InvalidInput {
 public:
  DatasetChanged(std::string field, const std::string& message)
      : InvalidInput(std::move(field), "DATASET_CHANGED", message) {}
};

// A score or an anomaly map has a value that is not finite.
class NonFiniteScore : public InvalidInput {
 public:
  NonFiniteScore(std::string field, const std::string& message)
      : InvalidInput(std::move(field), "SCORE_NOT_FINITE", message) {}
};

// A stored file is truncated, damaged, hostile, or of another format.
class CorruptFile : public std::runtime_error {
 public:
  // `file` is its path, or describes the source of the bytes.
  CorruptFile(std::string file, const std::string& message)
      : std::runtime_error(file + ": " + message), file_(std::move(file)) {}

  const std::string& file() const { return file_; }

 private:
  std::string file_;
};

// A system call failed: missing file, full disk, no permission.
class FileError : public std::runtime_error {
 public:
  FileError(const std::string& file, const std::string& what_failed, int error_number);

  int error_number() const { return error_number_; }

 private:
  int error_number_;
};

}  // namespace proad::model
