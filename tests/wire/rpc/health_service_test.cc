#include "server/rpc/health_service.h"

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/channel.h"

namespace proad::server {
namespace {

using client::Health;
using google::protobuf::Int32Value;
using google::protobuf::StringValue;

constexpr int kServing = 1, kNotServing = 2, kServiceUnknown = 3;

// A Watch call, read one status at a time.
class WatchCall {
 public:
  WatchCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& service)
      : stub_(channel) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    call_ = stub_.PrepareCall(&context_, "/grpc.health.v1.Health/Watch", &queue_);
    call_->StartCall(this);
    EXPECT_TRUE(Next());
    StringValue request;
    request.set_value(service);
    call_->WriteLast(request, grpc::WriteOptions(), this);
    EXPECT_TRUE(Next());
  }
  ~WatchCall() { queue_.Shutdown(); }

  // The next status, or 0 when the call has ended.
  int Read() {
    Int32Value response;
    call_->Read(&response, this);
    return Next() ? response.value() : 0;
  }

  grpc::Status Finish() {
    grpc::Status status;
    call_->Finish(&status, this);
    EXPECT_TRUE(Next());
    return status;
  }

  void Cancel() { context_.TryCancel(); }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::TemplatedGenericStub<StringValue, Int32Value> stub_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<StringValue, Int32Value>> call_;
};

class HealthServiceTest : public ::testing::Test {
 protected:
  HealthServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    channel_ =
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
  }
  ~HealthServiceTest() override {
    health_.EndWatches();
    server_->Shutdown();
  }

  Health Check(const std::string& service) {
    const auto health = client::CheckHealth(channel_, service, absl::Seconds(30));
    EXPECT_TRUE(health.ok()) << health.status();
    return health.value_or(Health::kUnknownService);
  }

  HealthService health_{{"proad.v1.DetectionService"}};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(HealthServiceTest, NothingIsServingUntilItIsSet) {
  // gRPC's own service answers SERVING for "" here.
  EXPECT_EQ(Check(""), Health::kNotServing);
  EXPECT_EQ(Check("proad.v1.DetectionService"), Health::kNotServing);
  EXPECT_EQ(Check("no.such.Service"), Health::kUnknownService);
}

TEST_F(HealthServiceTest, ChecksAnswerWhatWasSetLast) {
  health_.SetServing("", true);
  EXPECT_EQ(Check(""), Health::kServing);
  EXPECT_EQ(Check("proad.v1.DetectionService"), Health::kNotServing);
  health_.SetServing("", false);
  EXPECT_EQ(Check(""), Health::kNotServing);
}

TEST_F(HealthServiceTest, AShutdownIsForGood) {
  health_.SetServing("", true);
  health_.Shutdown();
  EXPECT_EQ(Check(""), Health::kNotServing);
  health_.SetServing("", true);
  EXPECT_EQ(Check(""), Health::kNotServing);
}

TEST_F(HealthServiceTest, AWatchReceivesEveryStatusThatStays) {
  WatchCall watch(channel_, "");
  EXPECT_EQ(watch.Read(), kNotServing);
  health_.SetServing("proad.v1.DetectionService", true);  // another service
  health_.SetServing("", true);
  EXPECT_EQ(watch.Read(), kServing);
  health_.SetServing("", true);  // no change
  health_.Shutdown();
  EXPECT_EQ(watch.Read(), kNotServing);
  watch.Cancel();
  EXPECT_EQ(watch.Read(), 0);
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(HealthServiceTest, AWatchOfAnUnknownServiceSaysSo) {
  WatchCall watch(channel_, "no.such.Service");
  EXPECT_EQ(watch.Read(), kServiceUnknown);
}

TEST_F(HealthServiceTest, WatchesEndBeforeTheServerIsShutDown) {
  WatchCall watch(channel_, "");
  EXPECT_EQ(watch.Read(), kNotServing);
  health_.EndWatches();
  EXPECT_EQ(watch.Read(), 0);
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  WatchCall late(channel_, "");
  EXPECT_EQ(late.Read(), 0);
  EXPECT_EQ(late.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace proad::server
