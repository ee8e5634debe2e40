// TLS and authentication of a channel.
//
//   proad::client::ChannelOptions options{.address = "inspect.example:50051"};
//   absl::Status status = proad::client::Secure({.ca = "ca.pem", .token_file = "token"}, options);
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/channel.h"

namespace proad::client {

// Empty fields are not used.
struct SecurityOptions {
  bool tls = false;         // use TLS; implied by ca, certificate and key
  std::string ca;           // PEM file of the CAs that sign servers; empty: the system's CAs
  std::string certificate;  // PEM file of the client's certificate and its intermediates
  std::string key;          // PEM file of the certificate's private key
  std::string server_name;  // name in the server's certificate, if not the one in the address
  std::string token_file;   // file with one token; read again after it is replaced

  bool wants_tls() const { return tls || !ca.empty() || !certificate.empty() || !key.empty(); }
};

// Reads the files and sets credentials, server_name and token of `channel`, whose address must be
// set before. Certificates are read once; use a new channel for a new certificate.
//   NOT_FOUND            A file cannot be read. The message has its path.
//   INVALID_ARGUMENT     A file has the wrong content, or the options contradict each other.
//   FAILED_PRECONDITION  The token would be sent to another machine without encryption.
absl::Status Secure(const SecurityOptions& options, ChannelOptions& channel);

// Returns true when a gRPC target is certainly on this machine: "localhost:1", "127.0.0.1:1",
// "[::1]:1" or "unix:/path", with or without a scheme. Pure function.
bool IsLoopback(absl::string_view target);

}  // namespace proad::client
