#include "client/security.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/token_file.h"

namespace proad::client {
namespace {

// File of the system's CAs on Debian and similar distributions.
constexpr char kSystemCas[] = "/etc/ssl/certs/ca-certificates.crt";

absl::StatusOr<std::string> ReadPem(const std::string& path, absl::string_view what) {
  std::ifstream in(path, std::ios::binary);
  std::string pem(std::istreambuf_iterator<char>(in), {});
  if (!in.is_open() || in.bad()) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read: ", strerror(errno)));
  }
  // gRPC checks the rest of the content when it connects.
  if (!absl::StrContains(pem, "-----BEGIN ")) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no ", what, " in PEM format"));
  }
  return pem;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsOf(const SecurityOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate and its key go together: give both or neither");
  }
  std::string ca = options.ca;
  if (ca.empty()) {
    const char* const named = std::getenv("SSL_CERT_FILE");
    ca = named != nullptr ? named : kSystemCas;
  }
  absl::StatusOr<std::string> roots = ReadPem(ca, "certificate");
  if (!roots.ok()) return roots.status();
  grpc::SslCredentialsOptions ssl{.pem_root_certs = *std::move(roots)};
  if (!options.certificate.empty()) {
    absl::StatusOr<std::string> certificate = ReadPem(options.certificate, "certificate");
    if (!certificate.ok()) return certificate.status();
    absl::StatusOr<std::string> key = ReadPem(options.key, "private key");
    if (!key.ok()) return key.status();
    ssl.pem_cert_chain = *std::move(certificate);
    ssl.pem_private_key = *std::move(key);
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(ssl);
  if (credentials == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(ca, ": holds no valid certificates"));
  }
  return credentials;
}

bool IsLoopbackHost(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  const auto is_number = [](absl::string_view part) {
    return !part.empty() && part.size() <= 3 &&
           std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  return parts.size() == 4 && parts[0] == "127" &&
         std::all_of(parts.begin(), parts.end(), is_number);
}

}  // namespace

bool IsLoopback(absl::string_view target) {
  if (absl::StartsWith(target, "unix:") || absl::StartsWith(target, "unix-abstract:")) return true;
  for (const absl::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (absl::ConsumePrefix(&target, scheme)) break;
  }
  const std::vector<absl::string_view> addresses = absl::StrSplit(target, ',');
  return std::all_of(addresses.begin(), addresses.end(), IsLoopbackHost);
}

absl::Status Secure(const SecurityOptions& options, ChannelOptions& channel) {
  if (options.wants_tls()) {
    auto credentials = TlsOf(options);
    if (!credentials.ok()) return credentials.status();
    channel.credentials = *std::move(credentials);
    channel.server_name = options.server_name;
  } else if (!options.server_name.empty()) {
    return absl::InvalidArgumentError(
        "a server name for the certificate is set, but TLS is not enabled");
  }
  if (options.token_file.empty()) return absl::OkStatus();
  if (!options.wants_tls() && !IsLoopback(channel.address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to send the token to ", channel.address,
                     " in plain text, where others could read it: use TLS"));
  }
  auto token = TokenFile::Open(options.token_file);
  if (!token.ok()) return token.status();
  channel.token = *std::move(token);
  return absl::OkStatus();
}

}  // namespace proad::client
