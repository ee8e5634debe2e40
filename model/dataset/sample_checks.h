// Reads the images and masks of a dataset on several threads: their digests, headers and, if asked
// to, their pixels.
//
// No LibTorch. A SampleChecks belongs to one thread; its own threads run until all files are read
// or it is destroyed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/mask_check.h"
#include "model/picture/image_header.h"
#include "model/picture/image_limits.h"

namespace proad::model {

// The files of one sample.
struct SampleCheck {
  std::string digest;                 // SHA-256 of the image's bytes; "" if they cannot be read
  std::optional<ImageHeader> header;  // of an image that can be used
  std::string problem;                // of the image; "": none
  std::string mask_name;              // below the dataset's root; "": no mask
  std::string mask_digest;            // like digest
  std::string mask_problem;           // of a mask that cannot be used; "": none
  std::vector<MaskFinding> mask_findings;  // of a decoded mask
};

class SampleChecks {
 public:
  struct Options {
    ImageLimits limits;
    bool decode = true;  // false: the headers alone
    int threads = 0;     // 0: one for each core
  };

  // Starts to read the files of `samples`, of a dataset in `root`. Decoding takes at most 512 MiB of
  // memory at a time, or that of one file.
  SampleChecks(std::vector<Sample> samples, std::filesystem::path root, const Options& options);

  // Waits for the files that are being read.
  ~SampleChecks();
  SampleChecks(const SampleChecks&) = delete;
  SampleChecks& operator=(const SampleChecks&) = delete;

  const std::vector<Sample>& samples() const { return samples_; }
  int64_t total() const { return static_cast<int64_t>(samples_.size()); }
  int64_t done() const;

  // Waits until all files are read, or for `time`; true: all are read.
  bool WaitFor(std::chrono::milliseconds time);

  // Waits until all files are read. One check for each sample, in their order. Throws an exception
  // that does not concern one file, for example std::bad_alloc.
  const std::vector<SampleCheck>& Await();

 private:
  void Work();
  SampleCheck Check(const Sample& sample);
  void CheckImage(const Sample& sample, SampleCheck& check);
  void CheckMaskOf(const Sample& sample, SampleCheck& check);

  // Memory of a file that is being decoded; waits until it is free.
  class Reservation {
   public:
    Reservation(SampleChecks& checks, int64_t bytes);
    ~Reservation();
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

   private:
    SampleChecks& checks_;
    const int64_t bytes_;
  };

  const std::vector<Sample> samples_;
  const std::filesystem::path root_;
  const Options options_;
  std::vector<SampleCheck> checks_;  // each written by one thread
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stop_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t done_ = 0;
  int64_t free_bytes_;
  std::exception_ptr error_;

  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace proad::model
