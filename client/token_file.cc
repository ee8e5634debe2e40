#include "client/token_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

constexpr size_t kMaxToken = 512;  // characters; the server's limit

bool IsSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

absl::StatusOr<std::string> ReadToken(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  char bytes[kMaxToken + 3];  // room for a line end and one more character
  in.read(bytes, sizeof(bytes));
  if (in.gcount() == 0 && (!in.is_open() || in.bad())) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read: ", strerror(errno)));
  }
  const absl::string_view token =
      absl::StripAsciiWhitespace(absl::string_view(bytes, static_cast<size_t>(in.gcount())));
  const bool plain = std::all_of(token.begin(), token.end(), absl::ascii_isgraph);
  if (token.empty() || token.size() > kMaxToken || !plain) {
    return absl::InvalidArgumentError(absl::StrCat(
        path.string(), ": holds no token: it must have one line of at most ", kMaxToken,
        " printable characters without spaces, as \"proad token new\" prints it"));
  }
  return std::string(token);
}

// Adds the authorization header to the initial metadata of a call.
class TokenSender : public grpc::experimental::Interceptor {
 public:
  explicit TokenSender(std::shared_ptr<TokenFile> token) : token_(std::move(token)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", token_->Authorization());
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<TokenFile> token_;
};

class TokenSenderFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenderFactory(std::shared_ptr<TokenFile> token) : token_(std::move(token)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenSender(token_);  // gRPC takes ownership
  }

 private:
  const std::shared_ptr<TokenFile> token_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TokenFile>> TokenFile::Open(const std::filesystem::path& path) {
  struct stat read = {};
  stat(path.c_str(), &read);  // before reading, so a file replaced meanwhile is read again
  absl::StatusOr<std::string> token = ReadToken(path);
  if (!token.ok()) return token.status();
  return std::shared_ptr<TokenFile>(new TokenFile(path, *std::move(token), read));
}

TokenFile::TokenFile(std::filesystem::path path, std::string token, const struct stat& read)
    : path_(std::move(path)), token_(std::move(token)), read_(read) {}

std::string TokenFile::Authorization() {
  struct stat now = {};
  const bool found = stat(path_.c_str(), &now) == 0;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (found && !IsSame(now, read_)) {
    if (absl::StatusOr<std::string> token = ReadToken(path_); token.ok()) {
      token_ = *std::move(token);
      read_ = now;
    }
  }
  return absl::StrCat("Bearer ", token_);
}

std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> SendToken(
    std::shared_ptr<TokenFile> token) {
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<TokenSenderFactory>(std::move(token)));
  return factories;
}

}  // namespace proad::client
