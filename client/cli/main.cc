// proad: the command-line client. The file of each command is named after the command.
#include <google/protobuf/stubs/common.h>

#include <exception>
#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "grpcpp/grpcpp.h"

namespace proad {

// Git commit of the build; empty outside a checkout. Generated at every build.
const char* Commit();

}  // namespace proad

namespace {

#ifdef __clang__
constexpr char kCompiler[] = "clang " __clang_version__;
#else
constexpr char kCompiler[] = "gcc " __VERSION__;
#endif

std::string Version() {
  const std::string commit = proad::Commit();
  return absl::StrCat("proad ", PROAD_VERSION, " (", commit.empty() ? "" : "commit ", commit,
                      commit.empty() ? "" : ", ", kCompiler, ", gRPC ", grpc::Version(),
                      ", protobuf ",
                      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION), ")");
}

int Run(int argc, char** argv) {
  CLI::App app("Command-line client of Pro-AD Server, which detects defects in images of parts.",
               "proad");
  app.set_version_flag("--version", Version());
  proad::client::Command run;
  proad::client::AddDetectCommand(app, run);
  proad::client::AddModelsCommand(app, run);
  proad::client::AddTrainCommand(app, run);
  proad::client::AddJobsCommand(app, run);
  proad::client::AddDatasetCommand(app, run);
  proad::client::AddEncoderCommand(app, run);
  proad::client::AddEvaluateCommand(app, run);
  proad::client::AddImportCommand(app, run);
  proad::client::AddCalibrateCommand(app, run);
  proad::client::AddBenchCommand(app, run);
  proad::client::AddTokenCommand(app, run);
  proad::client::AddDoctorCommand(app, run);
  proad::client::AddCompletionCommand(app, run);
  app.footer(
      "Run 'proad COMMAND --help' for the options of a command. --server or PROAD_SERVER names the "
      "server.\n");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // The parser also throws for --help and --version, with code 0.
    return app.exit(error) == 0 ? proad::client::kOk : proad::client::kUsage;
  }
  if (run) return run();
  const std::vector<CLI::App*> named = app.get_subcommands();
  std::cerr << "proad: the command is missing\n\n"
            << (named.empty() ? app.help() : named[0]->help());
  return proad::client::kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "proad: " << error.what() << "\n";
    return proad::client::kSomeFailed;
  }
}
