#include "model/spec/version_numbers.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include "model/files/atomic_file.h"
#include "model/files/error.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".used-";

fs::path FolderOf(const fs::path& directory) {
  return directory.has_parent_path() ? directory.parent_path() : fs::path(".");
}

// The numbers of the markers in `folder`; none when it does not exist.
std::vector<int64_t> MarkedNumbers(const fs::path& folder) {
  std::vector<int64_t> numbers;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return numbers;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!name.starts_with(kPrefix)) continue;
    numbers.push_back(NumberOfVersion(std::string_view(name).substr(kPrefix.size())));
  }
  if (error) throw FileError(folder, "list", error.value());
  return numbers;
}

fs::path MarkerOf(const fs::path& folder, int64_t number) {
  return folder / (std::string(kPrefix) + std::to_string(number));
}

// Creates the marker of a number and flushes it. Returns whether it was absent.
bool Mark(const fs::path& folder, int64_t number) {
  const fs::path marker = MarkerOf(folder, number);
  const int fd = open(marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 && errno != EEXIST) throw FileError(marker, "create", errno);
  if (fd >= 0) close(fd);
  FlushToDisk(folder);
  return fd >= 0;
}

// Removes the markers below `number`, which has one. A marker that remains is harmless.
void RemoveLowerMarkers(const fs::path& folder, int64_t number) {
  for (const int64_t lower : MarkedNumbers(folder)) {
    std::error_code ignored;
    if (lower < number) fs::remove(MarkerOf(folder, lower), ignored);
  }
}

[[noreturn]] void RefuseUsed(const fs::path& directory, int64_t highest) {
  throw InvalidInput("version", "ALREADY_EXISTS",
                     directory.string() + ": version numbers up to " + std::to_string(highest) +
                         " have been used, and a number is never used twice; choose a higher one");
}

}  // namespace

int64_t NumberOfVersion(std::string_view version) {
  int64_t number = 0;
  const char* end = version.data() + version.size();
  const auto [rest, error] = std::from_chars(version.data(), end, number);
  return error == std::errc() && rest == end && number > 0 && number < INT64_MAX ? number : 0;
}

int64_t HighestUsedNumber(const fs::path& model_directory) {
  int64_t highest = 0;
  for (const int64_t number : MarkedNumbers(model_directory)) highest = std::max(highest, number);
  return highest;
}

void CheckNumberUnused(const fs::path& directory) {
  const int64_t number = NumberOfVersion(directory.filename().string());
  if (number == 0) return;
  const int64_t highest = HighestUsedNumber(FolderOf(directory));
  if (number <= highest) RefuseUsed(directory, highest);
}

void RecordNumber(const fs::path& directory) {
  const int64_t number = NumberOfVersion(directory.filename().string());
  if (number == 0) return;
  const fs::path folder = FolderOf(directory);
  const int64_t highest = HighestUsedNumber(folder);
  if (number > highest) Mark(folder, number);
  RemoveLowerMarkers(folder, std::max(number, highest));
}

NumberClaim::NumberClaim(const fs::path& directory)
    : folder_(FolderOf(directory)), number_(NumberOfVersion(directory.filename().string())) {
  if (number_ == 0) return;
  CheckNumberUnused(directory);
  if (!Mark(folder_, number_)) RefuseUsed(directory, number_);
  held_ = true;
}

NumberClaim::~NumberClaim() {
  std::error_code ignored;
  if (held_) fs::remove(MarkerOf(folder_, number_), ignored);
}

void NumberClaim::Keep() {
  if (held_) RemoveLowerMarkers(folder_, number_);
  held_ = false;
}

}  // namespace proad::model
