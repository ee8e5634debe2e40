// proad doctor: reports hardware, libraries and numeric precision of this machine, and problems with
// their solutions.
#include <google/protobuf/stubs/common.h>

#include <CLI/Version.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/machine.h"
#include "client/cli/options.h"
#include "client/cli/table.h"
#include "client/cli/trainer_program.h"
#include "client/error.h"
#include "client/model_client.h"
#include "grpcpp/grpcpp.h"

namespace proad::client {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kGibibyte = uint64_t{1} << 30;
// Starting LibTorch with CUDA from an uncached disk can take a minute.
constexpr absl::Duration kTrainerTimeout = absl::Minutes(2);

// One line of the report.
struct Check {
  std::string name;
  std::string level;  // "ok", "warn" or "fail"
  std::string found;
  std::string fix;  // advice; empty without a problem
};

using Checks = std::vector<Check>;

std::string Gibibytes(uint64_t bytes) {
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / kGibibyte);
}

void CheckProcessor(const Machine& machine, Checks& checks) {
  std::string cores = absl::StrCat(machine.cores, " cores");
  if (machine.core_quota > 0) {
    absl::StrAppend(&cores,
                    absl::StrFormat(", limited to %.1f by the control group", machine.core_quota));
  }
  checks.push_back({"processor", "ok", absl::StrCat(machine.cpu, ", ", cores), ""});
  const std::string simd = absl::StrJoin(machine.simd, " ");
  if (machine.simd.count("avx2")) {
    checks.push_back({"vector units", "ok", simd, ""});
  } else {
    checks.push_back(
        {"vector units", "warn", simd.empty() ? "none known" : simd,
         "inference is very slow without AVX2: use another machine, or let the virtual "
         "machine use the host's processor features"});
  }
}

void CheckMemory(const Machine& machine, Checks& checks) {
  std::string found = absl::StrCat(Gibibytes(machine.memory_bytes), ", ",
                                   Gibibytes(machine.available_bytes), " available");
  uint64_t usable = machine.available_bytes;
  if (machine.memory_limit_bytes > 0) {
    absl::StrAppend(&found, ", limited to ", Gibibytes(machine.memory_limit_bytes),
                    " by the control group");
    usable = std::min(usable, machine.memory_limit_bytes);
  }
  const bool enough = usable >= 2 * kGibibyte;
  checks.push_back(
      {"memory", enough ? "ok" : "warn", found,
       enough ? "" : "a server with one model needs 2 GiB: free memory or raise the limit"});
}

void CheckGpus(const Machine& machine, Checks& checks) {
  if (!machine.gpus.empty()) {
    checks.push_back(
        {"gpu", "ok",
         absl::StrCat(absl::StrJoin(machine.gpus, ", "), ", driver ", machine.gpu_driver), ""});
    return;
  }
  checks.push_back(
      {"gpu", "ok", "none with an NVIDIA driver: inference runs on the processor", ""});
}

void CheckLibraries(Checks& checks) {
  const std::string protobuf = google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
  checks.push_back({"client", "ok",
                    absl::StrCat("proad ", PROAD_VERSION, ", gRPC ", grpc::Version(), ", protobuf ",
                                 protobuf, ", CLI11 ", CLI11_VERSION),
                    ""});
}

// Compares the GPUs that LibTorch can use with those of the driver.
void CheckUsableGpus(const Json& gpus, const std::string& cuda, const Machine& machine,
                     Checks& checks) {
  for (const Json& gpu : gpus) {
    checks.push_back({"usable gpu", "ok",
                      absl::StrCat(gpu.value("name", ""), ", ",
                                   Gibibytes(gpu.value("memory_bytes", uint64_t{0})),
                                   ", compute capability ", gpu.value("capability", "")),
                      ""});
  }
  if (gpus.empty() && !machine.gpus.empty()) {
    checks.push_back({"usable gpu", "warn", "none, but the driver reports one",
                      cuda.empty() ? "this build has no CUDA: build with a CUDA toolkit installed"
                                   : absl::StrCat("the driver may be too old for CUDA ", cuda,
                                                  ", or the GPU is hidden from this process")});
  }
}

