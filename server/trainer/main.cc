// proad-trainer: the commands that need LibTorch but no server. The command line client `proad`
// runs it for `import`, `evaluate`, `dataset`, `encoder distil` and `doctor`; the server runs
// `proad-trainer train` for each training job.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "server/trainer/command.h"
#include "server/trainer/dataset_command.h"
#include "server/trainer/distil_command.h"
#include "server/trainer/doctor_command.h"
#include "server/trainer/evaluate_command.h"
#include "server/trainer/import_command.h"
#include "server/trainer/plan_command.h"
#include "server/trainer/train_command.h"
#include "server/util/process_settings.h"
#include "server/version.h"

// jemalloc reads this variable. It keeps freed memory for 30 seconds, longer than a training step;
// otherwise each step would return its activations to the system and fetch them again.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,oversize_threshold:0,dirty_decay_ms:30000,muzzy_decay_ms:0";
}

namespace {

using namespace proad::server;  // NOLINT: the commands

struct Row {
  const char* name;
  const char* description;  // for --help
  void (*add)(CLI::App& command, Command& run);
};

// All commands. NAME_command.cc implements NAME.
constexpr Row kCommands[] = {
    {"dataset", "Check datasets", AddDatasetCommand},
    {"distil", "Train a small encoder to reproduce the features of a larger one", AddDistilCommand},
    {"doctor", "Print what LibTorch can use on this machine, as JSON", AddDoctorCommand},
    {"evaluate", "Measure a model version on a dataset's test split", AddEvaluateCommand},
    {"import", "Make a model version from weight files", AddImportCommand},
    {"plan", "Write a training job for `train`, without a server", AddPlanCommand},
    {"train",
     "Run a training job that a server or `plan` wrote, as a single process or as one of several. "
     "RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment identify one of several; "
     "OMP_NUM_THREADS sets the number of threads.",
     AddTrainCommand},
};

}  // namespace

int main(int argc, char** argv) {
  RestartWithShortOpenMpSpin(argv);
  CLI::App app("Commands that need LibTorch but no server", "proad-trainer");
  app.set_version_flag("--version", VersionText("proad-trainer"));
  app.require_subcommand(1);
  Command run;
  for (const Row& row : kCommands) row.add(*app.add_subcommand(row.name, row.description), run);
  CLI11_PARSE(app, argc, argv);
  try {
    return run();
  } catch (const std::exception& error) {
    std::cerr << "proad-trainer: " << error.what() << "\n";
    return 1;
  }
}
