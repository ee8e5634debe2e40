// proad bench: sends images at a given load and measures latencies and throughput.
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/bench_load.h"
#include "client/cli/bench_report.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/images.h"
#include "client/cli/interrupt.h"
#include "client/cli/options.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"

namespace proad::client {
namespace {

struct BenchOptions {
  ServerOptions server;
  std::vector<std::string> inputs;
  int frame = 0;  // side of generated frames, in pixels; 0: send `inputs`
  std::string model;
  std::vector<std::string> categories;
  LoadPlan load;
  int connections = 1;
  int sweep = 0;  // highest number of clients; 0: no sweep
  bool json = false;
};

// The pixel values do not influence the duration of a call.
proad::v1::DetectRequest FrameRequest(int side) {
  proad::v1::DetectRequest request;
  proad::v1::Frame& frame = *request.mutable_frame();
  frame.set_width(static_cast<uint32_t>(side));
  frame.set_height(static_cast<uint32_t>(side));
  frame.set_pixel_format(proad::v1::PIXEL_FORMAT_RGB8);
  std::string& pixels = *frame.mutable_data();
  for (int i = 0; i < side * side * 3; ++i) pixels.push_back(static_cast<char>(i * 37));
  return request;
}

absl::StatusOr<std::vector<proad::v1::DetectRequest>> MakeRequests(const BenchOptions& options) {
  std::vector<proad::v1::DetectRequest> images;
  if (options.frame > 0) images.push_back(FrameRequest(options.frame));
  for (const InputImage& image : CollectImages(options.inputs).images) {
    if (!image.problem.ok()) return image.problem;
    absl::StatusOr<std::string> encoded = ReadImage(image.path);
    if (!encoded.ok()) return encoded.status();
    images.emplace_back().set_encoded(*std::move(encoded));
  }
  if (images.empty()) {
    return absl::InvalidArgumentError(
        "name images to send, or give --frame SIDE for generated ones");
  }
  std::vector<proad::v1::DetectRequest> requests;
  const size_t categories = std::max<size_t>(options.categories.size(), 1);
  for (size_t i = 0; i < images.size() * categories; ++i) {
    requests.push_back(images[i % images.size()]);
    requests.back().set_model(options.model);
    if (!options.categories.empty()) {
      requests.back().set_category(options.categories[i / images.size()]);
    }
  }
  return requests;
}

class Bench {
 public:
  Bench(const BenchOptions& options, std::vector<std::shared_ptr<grpc::Channel>> channels)
      : options_(options), channels_(std::move(channels)) {}

  LoadReport Run(const LoadPlan& plan) {
    StatusLine line;
    const LoadResult result = RunLoad(channels_, plan, [&](const LoadProgress& progress) {
      if (!options_.json && OutputIsTerminal()) {
        line.Draw(absl::StrFormat("%.0f s  %d answered  %d failed",
                                  absl::ToDoubleSeconds(progress.elapsed), progress.answered,
                                  progress.failed));
      }
      return !interrupt_.requested();
    });
    return MakeLoadReport(plan, result);
  }

  // Measures with 1, 2, 4 ... clients up to options_.sweep. Returns the exit code.
  int Sweep(LoadPlan plan) {
    const Table table({{"clients", 0, true},
                       {"images/s", 9, true},
                       {"p50 ms", 8, true},
                       {"p99 ms", 8, true},
                       {"errors", 0, true}});
    if (!options_.json) std::cout << table.Header() << "\n" << std::flush;
    std::map<int, LoadReport> reports;
    for (plan.clients = 1; plan.clients <= options_.sweep && !interrupt_.requested();
         plan.clients *= 2) {
      const LoadReport report = Run(plan);
      reports.emplace(plan.clients, report);
      const Latencies latencies = report.latencies.value_or(Latencies());
      if (options_.json) {
        std::cout << ToJson(report) << std::flush;
      } else {
        std::cout << table.Row({absl::StrCat(plan.clients), absl::StrFormat("%.1f", report.rate),
                                absl::StrFormat("%.1f", latencies.p50),
                                absl::StrFormat("%.1f", latencies.p99),
                                absl::StrCat(report.sent - report.ok)})
                  << "\n"
                  << std::flush;
      }
    }
    if (reports.empty()) return kInterrupted;
    if (!options_.json) {
      std::cout << "\nmore than " << KneeOf(reports)
                << " clients increase the latency, but not the throughput\n";
    }
    return std::any_of(reports.begin(), reports.end(),
                       [](const auto& entry) { return entry.second.ok < entry.second.sent; })
               ? kSomeFailed
               : kOk;
  }

