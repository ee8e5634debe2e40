// proad-server: reads the configuration, starts the server, and stops it on SIGTERM or SIGINT.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <future>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/config.h"
#include "server/rpc/credentials.h"
#include "server/server.h"
#include "server/serving/torch_model.h"
#include "server/telemetry/log.h"
#include "server/util/cores.h"
#include "server/util/process_settings.h"
#include "server/util/time_slice.h"
#include "server/version.h"

// Read by jemalloc: keep what was freed, but not for long. A base network's activations are blocks
// of 10 MB; by default jemalloc gives such blocks back to the system at every use, and gets them,
// page by page, at the next, which costs a tenth of the time. What a burst left behind is given
// back, by a thread of jemalloc's, as the threads that freed it may have nothing to do any more: of
// messages that gRPC took and gave up, each thread would otherwise keep some, far beyond
// server.max_memory.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,oversize_threshold:0,dirty_decay_ms:2000,muzzy_decay_ms:0";
}

namespace proad::server {
namespace {

// What is asked of the command line, beside the configuration.
struct Arguments {
  std::string config_file;
  bool check_config = false;
  bool print_config = false;
  std::vector<std::pair<std::string, std::string>> overrides;  // key, value
};

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "proad-server: " << status.message() << "\n";
  return exit_code;
}

absl::Status ReadConfig(const Arguments& arguments, Config& config) {
  if (!arguments.config_file.empty()) {
    if (absl::Status status = ReadConfigFile(arguments.config_file, config); !status.ok()) {
      return status;
    }
  }
  for (const auto& [key, value] : arguments.overrides) {
    if (absl::Status status = SetOption(config, key, value); !status.ok()) return status;
  }
  return Validate(config);
}

// Waits for one of `signals`, at most `timeout`. 0 when it passed.
int AwaitSignal(const sigset_t& signals, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const timespec left = absl::ToTimespec(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    const int signal = sigtimedwait(&signals, nullptr, &left);
    if (signal > 0) return signal;
    if (errno != EINTR) return 0;
  }
}

int Run(Config config, const sigset_t& signals) {
  SetLogLevel(config.log_level);
  Log(LogLevel::kInfo, "starting",
      {{"version", Version()},
       {"commit", Commit()},
       {"compiler", Compiler()},
       {"libtorch", LibTorchVersion()},
       {"cuda", CudaVersion()}});
  const absl::StatusOr<std::string> device = ResolveTorchDevice(config.torch);
  if (!device.ok()) return Fail(device.status(), 1);
  config.batching.batch.max_batch = MaxBatch(config, *device);
  const auto loader = MakeTorchModelLoader(config.torch, *device,
                                           static_cast<int>(config.batching.batch.max_batch));
  config.models.memory = TorchMemory(*device);
  Log(LogLevel::kInfo, "threads",
      {{"cores", UsableCores()},
       {"preprocess", ThreadsOrCores(config.preprocessing_threads)},
       {"workers", WorkerCount(config, *device)},
       {"torch", ThreadsOrCores(config.torch.threads)},
       {"max_batch", config.batching.batch.max_batch}});
  // Both lines are for whoever started this: where to find it, and when it serves.
  std::promise<void> printed;
  const auto resolve_device = [](const std::string& wanted) {
    return ResolveTorchDevice({.device = wanted});
  };
  auto server = Server::Start(config, loader, *device, resolve_device, [&printed] {
    printed.get_future().wait();
    std::cout << "ready" << std::endl;
  });
  if (!server.ok()) return Fail(server.status(), 1);
  std::cout << "listening grpc=" << (*server)->grpc_address()
            << " metrics=" << (*server)->metrics_address() << std::endl;
  printed.set_value();

  int signal = 0;
  sigwait(&signals, &signal);
  Log(LogLevel::kInfo, "signal received", {{"signal", strsignal(signal)}});
  (*server)->EnterLameDuck();
  // A second signal is from somebody who does not want to wait.
  AwaitSignal(signals, config.shutdown.lame_duck);
  (*server)->Stop();
  if ((*server)->has_abandoned_workers()) {
    // One may be anywhere in LibTorch: what it uses is not torn down under it.
    std::cout.flush();
    std::_Exit(0);
  }
  return 0;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Finds defects in pictures of manufactured parts, over gRPC.", "proad-server");
  app.set_version_flag("--version", VersionText("proad-server"));
  app.add_option("--config", arguments.config_file,
                 "YAML file; deploy/proad-server.yaml documents every key");
  const auto add_override = [&](const char* flag, const char* key, const char* help) {
    app.add_option_function<std::string>(
           flag,
           [&arguments, key](const std::string& value) {
             arguments.overrides.emplace_back(key, value);
           },
           std::string(help) + " (" + key + ")")
        ->type_name("TEXT");
  };
  add_override("--listen", "server.listen", "Where gRPC listens, HOST:PORT; port 0 picks one");
  add_override("--metrics-listen", "server.metrics_listen", "Where /metrics is, HOST:PORT or \"\"");
  add_override("--store", "models.store", "Directory of the model store");
  add_override("--default-model", "models.default", "Answers requests that name no model");
  add_override("--device", "models.device", "auto, cpu, cuda or cuda:N");
  app.add_flag("--check-config", arguments.check_config,
               "Check the configuration, its certificates and its tokens, and exit");
  app.add_flag("--print-config", arguments.print_config,
               "Print the configuration in force and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  Config config;
  if (absl::Status status = ReadConfig(arguments, config); !status.ok()) return Fail(status, 2);
  if (arguments.print_config) {
    std::cout << ToYaml(ConfigOptions(config));
    return 0;
  }
  if (arguments.check_config) {
    const absl::Status status =
        Credentials::Check({.tls = config.tls, .tokens = config.auth.tokens});
    if (!status.ok()) return Fail(status, 2);
    std::cout << "the configuration is valid\n";
    return 0;
  }

  // Of every thread except the workers', so that a refusal does not wait while workers compute.
  SetTimeSlice(absl::Microseconds(300));
  // Blocked in every thread that comes, so that only the wait in Run receives them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return Run(config, signals);
}

}  // namespace
}  // namespace proad::server

int main(int argc, char** argv) {
  proad::server::RestartWithShortOpenMpSpin(argv);
  proad::server::RaiseOpenFileLimit();
  return proad::server::Main(argc, argv);
}
