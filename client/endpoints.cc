#include "client/endpoints.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace proad::client {
namespace {

constexpr absl::string_view kDns = "dns:///";

// Shortest time between two resolutions of a name. gRPC's default of 30 seconds delays the use of
// new pods after a connection has ended.
constexpr int kMinResolutionMilliseconds = 2000;

// Load balancing over several addresses. Calls that end with any error count as failures. A server
// with at least 5 calls within 2 seconds, of which 85 % or more fail, is ejected for 5 seconds, then
// for 10, 15 and so on up to 5 minutes. With maxEjectionPercent 33, at least half of the servers
// stay, because gRPC compares the share before it ejects one more server.
constexpr char kServiceConfig[] = R"({
  "healthCheckConfig": {"serviceName": ""},
  "loadBalancingConfig": [
    {"outlier_detection_experimental": {
      "interval": "2s",
      "baseEjectionTime": "5s",
      "maxEjectionTime": "300s",
      "maxEjectionPercent": 33,
      "failurePercentageEjection": {
        "threshold": 85, "enforcementPercentage": 100, "minimumHosts": 2, "requestVolume": 5},
      "childPolicy": [{"round_robin": {}}]}},
    {"round_robin": {}}]
})";

struct HostPort {
  std::string host;
  std::string port;
};

// Splits "[::1]:50051" into "::1" and "50051".
HostPort Split(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || absl::EndsWith(text, "]")) {
    return {std::string(text), ""};
  }
  absl::string_view host = text.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  return {std::string(host), std::string(text.substr(colon + 1))};
}

// Formats an IPv4 or IPv6 address as an IPv6 address with port.
std::string AsIpv6(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET6) {
    const auto* const ipv6 = reinterpret_cast<const sockaddr_in6*>(address);
    inet_ntop(AF_INET6, &ipv6->sin6_addr, text, sizeof text);
    return absl::StrCat("[", text, "]:", ntohs(ipv6->sin6_port));
  }
  const auto* const ipv4 = reinterpret_cast<const sockaddr_in*>(address);
  inet_ntop(AF_INET, &ipv4->sin_addr, text, sizeof text);
  return absl::StrCat("[::ffff:", text, "]:", ntohs(ipv4->sin_port));
}

// Resolves one entry. All addresses are of one family: IPv4 if the host has such addresses, else
// IPv6, so that a host with both does not count twice.
std::vector<std::string> Addresses(const HostPort& entry) {
  for (const int family : {AF_INET, AF_INET6}) {
    addrinfo hints = {};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(entry.host.c_str(), entry.port.c_str(), &hints, &found) != 0) continue;
    std::vector<std::string> addresses;
    for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
      addresses.push_back(AsIpv6(info->ai_addr));
    }
    freeaddrinfo(found);
    return addresses;
  }
  return {};
}

}  // namespace

Endpoints ParseEndpoints(const std::string& address) {
  if (absl::StartsWith(address, kDns)) return {.target = address, .several = true};
  if (!absl::StrContains(address, ',')) return {.target = address};
  std::vector<std::string> addresses;
  std::string authority;
  for (absl::string_view text : absl::StrSplit(address, ',', absl::SkipWhitespace())) {
    const HostPort entry = Split(absl::StripAsciiWhitespace(text));
    if (authority.empty()) authority = entry.host;
    for (std::string& found : Addresses(entry)) addresses.push_back(std::move(found));
  }
  // gRPC's own resolver fails too, and its error names the address.
  if (addresses.empty()) return {.target = absl::StrCat(kDns, address)};
  return {.target = absl::StrCat("ipv6:", absl::StrJoin(addresses, ",")),
          .authority = authority,
          .several = true};
}

void SetBalancing(const Endpoints& endpoints, grpc::ChannelArguments& arguments) {
  if (!endpoints.several) return;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kMinResolutionMilliseconds);
  if (!endpoints.authority.empty()) {
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, endpoints.authority);
  }
}

}  // namespace proad::client
