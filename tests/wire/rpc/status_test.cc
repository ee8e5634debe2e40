#include "server/rpc/status.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <string>

#include "server/util/status_details.h"

namespace proad::server {
namespace {

google::rpc::Status Decoded(const grpc::Status& status) {
  google::rpc::Status rpc;
  EXPECT_TRUE(rpc.ParseFromString(status.error_details()));
  return rpc;
}

template <typename Detail>
bool Find(const google::rpc::Status& status, Detail& detail) {
  for (const auto& any : status.details()) {
    if (any.Is<Detail>()) return any.UnpackTo(&detail);
  }
  return false;
}

TEST(ToGrpcStatusTest, CarriesEveryDetail) {
  const grpc::Status status = ToGrpcStatus(MakeError(absl::StatusCode::kResourceExhausted, "full",
                                                     {.reason = "QUEUE_FULL",
                                                      .field = "encoded",
                                                      .retry_after = absl::Milliseconds(1250),
                                                      .metadata = {{"limit", "8"}}}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "full");
  const google::rpc::Status rpc = Decoded(status);
  EXPECT_EQ(rpc.code(), 8);
  EXPECT_EQ(rpc.message(), "full");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(rpc, info));
  EXPECT_EQ(info.reason(), "QUEUE_FULL");
  EXPECT_EQ(info.domain(), "proad");
  EXPECT_EQ(info.metadata().at("limit"), "8");
  google::rpc::BadRequest bad;
  ASSERT_TRUE(Find(rpc, bad));
  EXPECT_EQ(bad.field_violations(0).field(), "encoded");
  EXPECT_EQ(bad.field_violations(0).description(), "full");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(Find(rpc, retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
}

TEST(ToGrpcStatusTest, AStatusWithoutDetailsHasItsCodeAsReason) {
  const google::rpc::Status rpc = Decoded(ToGrpcStatus(absl::DataLossError("damaged")));
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(rpc, info));
  EXPECT_EQ(info.reason(), "DATA_LOSS");
  EXPECT_EQ(rpc.details_size(), 1);
}

TEST(ToGrpcStatusTest, OkIsOk) {
  const grpc::Status status = ToGrpcStatus(absl::OkStatus());
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(status.error_details().empty());
}

TEST(ToGrpcStatusTest, ALongMessageDoesNotOverflowTheTrailers) {
  const grpc::Status status = ToGrpcStatus(
      MakeError(absl::StatusCode::kInvalidArgument, std::string(100'000, 'x'), {.field = "model"}));
  EXPECT_LT(status.error_message().size() + status.error_details().size(), 8192u);
}

}  // namespace
}  // namespace proad::server