// Reports kernels, precision and threads of inference.
void CheckInference(const Json& report, Checks& checks) {
  const std::string vectors = report.value("cpu_capability", "unknown");
  const bool slow = vectors == "DEFAULT" || vectors == "NO AVX";
  checks.push_back(
      {"kernels", slow ? "warn" : "ok",
       absl::StrCat(vectors, report.value("mkl", false) ? ", MKL" : "",
                    report.value("onednn", false) ? ", oneDNN" : ""),
       slow ? "inference is very slow because LibTorch uses no vector instructions on this machine"
            : ""});
  checks.push_back(
      {"inference", "ok",
       absl::StrCat("on ", report.value("device", "cpu"), " in ", report.value("precision", "fp32"),
                    " with ", report.value("threads", 0), " threads"),
       ""});
  const Json threads = report.value("server_threads", Json::object());
  if (threads.empty()) return;
  checks.push_back(
      {"server threads", "ok",
       absl::StrCat("defaults on ", threads.value("cores", 0),
                    " usable cores: ", threads.value("preprocess", 0), " to decode and draw, ",
                    threads.value("workers", 0), " workers, ", threads.value("torch", 0),
                    " LibTorch threads for a single batch, and gRPC's threads"),
       ""});
}

// Adds the facts that `proad-trainer doctor` printed, with advice.
void AddTrainerReport(const Json& report, const Machine& machine, Checks& checks) {
  const std::string version = report.value("version", PROAD_VERSION);
  if (version != PROAD_VERSION) {
    checks.push_back({"proad-trainer", "warn",
                      absl::StrCat("version ", version, ", but proad has version ", PROAD_VERSION),
                      "install proad and proad-trainer of the same version"});
  }
  const std::string cuda = report.value("cuda", "");
  checks.push_back({"libtorch", "ok",
                    absl::StrCat(report.value("libtorch", "version unknown"), ", ",
                                 cuda.empty() ? "no CUDA" : absl::StrCat("CUDA ", cuda)),
                    ""});
  CheckUsableGpus(report.value("gpus", Json::array()), cuda, machine, checks);
  CheckInference(report, checks);
}

void CheckTrainer(const Machine& machine, Checks& checks) {
  const auto trainer = FindTrainer();
  if (!trainer.ok()) {
    checks.push_back({"proad-trainer", "warn", std::string(trainer.status().message()),
                      "install it on this machine to import, evaluate or distil models"});
    return;
  }
  const auto output = RunTrainer(*trainer, {"doctor"}, kTrainerTimeout);
  const std::string fix = absl::StrCat("run '", trainer->string(), " doctor' and read its error");
  if (!output.ok()) {
    checks.push_back({"proad-trainer", "fail", std::string(output.status().message()), fix});
    return;
  }
  const Json report = Json::parse(output->text, nullptr, false);
  if (!report.is_object()) {
    checks.push_back({"proad-trainer", "fail",
                      absl::StrCat(trainer->string(), " exited with ", output->exit_code,
                                   " and printed no valid report"),
                      fix});
    return;
  }
  checks.push_back({"proad-trainer", "ok", trainer->string(), ""});
  try {
    AddTrainerReport(report, machine, checks);
  } catch (const Json::exception& error) {
    checks.push_back({"proad-trainer", "fail", absl::StrCat("invalid report: ", error.what()),
                      "install proad and proad-trainer of the same version"});
  }
}

// Returns false when the server cannot be reached.
bool CheckServer(const ServerOptions& options, Checks& checks) {
  const auto channel = Open(options);
  if (!channel.ok()) {
    checks.push_back({"server", "fail", std::string(channel.status().message()),
                      "start proad-server or correct the address"});
    return false;
  }
  const auto health = CheckHealth(*channel, "", options.deadline);
  if (!health.ok()) {
    checks.push_back({"server", "fail",
                      absl::StrCat(options.address, ": ", Describe(health.status())),
                      "check that the address is that of a proad-server"});
  } else if (*health != Health::kServing) {
    checks.push_back({"server", "fail", absl::StrCat(options.address, " is not serving"),
                      "it has no model ready or is shutting down: read its log"});
  } else {
    checks.push_back({"server", "ok", absl::StrCat(options.address, " is serving"), ""});
  }
  const auto card = ModelClient(*channel, {.deadline = options.deadline}).GetModel("");
  if (!card.ok()) {
    checks.push_back({"default model", "warn", Describe(card.status()),
                      "list the models with 'proad models list'"});
    return true;
  }
  const auto& version = card->model_version();
  const bool decides = !card->calibrations().empty();
  checks.push_back(
      {"default model", decides ? "ok" : "warn",
       absl::StrCat(version.name(), "@", version.version(), ", ", card->network().preset(), ", ",
                    card->calibrations_size(), " thresholds"),
       decides ? ""
               : "without a threshold every verdict is UNDECIDED: calibrate the version, or send "
                 "a threshold with each request"});
  return true;
}

