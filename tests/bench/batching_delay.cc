// Measures batching.take_when_idle and batching.adaptive_delay: images per second and latency of
// clients that each wait for their answer, over the real batcher and a device that only sleeps.
//
//   batching_delay [SECONDS]      per cell of the tables, 2 by default
//
// The GPU's batches take 8 ms and 0.3 ms per image; the CPU's take 1 ms and 10 ms per image.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/batching/dynamic_batcher.h"
#include "tests/support/fake_model.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

constexpr absl::Duration kPreprocess = absl::Milliseconds(1);
constexpr absl::Duration kNetwork = absl::Microseconds(300);

struct Device {
  const char* name;
  size_t max_batch;
  int workers;
  absl::Duration per_batch;
  absl::Duration per_image;
};

struct Measurement {
  double images_per_second = 0;
  absl::Duration p50;
};

void RunWorker(const Device& device, DynamicBatcher& batcher) {
  while (std::optional<Batch> batch = batcher.Next()) {
    const int64_t images = static_cast<int64_t>(batch->tasks.size());
    absl::SleepFor(device.per_batch + images * device.per_image);
    for (InferenceTask& task : batch->tasks) task.done(InferenceResult());
  }
}

// Sends images one at a time until `end`. Returns their latencies.
std::vector<absl::Duration> RunClient(const ModelHandle& model, absl::Time end,
                                      DynamicBatcher& batcher) {
  std::vector<absl::Duration> latencies;
  while (absl::Now() < end) {
    const absl::Time start = absl::Now();
    batcher.Expect();
    absl::SleepFor(kPreprocess);
    Event answered;
    InferenceTask task;
    task.model = model;
    task.image = MarkedInput(1);
    task.done = [&answered](const absl::StatusOr<InferenceResult>&) { answered.Set(); };
    const absl::Status enqueued = batcher.Enqueue(std::move(task));
    if (!enqueued.ok()) std::abort();
    batcher.Arrived();
    answered.Wait();
    latencies.push_back(absl::Now() - start);
    absl::SleepFor(kNetwork);
  }
  return latencies;
}

Measurement Measure(const Device& device, int clients, absl::Duration duration,
                    BatchOptions options) {
  options.max_batch = device.max_batch;
  Metrics metrics;
  DynamicBatcher batcher({.batch = options}, metrics);
  const ModelHandle model = std::make_shared<FakeModel>();
  std::vector<std::thread> workers;
  for (int i = 0; i < device.workers; ++i) {
    workers.emplace_back([&] { RunWorker(device, batcher); });
  }
  std::vector<std::vector<absl::Duration>> latencies(clients);
  std::vector<std::thread> threads;
  const absl::Time end = absl::Now() + duration;
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] { latencies[i] = RunClient(model, end, batcher); });
  }
  for (std::thread& thread : threads) thread.join();
  batcher.Close();
  for (std::thread& worker : workers) worker.join();
  std::vector<absl::Duration> all;
  for (const auto& of_client : latencies) all.insert(all.end(), of_client.begin(), of_client.end());
  std::sort(all.begin(), all.end());
  return {static_cast<double>(all.size()) / absl::ToDoubleSeconds(duration), all[all.size() / 2]};
}

void PrintTable(const Device& device, absl::Duration duration) {
  std::printf("\n| %s: clients | take when idle | adaptive delay | delay |\n|---|---|---|---|\n",
              device.name);
  for (const int clients : {1, 2, 4, 8, 16, 32}) {
    std::printf("| %d", clients);
    for (const BatchOptions& options :
         {BatchOptions{}, BatchOptions{.take_when_idle = false},
          BatchOptions{.take_when_idle = false, .adaptive_delay = false}}) {
      const Measurement measured = Measure(device, clients, duration, options);
      std::printf(" | %.0f/s, %.1f ms", measured.images_per_second,
                  absl::ToDoubleMilliseconds(measured.p50));
    }
    std::printf(" |\n");
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace proad::server

int main(int argc, char** argv) {
  using proad::server::Device;
  const absl::Duration duration = absl::Seconds(argc > 1 ? std::atof(argv[1]) : 2);
  for (const Device& device :
       {Device{"GPU", 8, 1, absl::Milliseconds(8), absl::Microseconds(300)},
        Device{"CPU", 4, 2, absl::Milliseconds(1), absl::Milliseconds(10)}}) {
    proad::server::PrintTable(device, duration);
  }
  return 0;
}