 private:
  const BenchOptions& options_;
  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  Interrupt interrupt_;
};

int RunBench(const BenchOptions& options) {
  absl::StatusOr<std::vector<proad::v1::DetectRequest>> requests = MakeRequests(options);
  if (!requests.ok()) {
    std::cerr << "proad bench: " << requests.status().message() << "\n";
    return kUsage;
  }
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.connections; ++i) {
    auto channel = Open(options.server);
    if (!channel.ok()) return Fail(channel.status());
    channels.push_back(*std::move(channel));
  }
  LoadPlan plan = options.load;
  plan.requests = *std::move(requests);
  plan.deadline = options.server.deadline;
  Bench bench(options, std::move(channels));
  if (options.sweep > 0) return bench.Sweep(std::move(plan));
  const LoadReport report = bench.Run(plan);
  std::cout << (options.json ? ToJson(report) : ToText(report));
  return report.ok > 0 && report.ok == report.sent ? kOk : kSomeFailed;
}

void AddLoadOptions(CLI::App& command, BenchOptions& options) {
  CLI::Option* const rate =
      command
          .add_option("--rate", options.load.rate,
                      "images per second, sent without waiting for earlier answers")
          ->check(CLI::PositiveNumber);
  command
      .add_flag("!--even", options.load.poisson,
                "with --rate: equal intervals instead of random ones")
      ->needs(rate);
  CLI::Option* const clients =
      command
          .add_option("--clients", options.load.clients,
                      "without --rate: number of clients, each of which sends its next image "
                      "after the answer; with --stream: number of streams")
          ->check(CLI::Range(1, 10'000))
          ->capture_default_str();
  command.add_flag("--stream", options.load.stream,
                   "use DetectStream, with one stream per client, instead of Detect");
  command
      .add_option(
          "--sweep", options.sweep,
          "measure with 1, 2, 4 ... clients up to this number, to find the lowest sufficient "
          "one")
      ->check(CLI::Range(1, 10'000))
      ->excludes(rate)
      ->excludes(clients);
  command.add_option("--connections", options.connections, "number of connections")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  AddDuration(command, "--duration", options.load.duration, "duration of the measurement");
  AddDuration(command, "--warmup", options.load.warmup,
              "duration of the load before the measurement");
  command.add_option("--seed", options.load.seed, "seed of the random intervals")
      ->capture_default_str();
}

}  // namespace

void AddBenchCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* const command =
      app.add_subcommand("bench", "Measure latencies and throughput of a server under load");
  command->footer(
      "A latency starts at the time planned for the image, so it includes delays of the sender.\n"
      "Failed calls are not repeated.\n"
      "Exit codes: 0 success, 1 some images failed, 2 invalid usage, 3 no server.\n");
  command->add_option("inputs", options->inputs, "images and folders to send in turn")
      ->type_name("FILE|DIR");
  command
      ->add_option("--frame", options->frame,
                   "send generated square frames with this side, in pixels, instead of files")
      ->type_name("SIDE")
      ->check(CLI::Range(1, 10'000));
  command->add_option("--model", options->model,
                      "name or name@version (default: the server's default model)");
  command->add_option("--category", options->categories,
                      "product class; with several, each image is sent with each of them");
  AddServerOptions(*command, options->server);
  AddLoadOptions(*command, *options);
  command->add_flag("--json", options->json, "print one JSON object per measurement");
  command->callback([options, &run] { run = [options] { return RunBench(*options); }; });
}

}  // namespace proad::client
