// The detect path behind a real gRPC server on the loopback device, over fake models.
#pragma once

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <proad/v1/detection.grpc.pb.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/config.h"
#include "server/rpc/detection_service.h"
#include "tests/support/pipeline.h"

namespace proad::server {

struct WireOptions {
  PipelineOptions pipeline;
  DetectionService::Options service;
};

class WireServer {
 public:
  explicit WireServer(
      WireOptions options = {},
      std::vector<std::shared_ptr<FakeModel>> models = {std::make_shared<FakeModel>()})
      : pipeline(options.pipeline, std::move(models)),
        authorizer(pipeline.metrics),
        service(options.service, pipeline.detector, authorizer, pipeline.metrics) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    builder.SetMaxReceiveMessageSize(EndpointOptions().max_message_bytes);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) std::abort();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    address = absl::StrCat("127.0.0.1:", port);
    stub = v1::DetectionService::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }
  ~WireServer() {
    pipeline.model->Release();
    service.Drain();
    server_->Shutdown();
  }

  FakeModel& model() { return *pipeline.model; }

  Pipeline pipeline;
  Authorizer authorizer;
  DetectionService service;
  std::string address;
  std::unique_ptr<v1::DetectionService::Stub> stub;

 private:
  std::unique_ptr<grpc::Server> server_;
};

inline google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details())) std::abort();
  return rpc;
}

// The first detail of a type; empty when there is none.
template <typename Detail>
Detail Find(const google::rpc::Status& status) {
  Detail detail;
  for (const auto& any : status.details()) {
    if (any.Is<Detail>() && any.UnpackTo(&detail)) break;
  }
  return detail;
}

inline std::string ReasonOf(const google::rpc::Status& status) {
  return Find<google::rpc::ErrorInfo>(status).reason();
}

// "" when no field is at fault.
inline std::string FieldOf(const google::rpc::Status& status) {
  const auto bad = Find<google::rpc::BadRequest>(status);
  return bad.field_violations().empty() ? "" : bad.field_violations(0).field();
}

}  // namespace proad::server
