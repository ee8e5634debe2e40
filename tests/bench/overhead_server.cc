// Two servers that show the cost of an image without a model: the complete server with a model that
// answers at once, and a bare gRPC service that answers at once.
//
//   overhead_server      prints "server=HOST:PORT echo=HOST:PORT"; ends at the end of its input
//
// Both answer with a score and a verdict alone.

#include <grpcpp/grpcpp.h>
#include <proad/v1/detection.grpc.pb.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/server.h"
#include "server/telemetry/log.h"
#include "tests/support/fake_model.h"
#include "tests/support/fake_store.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

class NullModel : public ServableModel {
 public:
  // The hash of the stored version, which the server checks.
  explicit NullModel(const std::string& hash) { manifest_.hash = hash; }

  const model::Manifest& manifest() const override { return manifest_; }
  int map_side() const override { return kFakeSide; }

  absl::StatusOr<std::vector<Inference>> Infer(absl::Span<const model::PreparedImage* const> images,
                                               absl::Span<const bool> /*want_map*/,
                                               int /*worker*/) override {
    return std::vector<Inference>(images.size(), Inference{.score = 0.1});
  }

 private:
  model::Manifest manifest_ = FakeManifest("null");
};

class Echo : public v1::DetectionService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Detect(grpc::CallbackServerContext* context,
                                   const v1::DetectRequest* /*request*/,
                                   v1::DetectResponse* response) override {
    response->set_score(0.1);
    response->set_verdict(v1::VERDICT_UNDECIDED);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int Run() {
  const testing::TempDirectory folder;
  Config config;
  SetLogLevel(LogLevel::kWarning);
  config.log_level = LogLevel::kWarning;
  config.store = folder / "store";
  config.endpoint.listen = "127.0.0.1:0";
  config.endpoint.metrics_listen = "";
  config.shutdown.lame_duck = absl::ZeroDuration();
  config.training.enabled = false;
  config.admission.max_images = 4096;
  std::filesystem::create_directories(config.store);
  const std::string hash = WriteFakeVersion(config.store, "null", "1").hash;
  auto server = Server::Start(
      Resolve(config, ThisMachine("cpu")),
      [&hash](const std::filesystem::path&) -> absl::StatusOr<ModelHandle> {
        return std::make_shared<NullModel>(hash);
      },
      [](const std::string&) -> absl::StatusOr<std::string> { return "cpu"; });
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }

  Echo echo;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> echo_server = builder.BuildAndStart();
  if (echo_server == nullptr) return 1;

  std::cout << "server=" << (*server)->grpc_address() << " echo=127.0.0.1:" << port << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  echo_server->Shutdown();
  return 0;
}

}  // namespace
}  // namespace proad::server

int main() { return proad::server::Run(); }
