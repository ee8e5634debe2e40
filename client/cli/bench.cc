// proad bench: puts load on a server and says how it took it.
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/load.h"
#include "client/cli/load_report.h"
#include "client/cli/options.h"
#include "client/cli/pictures.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"

namespace proad::client {
namespace {

struct BenchOptions {
  ServerOptions server;
  std::vector<std::string> inputs;
  int frame = 0;  // side; 0: the inputs
  std::string model;
  std::vector<std::string> categories;
  LoadPlan load;
  int connections = 1;
  int sweep = 0;  // most clients; 0: no sweep
  bool json = false;
};

// Pixels that are all alike would be answered as fast; these are no worse to send.
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
  std::vector<proad::v1::DetectRequest> pictures;
  if (options.frame > 0) pictures.push_back(FrameRequest(options.frame));
  for (const Picture& picture : CollectPictures(options.inputs)) {
    if (!picture.problem.ok()) return picture.problem;
    absl::StatusOr<std::string> encoded = ReadPicture(picture.path);
    if (!encoded.ok()) return encoded.status();
    pictures.emplace_back().set_encoded(*std::move(encoded));
  }
  if (pictures.empty()) {
    return absl::InvalidArgumentError("name pictures to send, or --frame SIDE for made-up ones");
  }
  std::vector<proad::v1::DetectRequest> requests;
  const size_t categories = std::max<size_t>(options.categories.size(), 1);
  for (size_t i = 0; i < pictures.size() * categories; ++i) {
    requests.push_back(pictures[i % pictures.size()]);
    requests.back().set_model(options.model);
    if (!options.categories.empty()) {
      requests.back().set_category(options.categories[i / pictures.size()]);
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

  // More and more clients, until there are as many as asked for.
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
      std::cout << "\nmore than " << KneeOf(reports) << " clients only make them wait\n";
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
                      "images a second, sent whether or not those before are answered")
          ->check(CLI::PositiveNumber);
  command
      .add_flag("!--even", options.load.poisson,
                "at equal intervals instead of at random ones; with --rate")
      ->needs(rate);
  CLI::Option* const clients =
      command
          .add_option("--clients", options.load.clients,
                      "without --rate: images in flight, each followed by the next when it is "
                      "answered; streams with --stream")
          ->check(CLI::Range(1, 10'000))
          ->capture_default_str();
  command.add_flag("--stream", options.load.stream, "over DetectStream, one stream a client");
  command
      .add_option("--sweep", options.sweep,
                  "1, 2, 4 ... clients up to this number, to find how many are enough")
      ->check(CLI::Range(1, 10'000))
      ->excludes(rate)
      ->excludes(clients);
  command.add_option("--connections", options.connections, "connections to share")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  AddDuration(command, "--duration", options.load.duration, "how long to measure");
  AddDuration(command, "--warmup", options.load.warmup, "how long to send before that");
  command.add_option("--seed", options.load.seed, "of the random intervals")->capture_default_str();
}

}  // namespace

void AddBenchCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* const command =
      app.add_subcommand("bench", "Put load on a server and measure how it takes it");
  command->footer(
      "Latencies count from when an image was due, so a server that stands still is seen to.\n"
      "Nothing is sent again. Exit codes: 0 ok, 1 some images failed, 2 usage, 3 no server.\n");
  command->add_option("inputs", options->inputs, "pictures and folders, sent one after the other")
      ->type_name("FILE|DIR");
  command->add_option("--frame", options->frame, "send frames of so many pixels a side instead")
      ->check(CLI::Range(1, 10'000));
  command->add_option("--model", options->model, "name or name@version");
  command->add_option("--category", options->categories, "product class; several take turns");
  AddServerOptions(*command, options->server);
  AddLoadOptions(*command, *options);
  command->add_flag("--json", options->json, "one JSON object a line");
  command->callback([options, &run] { run = [options] { return RunBench(*options); }; });
}

}  // namespace proad::client
