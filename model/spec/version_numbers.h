// Keeps version numbers from being used twice.
//
// The empty file STORE/NAME/.used-N records that the numbers up to N have been used. It is flushed
// before version N is published, and before a version is removed, so a crash never frees a number.
// Markers need no lock: only those below a higher one are removed.
//
// Safe to call from any thread and any process. Throws FileError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace proad::model {

// The number that a version's name is; 0: the name is not a number above 0.
int64_t NumberOfVersion(std::string_view version);

// The highest number that was used in the directory of a model; 0: none, or no such directory.
int64_t HighestUsedNumber(const std::filesystem::path& model_directory);

// Throws InvalidInput (ALREADY_EXISTS, field "version") if the name of `directory` is a number that
// was used.
void CheckNumberUnused(const std::filesystem::path& directory);

// Records the number of a version directory as used, if its name is a number.
void RecordNumber(const std::filesystem::path& directory);

// The number of a version that is being published. Nothing else can get the number from now on,
// unless the claim is destroyed without Keep: then it is free again.
class NumberClaim {
 public:
  // Throws as CheckNumberUnused. Does nothing if the name of `directory` is not a number.
  explicit NumberClaim(const std::filesystem::path& directory);
  ~NumberClaim();
  NumberClaim(const NumberClaim&) = delete;
  NumberClaim& operator=(const NumberClaim&) = delete;

  // Call it when the version is published.
  void Keep();

 private:
  const std::filesystem::path folder_;
  const int64_t number_;  // 0: the name is not a number
  bool held_ = false;
};

}  // namespace proad::model
