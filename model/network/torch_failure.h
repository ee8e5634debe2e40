// What LibTorch's own exceptions mean.
//
// Free of LibTorch itself, so that programs that only translate errors need no LibTorch header.
#pragma once

#include <string>

namespace proad::model {

enum class TorchFailureKind {
  kNone,         // the exception is not LibTorch's
  kOutOfMemory,  // the device, or the process on the CPU, has no memory left
  kDeviceLost,   // a kernel or the driver failed: every later call on the device fails as well
  kFailed,       // any other check of LibTorch: shapes, element types, devices
};

struct TorchFailure {
  TorchFailureKind kind = TorchFailureKind::kNone;
  std::string message;  // first line, without the stack; "" for kNone
};

// Classifies the current exception. Call inside a catch block. Safe to call from any thread.
TorchFailure ClassifyTorchException();

}  // namespace proad::model
