// Addresses of several servers, and the distribution of calls over them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/detection_client.h"
#include "client/endpoints.h"
#include "tests/support/scripted_service.h"
#include "tests/support/sync.h"

namespace proad::client {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::StartsWith;

TEST(Endpoints, ASingleServerIsUnchanged) {
  for (const char* address : {"localhost:50051", "[::1]:50051", "unix:/run/proad.sock"}) {
    const Endpoints endpoints = ParseEndpoints(address);
    EXPECT_EQ(endpoints.target, address);
    EXPECT_FALSE(endpoints.several);
  }
}

TEST(Endpoints, ADnsNameStandsForAllItsAddresses) {
  const Endpoints endpoints = ParseEndpoints("dns:///proad.factory.svc:50051");
  EXPECT_EQ(endpoints.target, "dns:///proad.factory.svc:50051");
  EXPECT_TRUE(endpoints.several);
  EXPECT_EQ(endpoints.authority, "");
}

TEST(Endpoints, AListIsResolvedToOneFamily) {
  const Endpoints endpoints = ParseEndpoints("127.0.0.1:1, [::1]:2,127.0.0.3:3,");
  EXPECT_EQ(endpoints.target, "ipv6:[::ffff:127.0.0.1]:1,[::1]:2,[::ffff:127.0.0.3]:3");
  EXPECT_TRUE(endpoints.several);
  EXPECT_EQ(endpoints.authority, "127.0.0.1") << "whose certificate all have";
  EXPECT_THAT(ParseEndpoints("localhost:1,localhost:2").target, StartsWith("ipv6:[::"));
}

TEST(Endpoints, AnUnresolvableListFailsTheCallAndIsNamed) {
  const DetectionClient client({.address = "no port,neither here"}, {.retry = {.max_attempts = 1}});
  const auto detection = client.Detect({});
  EXPECT_EQ(detection.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(detection.status().message()), ::testing::HasSubstr("neither here"));
}

class SeveralServers : public ::testing::Test {
 protected:
  static constexpr int kServers = 3;

  // Calls that each server got, of `calls` of which none may fail.
  std::array<int, kServers> Ask(int calls) {
    std::array<int, kServers> counts = Counts();
    for (int i = 0; i < calls; ++i) {
      proad::v1::DetectRequest request;
      request.set_encoded("score=0.5");
      const auto detection = client_.Detect(request);
      EXPECT_TRUE(detection.ok()) << detection.status();
    }
    std::array<int, kServers> after = Counts();
    for (int i = 0; i < kServers; ++i) after[i] -= counts[i];
    return after;
  }

  // Asks until `holds` is true of the number of calls that each server got.
  template <typename Holds>
  void AskUntil(const Holds& holds) {
    server::AwaitTrue("the spread of the calls", [&] { return holds(Ask(6)); });
  }

  std::array<int, kServers> Counts() const {
    std::array<int, kServers> counts;
    for (int i = 0; i < kServers; ++i) {
      counts[i] = servers_[i] == nullptr ? 0 : servers_[i]->detection().Calls("");
    }
    return counts;
  }

  std::array<std::unique_ptr<proad::testing::ScriptedServer>, kServers> servers_ = {
      std::make_unique<proad::testing::ScriptedServer>(),
      std::make_unique<proad::testing::ScriptedServer>(),
      std::make_unique<proad::testing::ScriptedServer>()};
  DetectionClient client_{
      {.address = absl::StrCat(servers_[0]->address(), ",", servers_[1]->address(), ",",
                               servers_[2]->address())},
      {.retry = {.initial_backoff = absl::Milliseconds(1)}}};
};

TEST_F(SeveralServers, ShareTheCalls) {
  AskUntil([](const auto& counts) {  // all are connected
    return counts == std::array{2, 2, 2};
  });
  EXPECT_THAT(Ask(30), Each(10));
}

TEST_F(SeveralServers, GetNoCallsWhileNotServing) {
  AskUntil([](const auto& counts) { return counts == std::array{2, 2, 2}; });
  servers_[1]->SetServing(false);
  AskUntil([](const auto& counts) { return counts[1] == 0; });
  EXPECT_EQ(Ask(20)[1], 0);
  servers_[1]->SetServing(true);
  AskUntil([](const auto& counts) { return counts[1] > 0; });
}

TEST_F(SeveralServers, CanStopAndComeBackWithoutFailedCalls) {
  AskUntil([](const auto& counts) { return counts == std::array{2, 2, 2}; });
  const std::string address = servers_[0]->address();
  servers_[0].reset();
  EXPECT_THAT(Ask(20), ElementsAre(0, Gt(0), Gt(0)));
  servers_[0] = std::make_unique<proad::testing::ScriptedServer>(address);
  AskUntil([](const auto& counts) { return counts[0] > 0; });
}

TEST_F(SeveralServers, AreEjectedWhileTheyFailAndUsedAgainLater) {
  AskUntil([](const auto& counts) { return counts == std::array{2, 2, 2}; });
  servers_[2]->detection().SetBroken(true);
  proad::v1::DetectRequest request;
  request.set_encoded("score=0.5");
  const auto asked = [&] {
    const int before = servers_[2]->detection().Calls("");
    for (int i = 0; i < 12; ++i) client_.Detect(request).IgnoreError();
    return servers_[2]->detection().Calls("") > before;
  };
  server::AwaitTrue("the endpoint to be left out", [&] { return !asked(); });
  EXPECT_THAT(Ask(20)[2], 0);
  servers_[2]->detection().SetBroken(false);
  server::AwaitTrue("the endpoint to be asked again", [&] { return asked(); });
}

TEST_F(SeveralServers, AreNeverEjectedBeyondHalf) {
  AskUntil([](const auto& counts) { return counts == std::array{2, 2, 2}; });
  servers_[0]->detection().SetBroken(true);
  servers_[1]->detection().SetBroken(true);
  servers_[2]->detection().SetBroken(true);
  proad::v1::DetectRequest request;
  request.set_encoded("score=0.5");
  // Every call is answered by some server, never by the client itself; servers are left out every
  // two seconds.
  for (const absl::Time end = absl::Now() + absl::Seconds(5); absl::Now() < end;) {
    EXPECT_EQ(client_.Detect(request).status().message(), "broken");
  }
}

}  // namespace
}  // namespace proad::client
