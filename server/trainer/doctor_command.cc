#include "server/trainer/doctor_command.h"

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/network/device.h"
#include "server/util/cores.h"
#include "server/version.h"

namespace proad::server {
namespace {

// The threads of a server with the default configuration on `device`.
nlohmann::ordered_json ServerThreads(const std::string& device) {
  const int cores = UsableCores();
  return {{"cores", cores},
          {"preprocess", cores},
          {"workers", DefaultWorkers(device, cores)},
          {"torch", cores}};
}

int Doctor() {
  const model::Runtime runtime = model::DescribeRuntime();
  const std::string device = model::ResolveDevice("auto");
  nlohmann::ordered_json report = {{"version", Version()},
                                   {"commit", Commit()},
                                   {"libtorch", runtime.libtorch},
                                   {"cuda", runtime.cuda},
                                   {"cpu_capability", runtime.cpu_capability},
                                   {"mkl", runtime.mkl},
                                   {"onednn", runtime.onednn},
                                   {"threads", runtime.threads},
                                   {"device", device},
                                   {"precision", "fp32"},
                                   {"server_threads", ServerThreads(device)},
                                   {"gpus", nlohmann::json::array()}};
  for (const model::Gpu& gpu : runtime.gpus) {
    report["gpus"].push_back(
        {{"name", gpu.name}, {"memory_bytes", gpu.memory}, {"capability", gpu.capability}});
  }
  std::cout << report.dump(2) << "\n";
  return 0;
}

}  // namespace

void AddDoctorCommand(CLI::App& command, Command& run) {
  command.callback([&run] { run = Doctor; });
}

}  // namespace proad::server
