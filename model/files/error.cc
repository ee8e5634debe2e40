#include "model/files/error.h"

#include <system_error>

namespace proad::model {

FileError::FileError(const std::string& file, const std::string& what_failed, int error_number)
    : std::runtime_error(file + ": cannot " + what_failed + ": " +
                         std::generic_category().message(error_number)),
      error_number_(error_number) {}

}  // namespace proad::model
