// proad token: makes a token for a client, and the line for the server's file of tokens. Asks no
// server.
#include <fcntl.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/options.h"

namespace proad::client {
namespace {

constexpr size_t kRandomBytes = 32;
constexpr size_t kMaxName = 64;

struct TokenOptions {
  std::string name;
  std::string role;
  std::string out;
  bool json = false;
};

// As the server takes names.
bool IsName(const std::string& name) {
  if (name.empty() || name.size() > kMaxName ||
      !(absl::ascii_islower(name[0]) || absl::ascii_isdigit(name[0]))) {
    return false;
  }
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

// "proad_" and 43 characters, which those who look for leaked secrets can recognise. "": the system
// has no randomness.
std::string MakeToken() {
  std::array<unsigned char, kRandomBytes> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return "";
  return absl::StrCat("proad_", absl::WebSafeBase64Escape(absl::string_view(
                                    reinterpret_cast<const char*>(random.data()), random.size())));
}

std::string DigestOf(const std::string& token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

// Writes a new file that only its owner can read.
bool WriteSecret(const std::string& path, const std::string& token) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const std::string line = token + "\n";
  const bool written = write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  const bool closed = close(fd) == 0;
  if (!written) errno = error;
  return written && closed;
}

int RunNew(const TokenOptions& options) {
  const std::string token = MakeToken();
  if (token.empty()) {
    std::cerr << "proad token new: this system gives no randomness\n";
    return kSomeFailed;
  }
  if (!options.out.empty() && !WriteSecret(options.out, token)) {
    std::cerr << "proad token new: " << options.out << ": cannot be made: " << strerror(errno)
              << "\n";
    return kSomeFailed;
  }
  const std::string entry = absl::StrCat(options.name, " ", options.role, " ", DigestOf(token));
  if (options.json) {
    nlohmann::json object = {{"name", options.name}, {"role", options.role}, {"entry", entry}};
    if (options.out.empty()) object["token"] = token;
    std::cout << object.dump() << "\n";
    return kOk;
  }
  // The line alone on standard output, so that it can be appended to the server's file.
  std::cout << entry << "\n";
  if (options.out.empty()) {
    std::cerr << "The token, shown this once, for the client's --token-file:\n"
              << token << "\n"
              << "The line for the server's file (auth.tokens) is on standard output.\n";
  }
  return kOk;
}

}  // namespace

void AddTokenCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<TokenOptions>();
  CLI::App* const token = app.add_subcommand("token", "Make tokens for clients");
  token->require_subcommand(1);
  CLI::App* const command = token->add_subcommand(
      "new", "Make a token, and the line for the server's file of tokens (auth.tokens)");
  command->footer(
      "The line goes to standard output, the token to standard error or to --out:\n"
      "  proad token new --name line-4 --role detect --out line-4.token >> tokens\n"
      "A server takes the line within two seconds. It knows only the digest: a token that is lost\n"
      "is made anew, and its old line removed.\n");
  command->add_option("--name", options->name, "whose token it is; stands in the server's log")
      ->required()
      ->type_name("NAME")
      ->check([](const std::string& name) -> std::string {
        if (IsName(name)) return "";
        return absl::StrCat("'", name,
                            "' is not 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter "
                            "or digit");
      });
  AddChoice<std::string>(
      *command, "--role", {{"detect", "detect"}, {"train", "train"}, {"admin", "admin"}},
      [options](const std::string& role) { options->role = role; },
      "what it may do: detect (inspect, list models), train (and jobs), admin (and models)");
  command->get_option("--role")->required();
  command->add_option("--out", options->out, "new file for the token, readable by its owner only")
      ->type_name("FILE");
  command->add_flag("--json", options->json,
                    "one JSON object, with the token unless --out is given");
  command->callback([=, &run] { run = [=] { return RunNew(*options); }; });
}

}  // namespace proad::client
