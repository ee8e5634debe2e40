#include <gtest/gtest.h>

#include <string>

#include "client/error.h"
#include "client/retry.h"
#include "google/rpc/error_details.pb.h"

namespace proad::client {
namespace {

// As the server sends it; `retry_after` < 0 for no RetryInfo.
absl::Status Error(absl::StatusCode code, int retry_after_milliseconds = -1) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message("test");
  if (retry_after_milliseconds >= 0) {
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(retry_after_milliseconds / 1000);
    info.mutable_retry_delay()->set_nanos(retry_after_milliseconds % 1000 * 1000000);
    status.add_details()->PackFrom(info);
  }
  return ToStatus(status);
}

TEST(RetryDelay, RetriesUnavailableAndOverloadWithARetryTime) {
  const RetryPolicy policy;
  for (int code = 1; code <= 16; ++code) {
    const auto status_code = static_cast<absl::StatusCode>(code);
    const bool unavailable = status_code == absl::StatusCode::kUnavailable;
    const bool overload = status_code == absl::StatusCode::kResourceExhausted;
    const auto delay = [&](const absl::Status& error) {
      return RetryDelay(policy, error, 1, absl::Seconds(10), 0.5);
    };
    EXPECT_EQ(delay(Error(status_code)).has_value(), unavailable)
        << absl::StatusCodeToString(status_code);
    EXPECT_EQ(delay(Error(status_code, 100)).has_value(), unavailable || overload)
        << absl::StatusCodeToString(status_code) << " with RetryInfo";
  }
}

TEST(RetryDelay, WaitsAtLeastTheRetryTime) {
  for (const double jitter : {0.0, 0.999}) {
    const auto delay = RetryDelay({}, Error(absl::StatusCode::kResourceExhausted, 1500), 1,
                                  absl::Seconds(10), jitter);
    ASSERT_TRUE(delay);
    EXPECT_GE(*delay, absl::Milliseconds(1500));
    EXPECT_LE(*delay, absl::Milliseconds(1550));
  }
}

TEST(RetryDelay, TheBackoffIsBounded) {
  const RetryPolicy policy{.max_attempts = 100,
                           .initial_backoff = absl::Milliseconds(50),
                           .max_backoff = absl::Milliseconds(300),
                           .multiplier = 2};
  const struct {
    int attempts;
    int low, high;
  } kTable[] = {{1, 25, 50}, {2, 50, 100}, {3, 100, 200}, {4, 150, 300}, {50, 150, 300}};
  for (const auto& row : kTable) {
    const auto delay = [&](double jitter) {
      return RetryDelay(policy, Error(absl::StatusCode::kUnavailable), row.attempts,
                        absl::InfiniteDuration(), jitter)
          .value();
    };
    EXPECT_EQ(delay(0.0), absl::Milliseconds(row.low)) << row.attempts;
    EXPECT_LE(delay(0.999999), absl::Milliseconds(row.high)) << row.attempts;
    EXPECT_GT(delay(0.999999), absl::Milliseconds(row.high - 1)) << row.attempts;
  }
}

TEST(RetryDelay, GivesUpAfterTheLastAttempt) {
  const RetryPolicy policy{.max_attempts = 3};
  const absl::Status error = Error(absl::StatusCode::kUnavailable);
  EXPECT_TRUE(RetryDelay(policy, error, 2, absl::Seconds(10), 0));
  EXPECT_FALSE(RetryDelay(policy, error, 3, absl::Seconds(10), 0));
  EXPECT_FALSE(RetryDelay({.max_attempts = 1}, error, 1, absl::Seconds(10), 0));
}

TEST(RetryDelay, NeverWaitsPastTheDeadline) {
  const absl::Status error = Error(absl::StatusCode::kResourceExhausted, 400);
  EXPECT_FALSE(RetryDelay({}, error, 1, absl::Milliseconds(400), 0));
  EXPECT_TRUE(RetryDelay({}, error, 1, absl::Milliseconds(500), 0));
  EXPECT_FALSE(RetryDelay({}, Error(absl::StatusCode::kUnavailable), 1, -absl::Seconds(1), 0));
}

TEST(RetryDelay, GivesUpOnARetryTimeOfDays) {
  const auto delay = [](int64_t seconds) {
    google::rpc::Status status;
    status.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(seconds);
    status.add_details()->PackFrom(info);
    return RetryDelay({}, ToStatus(status), 1, absl::InfiniteDuration(), 0);
  };
  EXPECT_FALSE(delay(int64_t{315'576'000'000}));
  EXPECT_FALSE(delay(24 * 3600));
  EXPECT_TRUE(delay(3600));
  const auto negative = delay(-5);
  ASSERT_TRUE(negative);
  EXPECT_GE(*negative, absl::ZeroDuration());
}

TEST(Error, DetailsAreRead) {
  google::rpc::Status sent;
  sent.set_code(3);
  sent.set_message("10 is less than 30");
  google::rpc::ErrorInfo info;
  info.set_reason("STRIDE_TOO_SMALL");
  (*info.mutable_metadata())["min_bytes"] = "30";
  sent.add_details()->PackFrom(info);
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("frame.stride");
  violation->set_description("too small");
  sent.add_details()->PackFrom(bad);

  const absl::Status status = ToStatus(sent);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "STRIDE_TOO_SMALL");
  ASSERT_EQ(details.fields.size(), 1u);
  EXPECT_EQ(details.fields[0].field, "frame.stride");
  EXPECT_EQ(details.metadata.at("min_bytes"), "30");
  EXPECT_FALSE(details.retry_after);
  EXPECT_EQ(Describe(status), "INVALID_ARGUMENT: frame.stride: 10 is less than 30");
}

TEST(Error, AnErrorWithTheCodeOkIsNotSuccess) {
  google::rpc::Status sent;
  sent.set_message("oops");
  EXPECT_EQ(ToStatus(sent).code(), absl::StatusCode::kInternal);
}

TEST(Error, UnknownCodesAndOtherStatusesAreAccepted) {
  google::rpc::Status sent;
  sent.set_code(99);
  EXPECT_EQ(ToStatus(sent).code(), absl::StatusCode::kUnknown);
  const ErrorDetails details = DetailsOf(absl::InternalError("of another origin"));
  EXPECT_TRUE(details.reason.empty());
  EXPECT_TRUE(details.fields.empty());
}

}  // namespace
}  // namespace proad::client
