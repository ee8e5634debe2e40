// A file with one token, which a channel sends with every call.
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

// Thread-safe. The file is looked at for every call and read again when it was replaced, so that a
// token can be rotated under a client that runs; while the file cannot be read, or holds no token,
// the one before is sent.
class TokenFile {
 public:
  // NOT_FOUND or INVALID_ARGUMENT, with the path and nothing of the token.
  static absl::StatusOr<std::shared_ptr<TokenFile>> Open(const std::filesystem::path& path);

  // As it is to be sent now: "Bearer TOKEN".
  std::string Authorization();

 private:
  TokenFile(std::filesystem::path path, std::string token, const struct stat& read);

  const std::filesystem::path path_;
  std::mutex mutex_;  // of what follows
  std::string token_;
  struct stat read_;
};

// Makes every call of a channel carry the token.
std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> SendToken(
    std::shared_ptr<TokenFile> token);

}  // namespace proad::client
