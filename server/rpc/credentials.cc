#include "server/rpc/credentials.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> FilesOf(const TlsFiles& tls) {
  std::vector<fs::path> files;
  for (const fs::path& path : {tls.certificate, tls.key, tls.client_ca}) {
    if (!path.empty()) files.push_back(path);
  }
  return files;
}

std::vector<fs::path> FilesOf(const fs::path& tokens) {
  return tokens.empty() ? std::vector<fs::path>() : std::vector<fs::path>{tokens};
}

absl::Status Of(absl::string_view key, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(key, ": ", status.message()));
}

absl::StatusOr<TlsIdentity> ReadTls(const TlsFiles& files) {
  absl::StatusOr<TlsIdentity> identity = TlsIdentity::Read(files);
  if (!identity.ok()) return Of("server.tls", identity.status());
  return identity;
}

absl::StatusOr<TokenTable> ReadTokens(const fs::path& path) {
  absl::StatusOr<TokenTable> table = TokenTable::Read(path);
  if (!table.ok()) return Of("auth.tokens", table.status());
  return table;
}

}  // namespace

absl::Status Credentials::Check(const Options& options) {
  if (options.tls.enabled()) {
    if (const auto identity = ReadTls(options.tls); !identity.ok()) return identity.status();
  }
  if (!options.tokens.empty()) {
    if (const auto table = ReadTokens(options.tokens); !table.ok()) return table.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Credentials>> Credentials::Load(const Options& options,
                                                               Authorizer& authorizer,
                                                               Metrics& metrics) {
  std::unique_ptr<Credentials> credentials(new Credentials(options, authorizer, metrics));
  if (absl::Status status = credentials->ReadFirst(); !status.ok()) return status;
  if (options.tls.enabled() || !options.tokens.empty()) {
    credentials->reload_.Start();
  }
  return credentials;
}

Credentials::Credentials(const Options& options, Authorizer& authorizer, Metrics& metrics)
    : options_(options),
      authorizer_(authorizer),
      metrics_(metrics),
      tls_watch_(FilesOf(options.tls)),
      token_watch_(FilesOf(options.tokens)),
      server_(grpc::InsecureServerCredentials()),
      reload_({.name = "credentials", .interval = options.pause}, [this] { ReloadReplaced(); }) {}

absl::Status Credentials::ReadFirst() {
  if (options_.tls.enabled()) {
    absl::StatusOr<TlsIdentity> identity = ReadTls(options_.tls);
    if (!identity.ok()) return identity.status();
    ShowExpiry(*identity);
    if (identity->expiry <= absl::Now()) {
      // Not an error: some clients do not check the expiry.
      Log(LogLevel::kError, "the certificate has expired: clients will refuse it",
          {{"certificate", options_.tls.certificate.string()},
           {"ended", absl::FormatTime(identity->expiry, absl::UTCTimeZone())}});
    }
    tls_ = std::make_shared<TlsCredentials>(*std::move(identity),
                                            options_.tls.require_client_certificate);
    server_ = tls_;
  }
  if (!options_.tokens.empty()) {
    absl::StatusOr<TokenTable> table = ReadTokens(options_.tokens);
    if (!table.ok()) return table.status();
    authorizer_.SetTable(*std::move(table));
  }
  return absl::OkStatus();
}

void Credentials::ReloadReplaced() {
  if (tls_watch_.Replaced()) ReloadTls();
  if (token_watch_.Replaced()) ReloadTokens();
}

void Credentials::ReloadTls() {
  absl::StatusOr<TlsIdentity> identity = ReadTls(options_.tls);
  if (identity.ok() && identity->expiry <= absl::Now()) {
    identity = absl::InvalidArgumentError(
        absl::StrCat(options_.tls.certificate.string(), ": a certificate in it expired at ",
                     absl::FormatTime(identity->expiry, absl::UTCTimeZone())));
  }
  if (!identity.ok()) {
    metrics_.certificate_reloads.failed.Increment();
    Log(LogLevel::kError, "the new certificate is not used; the server keeps the old one",
        {{"error", identity.status()}});
    return;
  }
  ShowExpiry(*identity);
  const absl::Time expiry = identity->expiry;
  tls_->Replace(*std::move(identity));
  metrics_.certificate_reloads.ok.Increment();
  Log(LogLevel::kInfo, "certificate replaced",
      {{"certificate", options_.tls.certificate.string()},
       {"ends", absl::FormatTime(expiry, absl::UTCTimeZone())}});
}

void Credentials::ReloadTokens() {
  absl::StatusOr<TokenTable> table = ReadTokens(options_.tokens);
  if (!table.ok()) {
    metrics_.token_reloads.failed.Increment();
    Log(LogLevel::kError, "the new tokens are not used; the server keeps the old ones",
        {{"error", table.status()}});
    return;
  }
  const size_t entries = table->size();
  authorizer_.SetTable(*std::move(table));
  metrics_.token_reloads.ok.Increment();
  Log(LogLevel::kInfo, "tokens replaced",
      {{"tokens", options_.tokens.string()}, {"entries", entries}});
}

void Credentials::ShowExpiry(const TlsIdentity& identity) {
  metrics_.SetCertificateExpiry("server", identity.expiry);
  if (!identity.client_ca.empty()) {
    metrics_.SetCertificateExpiry("client_ca", identity.client_ca_expiry);
  }
}

}  // namespace proad::server
