// The commands of `proad`. AddXCommand is defined in x.cc: it adds the command and its options to
// the application. When the command line names the command, the parser sets `run` to a function that
// executes the command and returns an ExitCode.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>

namespace proad::client {

using Command = std::function<int()>;

void AddDetectCommand(CLI::App& app, Command& run);
void AddBenchCommand(CLI::App& app, Command& run);
void AddModelsCommand(CLI::App& app, Command& run);
void AddTrainCommand(CLI::App& app, Command& run);
void AddJobsCommand(CLI::App& app, Command& run);
void AddDatasetCommand(CLI::App& app, Command& run);
void AddEncoderCommand(CLI::App& app, Command& run);
void AddEvaluateCommand(CLI::App& app, Command& run);
void AddImportCommand(CLI::App& app, Command& run);
void AddCalibrateCommand(CLI::App& app, Command& run);
void AddTokenCommand(CLI::App& app, Command& run);
void AddDoctorCommand(CLI::App& app, Command& run);
void AddCompletionCommand(CLI::App& app, Command& run);

}  // namespace proad::client
