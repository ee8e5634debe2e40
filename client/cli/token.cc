// proad token: generates a token for a client and the entry for the server's token file. Uses no
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

// Checks the name by the rule of the server.
bool IsName(const std::string& name) {
  if (name.empty() || name.size() > kMaxName ||
      !(absl::ascii_islower(name[0]) || absl::ascii_isdigit(name[0]))) {
    return false;
  }
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

// Returns "proad_" and 43 random characters; the prefix lets secret scanners recognise leaked tokens.
// Empty when the random number generator fails.
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

// Writes the token to a new file that only its owner can read. On failure, errno has the cause.
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
    std::cerr << "proad token new: the system's random number generator failed\n";
    return kSomeFailed;
  }
  if (!options.out.empty() && !WriteSecret(options.out, token)) {
    std::cerr << "proad token new: cannot create " << options.out << ": " << strerror(errno)
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
  // Standard output has the entry only, so that it can be appended to the server's token file.
  std::cout << entry << "\n";
  if (options.out.empty()) {
    std::cerr << "The token for the client's --token-file; it is not stored anywhere else:\n"
              << token << "\n"
              << "Standard output has the entry for the server's token file (auth.tokens).\n";
  }
  return kOk;
}

}  // namespace

void AddTokenCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<TokenOptions>();
  CLI::App* const token = app.add_subcommand("token", "Generate tokens for clients");
  token->require_subcommand(1);
  CLI::App* const command = token->add_subcommand(
      "new", "Generate a token and the entry for the server's token file (auth.tokens)");
  command->footer(
      "Prints the entry to standard output and the token to standard error or --out:\n"
      "  proad token new --name line-4 --role detect --out line-4.token >> tokens\n"
      "A server reads a changed token file within two seconds. The file holds only digests. If a\n"
      "token is lost, generate a new one and remove the old entry.\n");
  command->add_option("--name", options->name, "name of the client, for the server's log")
      ->required()
      ->type_name("NAME")
      ->check([](const std::string& name) -> std::string {
        if (IsName(name)) return "";
        return absl::StrCat("'", name,
                            "' must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-', the first "
                            "a letter or digit");
      });
  AddChoice<std::string>(
      *command, "--role", {{"detect", "detect"}, {"train", "train"}, {"admin", "admin"}},
      [options](const std::string& role) { options->role = role; },
      "role of the client: detect (inspect, list models), train (also train models) or admin (also "
      "change models)");
  command->get_option("--role")->required();
  command
      ->add_option("--out", options->out, "new file for the token, which only its owner can read")
      ->type_name("FILE");
  command->add_flag("--json", options->json,
                    "print one JSON object, with the token unless --out is given");
  command->callback([=, &run] { run = [=] { return RunNew(*options); }; });
}

}  // namespace proad::client