void Print(const Checks& checks) {
  std::vector<std::vector<std::string>> rows;
  for (const Check& check : checks) {
    rows.push_back({check.level, Printable(check.name), Printable(check.found)});
    if (!check.fix.empty()) rows.push_back({"", "", absl::StrCat("-> ", Printable(check.fix))});
  }
  std::cout << Format({{""}, {"check"}, {"found"}}, rows);
}

int RunDoctor(const std::optional<ServerOptions>& server, bool json) {
  Checks checks;
  const Machine machine = InspectMachine();
  CheckProcessor(machine, checks);
  CheckMemory(machine, checks);
  CheckGpus(machine, checks);
  CheckLibraries(checks);
  CheckTrainer(machine, checks);
  const bool reachable = !server || CheckServer(*server, checks);

  if (json) {
    Json list = Json::array();
    for (const Check& check : checks) {
      list.push_back({{"name", check.name},
                      {"status", check.level},
                      {"detail", check.found},
                      {"fix", check.fix}});
    }
    std::cout << Json{{"checks", list}}.dump(-1, ' ', false, Json::error_handler_t::replace)
              << "\n";
  } else {
    Print(checks);
  }
  if (!reachable) return kUnreachable;
  const bool failed = std::any_of(checks.begin(), checks.end(),
                                  [](const Check& check) { return check.level == "fail"; });
  return failed ? kSomeFailed : kOk;
}

// Asks the server's health service once and prints one line, for container probes. `service` is ""
// for the server as a whole.
int RunHealth(ServerOptions options, const std::string& service, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  options.deadline = timeout;
  const auto channel = Open(options);
  if (!channel.ok()) return Fail(channel.status());
  const auto health = CheckHealth(*channel, service, deadline - absl::Now());
  if (!health.ok()) return Fail(health.status());
  if (*health == Health::kUnknownService) {
    std::cerr << "proad: " << options.address << " has no service '" << service << "'\n";
    return kSomeFailed;
  }
  const bool serving = *health == Health::kServing;
  std::cout << options.address << (serving ? " is serving" : " is not serving")
            << (service.empty() ? "" : " ") << service << "\n";
  return serving ? kOk : kSomeFailed;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Command& run) {
  struct Options {
    ServerOptions server;
    bool json = false;
    bool health = false;
    std::string service;
    absl::Duration timeout = absl::Seconds(1);
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "doctor", "Report hardware, libraries and precision of this machine, and problems to fix");
  command->footer(
      "Also checks a server when --server or PROAD_SERVER names one.\n"
      "With --health, only asks whether the server is serving.\n"
      "Exit codes: 0 no failure, 1 a check failed, 2 invalid usage, 3 no server.\n");
  AddServerOptions(*command, options->server);
  CLI::Option* const json = command->add_flag("--json", options->json, "print one JSON object");
  CLI::Option* const health =
      command->add_flag("--health", options->health,
                        "exit with 0 only if the server is serving, for container probes");
  health->excludes(json);
  command
      ->add_option("--service", options->service,
                   "with --health: full name of one service (default: the server as a whole)")
      ->type_name("NAME")
      ->needs(health);
  AddDuration(*command, "--timeout", options->timeout, "with --health: longest wait")
      ->needs(health);
  command->callback([=, &run] {
    const bool named = command->count("--server") > 0;
    run = [=] {
      if (options->health) return RunHealth(options->server, options->service, options->timeout);
      return RunDoctor(named ? std::optional(options->server) : std::nullopt, options->json);
    };
  });
}

}  // namespace proad::client
