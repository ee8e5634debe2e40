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
#include "server/memory_bound.h"
#include "server/rpc/credentials.h"
#include "server/server.h"
#include "server/serving/torch_model.h"
#include "server/telemetry/log.h"
#include "server/util/control_group.h"
#include "server/util/cores.h"
#include "server/util/process_settings.h"
#include "server/util/time_slice.h"
#include "server/version.h"

// Options that jemalloc reads. Freed memory is kept for two seconds: the activations of a base
// network are blocks of 10 MB, and by default jemalloc returns such blocks to the system after
// every use and gets them back page by page, which costs a tenth of the time. A background thread
// returns freed memory, since the threads that freed it may be idle: otherwise each thread would
// keep some of the messages that gRPC received and dropped, far beyond server.max_memory.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,oversize_threshold:0,dirty_decay_ms:2000,muzzy_decay_ms:0";
}

namespace proad::server {
namespace {

// The command line.
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

// Waits for one of `signals` and returns it; 0 after `timeout`.
int AwaitSignal(const sigset_t& signals, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const timespec left = absl::ToTimespec(std::max(deadline - absl::Now(), absl::ZeroDuration()));
    const int signal = sigtimedwait(&signals, nullptr, &left);
    if (signal > 0) return signal;
    if (errno != EINTR) return 0;
  }
}

// The configuration in force on this machine. A device that is not there is not an error here, so
// that a configuration can be checked on another machine than its own.
ResolvedConfig ResolveHere(const Config& config) {
  const absl::StatusOr<std::string> device = ResolveTorchDevice(config.torch);
  if (!device.ok()) return Resolve(config, ThisMachine(config.torch.device));
  return Resolve(config, ThisMachine(*device, TorchMemory(*device)));
}

std::string InMiB(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

// Resident memory that this configuration needs at most, and of what it consists.
void PrintMemoryBound(const ResolvedConfig& config) {
  const MemoryBound bound = ComputeMemoryBound(config, MeasureStore(config.values.store));
  std::cout << "memory bound: " << InMiB(bound.total()) << " (";
  const char* separator = "";
  for (const MemoryBound::Part& part : bound.parts) {
    std::cout << separator << part.name << " " << InMiB(part.bytes);
    separator = ", ";
  }
  const uint64_t usable = UsableMemory();
  std::cout << ")\nusable memory: " << InMiB(usable) << "\n";
  if (bound.total() > usable) {
    std::cout
        << "warning: the memory bound is more than the usable memory; requests at the limits of "
           "image, admission and server.max_memory may exceed it\n";
  }
}

int Run(const ResolvedConfig& config, const sigset_t& signals) {
  SetLogLevel(config.values.log_level);
  Log(LogLevel::kInfo, "starting",
      {{"version", Version()},
       {"commit", Commit()},
       {"compiler", Compiler()},
       {"libtorch", LibTorchVersion()},
       {"cuda", CudaVersion()}});
  const absl::StatusOr<std::string> device = ResolveTorchDevice(config.values.torch);
  if (!device.ok()) return Fail(device.status(), 1);
  const size_t max_batch = config.values.batching.batch.max_batch;
  const auto loader =
      MakeTorchModelLoader(config.values.torch, config.device, static_cast<int>(max_batch));
  const int cores = UsableCores();
  const int torch_threads = config.values.torch.threads;
  Log(LogLevel::kInfo, "threads",
      {{"cores", cores},
       {"preprocess", config.values.preprocessing_threads},
       {"workers", config.values.workers.workers},
       {"torch", torch_threads > 0 ? torch_threads : cores},
       {"max_batch", max_batch}});
  // "listening" is printed before "ready": a script may read the two lines in this order.
  std::promise<void> printed;
  const auto resolve_device = [](const std::string& wanted) {
    return ResolveTorchDevice({.device = wanted});
  };
  auto server = Server::Start(config, loader, resolve_device, [&printed] {
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
  // A second signal ends the wait.
  AwaitSignal(signals, config.values.shutdown.lame_duck);
  (*server)->Stop();
  if ((*server)->has_abandoned_workers()) {
    // An abandoned worker may still use LibTorch, so nothing of it is destroyed.
    std::cout.flush();
    std::_Exit(0);
  }
  return 0;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Finds defects in images of manufactured parts. A gRPC server.", "proad-server");
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
  add_override("--listen", "server.listen", "Address of gRPC, HOST:PORT; port 0 picks a free port");
  add_override("--metrics-listen", "server.metrics_listen",
               "Address of /metrics, HOST:PORT, or \"\" for none");
  add_override("--store", "models.store", "Directory of the model store");
  add_override("--default-model", "models.default", "Model of requests that name none");
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
  ResolvedConfig resolved = ResolveHere(config);
  if (arguments.print_config) {
    std::cout << ToYaml(ConfigOptions(resolved.values));
    return 0;
  }
  if (arguments.check_config) {
    const absl::Status status =
        Credentials::Check({.tls = config.tls, .tokens = config.auth.tokens});
    if (!status.ok()) return Fail(status, 2);
    std::cout << "the configuration is valid\n";
    PrintMemoryBound(resolved);
    return 0;
  }

  // Of every thread except the workers', so that a refusal does not wait while workers compute.
  SetTimeSlice(absl::Microseconds(300));
  // Blocked in every thread that starts later, so that only the wait in Run receives them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return Run(resolved, signals);
}

}  // namespace
}  // namespace proad::server

int main(int argc, char** argv) {
  proad::server::RestartWithShortOpenMpSpin(argv);
  proad::server::RaiseOpenFileLimit();
  return proad::server::Main(argc, argv);
}
