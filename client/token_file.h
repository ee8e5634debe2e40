// A file with one token that a channel sends with every call.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/support/client_interceptor.h"

namespace proad::client {

// Thread-safe. Checks the file at every call and reads it again when it has changed, so a token can be
// replaced while the client runs. While the file cannot be read or holds no token, the client sends
// the previous token.
class TokenFile {
 public:
  // NOT_FOUND or INVALID_ARGUMENT. The message has the path, but no part of the token.
  static absl::StatusOr<std::shared_ptr<TokenFile>> Open(const std::filesystem::path& path);

  // Returns the value of the authorization header: "Bearer TOKEN".
  std::string Authorization();

 private:
  TokenFile(std::filesystem::path path, std::string token, const struct stat& read);

  const std::filesystem::path path_;
  std::mutex mutex_;  // guards the members below
  std::string token_;
  struct stat read_;  // identifies the file from which token_ was read
};

// Returns interceptors that add the token to every call of a channel.
std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> SendToken(
    std::shared_ptr<TokenFile> token);

}  // namespace proad::client
