#include "model/network/torch_failure.h"

#include <c10/util/Exception.h>

namespace proad::model {
namespace {

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

bool Contains(const std::string& text, const char* words) {
  return text.find(words) != std::string::npos;
}

}  // namespace

TorchFailure ClassifyTorchException() {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    return {TorchFailureKind::kOutOfMemory, FirstLine(error.what_without_backtrace())};
  } catch (const c10::AcceleratorError& error) {
    const std::string what = error.what_without_backtrace();
    // cudaErrorMemoryAllocation arrives here too, and leaves the device usable.
    return {Contains(what, "out of memory") ? TorchFailureKind::kOutOfMemory
                                            : TorchFailureKind::kDeviceLost,
            FirstLine(what)};
  } catch (const c10::Error& error) {
    // LibTorch has no type for an allocation that fails on the CPU: only the allocator's name
    // tells.
    const std::string what = error.what_without_backtrace();
    const bool memory = Contains(what, "DefaultCPUAllocator") || Contains(what, "out of memory");
    return {memory ? TorchFailureKind::kOutOfMemory : TorchFailureKind::kFailed, FirstLine(what)};
  } catch (...) {
    return {};
  }
}

}  // namespace proad::model
