// How a client makes sure of the server, and says who it is itself.
//
//   proad::client::ChannelOptions options{.address = "inspect.example:50051"};
//   absl::Status status = proad::client::Secure({.ca = "ca.pem", .token_file = "token"}, options);
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/channel.h"

namespace proad::client {

// Paths of PEM files; empty: not used.
struct SecurityOptions {
  bool tls = false;         // TLS; a path below means it, too
  std::string ca;           // who signs servers' certificates; empty: whom this machine trusts
  std::string certificate;  // of this client, then its intermediates: for servers that ask for one
  std::string key;          // its private key
  std::string server_name;  // that the server's certificate must be for, instead of the address's
  std::string token_file;   // holds one token; read again when it is replaced

  bool wants_tls() const { return tls || !ca.empty() || !certificate.empty() || !key.empty(); }
};

// Reads the files and sets credentials, server_name and token of `channel`, whose address is set
// already. Certificates are read once: a channel that is to show a new one is made anew.
//   NOT_FOUND, INVALID_ARGUMENT  a file is not there or not what it should be, with its path
//   FAILED_PRECONDITION          a token would go to another machine in plain text
absl::Status Secure(const SecurityOptions& options, ChannelOptions& channel);

// Whether a target of gRPC is on this machine for certain: "localhost:1", "127.0.0.1:1", "[::1]:1",
// "unix:/path", and these with a scheme. Pure.
bool IsLoopback(absl::string_view target);

}  // namespace proad::client
