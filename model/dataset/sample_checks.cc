#include "model/dataset/sample_checks.h"

#include <algorithm>
#include <span>
#include <utility>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/picture/decode.h"
#include "model/picture/image_file.h"
#include "model/picture/mask.h"

namespace proad::model {
namespace {

constexpr int64_t kMemory = int64_t{512} << 20;

// The header of a complete image within the limits. Throws InvalidInput.
ImageHeader Inspect(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  if (bytes.empty()) throw InvalidImage("encoded", "IMAGE_EMPTY", "the file is empty (0 bytes)");
  // ReadFileUpTo stops one byte after the limit, so the size of a larger file is not known.
  const std::string excess = BytesExcess(limits, static_cast<int64_t>(bytes.size()));
  if (!excess.empty())
    throw InvalidImage("encoded", "IMAGE_BYTES_TOO_LARGE", "the file has more bytes: " + excess);
  const ImageHeader header = ReadImageHeader(bytes);
  CheckFileSize(limits, NameOf(header.format), header.width, header.height);
  CheckComplete(bytes, header);
  return header;
}

std::string SizeText(const ImageHeader& header) {
  return std::to_string(header.width) + "x" + std::to_string(header.height);
}

}  // namespace

SampleChecks::SampleChecks(std::vector<Sample> samples, std::filesystem::path root,
                           const Options& options)
    : samples_(std::move(samples)),
      root_(std::move(root)),
      options_(options),
      checks_(samples_.size()),
      free_bytes_(kMemory) {
  const auto cores = std::max<size_t>(1, std::thread::hardware_concurrency());
  const size_t threads = options.threads > 0 ? static_cast<size_t>(options.threads) : cores;
  for (size_t i = 0; i < std::min(threads, samples_.size()); ++i)
    threads_.emplace_back([this] { Work(); });
}

SampleChecks::~SampleChecks() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

int64_t SampleChecks::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

bool SampleChecks::WaitFor(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return done_ == total() || error_ != nullptr; });
}

const std::vector<SampleCheck>& SampleChecks::Await() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_ == total() || error_ != nullptr; });
  if (error_ != nullptr) std::rethrow_exception(error_);
  return checks_;
}

void SampleChecks::Work() {
  while (!stop_) {
    const size_t i = next_.fetch_add(1);
    if (i >= samples_.size()) return;
    std::exception_ptr error;
    try {
      checks_[i] = Check(samples_[i]);
    } catch (...) {
      error = std::current_exception();
      stop_ = true;
    }
    const std::lock_guard lock(mutex_);
    ++done_;
    if (error != nullptr && error_ == nullptr) error_ = error;
    changed_.notify_all();
  }
}

SampleCheck SampleChecks::Check(const Sample& sample) {
  SampleCheck check;
  CheckImage(sample, check);
  if (sample.mask) {
    check.mask_name = sample.mask->lexically_relative(root_).generic_string();
    CheckMaskOf(sample, check);
  }
  return check;
}

void SampleChecks::CheckImage(const Sample& sample, SampleCheck& check) {
  try {
    const std::vector<uint8_t> bytes = ReadFileUpTo(sample.path, options_.limits.max_bytes);
    check.digest = Sha256Hex(std::as_bytes(std::span(bytes)));
    const ImageHeader header = Inspect(bytes, options_.limits);
    if (options_.decode) {
      const Reservation memory(*this, DecodeBytes(bytes));
      DecodeImage(bytes, options_.limits);
    }
    check.header = header;
  } catch (const InvalidInput& error) {
    check.problem = error.what();
  } catch (const FileError& error) {
    check.problem = error.what();
  }
}

void SampleChecks::CheckMaskOf(const Sample& sample, SampleCheck& check) {
  try {
    const std::vector<uint8_t> bytes = ReadFileUpTo(*sample.mask, options_.limits.max_bytes);
    check.mask_digest = Sha256Hex(std::as_bytes(std::span(bytes)));
    const ImageHeader header = ReadMaskHeader(bytes, options_.limits);
    const std::optional<ImageHeader>& image = check.header;
    if (image && (header.width != image->width || header.height != image->height)) {
      check.mask_problem = "the mask is " + SizeText(header) + ", its image " + SizeText(*image);
    } else if (options_.decode) {
      const Reservation memory(*this, MaxDecodeBytes(header.width * header.height));
      check.mask_findings =
          CheckMask(DecodeMask(bytes, options_.limits), sample.good, check.mask_name);
    }
  } catch (const InvalidInput& error) {
    check.mask_problem = error.what();
  } catch (const FileError& error) {
    check.mask_problem = error.what();
  }
}

SampleChecks::Reservation::Reservation(SampleChecks& checks, int64_t bytes)
    : checks_(checks), bytes_(std::min(bytes, kMemory)) {
  std::unique_lock lock(checks_.mutex_);
  checks_.changed_.wait(lock, [this] { return checks_.free_bytes_ >= bytes_; });
  checks_.free_bytes_ -= bytes_;
}

SampleChecks::Reservation::~Reservation() {
  const std::lock_guard lock(checks_.mutex_);
  checks_.free_bytes_ += bytes_;
  checks_.changed_.notify_all();
}

}  // namespace proad::model
