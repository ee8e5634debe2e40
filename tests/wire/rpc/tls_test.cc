// TLS between the real client library and the server's credentials.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/channel.h"
#include "client/detection_client.h"
#include "client/error.h"
#include "client/security.h"
#include "server/rpc/credentials.h"
#include "server/telemetry/log.h"
#include "tests/support/certificates.h"
#include "tests/support/dataset_files.h"
#include "tests/support/pictures.h"
#include "tests/support/pipeline.h"
#include "tests/support/sync.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tokens.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempDirectory;

constexpr char kNames[] = "DNS:localhost,IP:127.0.0.1";

// A server's and its clients' files.
class Files {
 public:
  Files() {
    Write("ca.pem", ours.certificate());
    Write("other-ca.pem", other.certificate());
    WriteServer(ours.Issue(kNames));
    Write("client", ours.Issue("DNS:camera"));
    Write("client-expired", ours.Issue("DNS:camera", absl::Now() - absl::Hours(1)));
    Write("client-other", other.Issue("DNS:camera"));
  }

  // In one step, as whoever rotates them should.
  void Write(const std::string& name, const std::string& text) const {
    testing::WriteText(root / (name + ".new"), text);
    fs::rename(root / (name + ".new"), root / name);
  }
  void Write(const std::string& name, const CertifiedKey& issued) const {
    Write(name + ".pem", issued.certificate);
    Write(name + ".key", issued.key);
  }
  // Certificate and key at once, as Kubernetes replaces a secret.
  void WriteServer(const CertifiedKey& issued) {
    const std::string folder = absl::StrCat("server-", ++folders_);
    testing::WriteFile(root / folder, "certificate.pem", issued.certificate);
    testing::WriteFile(root / folder, "key.pem", issued.key);
    fs::create_directory_symlink(folder, root / "server.new");
    fs::rename(root / "server.new", root / "server");
  }
  std::string Path(const std::string& name) const { return (root / name).string(); }

  TlsFiles Server(const std::string& client_ca = "", bool require = true) const {
    TlsFiles files{.certificate = root / "server/certificate.pem",
                   .key = root / "server/key.pem",
                   .client_ca = {}};
    if (!client_ca.empty()) files.client_ca = root / client_ca;
    files.require_client_certificate = require;
    return files;
  }

  const TempDirectory root;
  Authority ours{"ours"};
  Authority other{"other"};

 private:
  int folders_ = 0;
};

// The detect path with health, behind credentials from files.
class SecureServer {
 public:
  explicit SecureServer(const Credentials::Options& options)
      : authorizer(pipeline.metrics), service({}, pipeline.detector, authorizer, pipeline.metrics) {
    SetLogLevel(LogLevel::kOff);
    auto loaded = Credentials::Load(options, authorizer, pipeline.metrics);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    if (!loaded.ok()) std::abort();
    credentials = *std::move(loaded);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials->server(), &port);
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) std::abort();
    server_->GetHealthCheckService()->SetServingStatus(true);
  }
  ~SecureServer() {
    pipeline.model->Release();
    service.Drain();
    server_->Shutdown();
  }

  std::string address() const {  // No name: looking up localhost leaks in Debian's c-ares.
    return absl::StrCat("127.0.0.1:", port);
  }

  Pipeline pipeline;
  Authorizer authorizer;
  std::unique_ptr<Credentials> credentials;
  DetectionService service;
  int port = 0;

 private:
  std::unique_ptr<grpc::Server> server_;
};

// What a new connection learns of the server's health.
absl::Status Visit(const std::string& address, const client::SecurityOptions& security) {
  client::ChannelOptions options{.address = address};
  if (absl::Status status = client::Secure(security, options); !status.ok()) return status;
  return client::CheckHealth(client::Connect(options), "", absl::Seconds(60)).status();
}

struct ClientCase {
  const char* what;
  bool welcome;
  const char* ca = "ca.pem";  // "": plain text
  const char* certificate = "";
  const char* server_name = "";
};

void ExpectVisits(const Files& files, const SecureServer& server,
                  const std::vector<ClientCase>& cases) {
  for (const ClientCase& visitor : cases) {
    client::SecurityOptions security;
    if (*visitor.ca != '\0') security.ca = files.Path(visitor.ca);
    if (*visitor.certificate != '\0') {
      security.certificate = files.Path(absl::StrCat(visitor.certificate, ".pem"));
      security.key = files.Path(absl::StrCat(visitor.certificate, ".key"));
    }
    security.server_name = visitor.server_name;
    const absl::Status status = Visit(server.address(), security);
    EXPECT_EQ(status.code(),
              visitor.welcome ? absl::StatusCode::kOk : absl::StatusCode::kUnavailable)
        << visitor.what << ": " << status;
  }
}

TEST(Tls, ClientsThatMakeSureOfTheServer) {
  const Files files;
  const SecureServer server({.tls = files.Server(), .tokens = {}});
  ExpectVisits(files, server,
               {{"as it should be", true},
                {"by its other name", true, "ca.pem", "", "localhost"},
                {"a CA of others", false, "other-ca.pem"},
                {"another name than the certificate's", false, "ca.pem", "", "inspect.example"},
                {"plain text", false, ""},
                {"a certificate that nobody asked for", true, "ca.pem", "client"}});
}

TEST(Tls, ACertificateThatHasEndedIsServedAndRefusedByClients) {
  Files files;
  files.WriteServer(files.ours.Issue(kNames, absl::Now() - absl::Hours(1)));
  const SecureServer server({.tls = files.Server(), .tokens = {}});
  ExpectVisits(files, server, {{"its certificate has ended", false}});
}

TEST(Tls, ATlsClientFindsNoTlsOnAPlainPort) {
  const Files files;
  const SecureServer server({});
  ExpectVisits(files, server, {{"TLS on a plain port", false}, {"plain text", true, ""}});
}

TEST(Tls, MutualTlsTakesCertificatesOfItsCa) {
  const Files files;
  const SecureServer server({.tls = files.Server("ca.pem"), .tokens = {}});
  ExpectVisits(files, server,
               {{"as it should be", true, "ca.pem", "client"},
                {"no certificate", false},
                {"a certificate that has ended", false, "ca.pem", "client-expired"},
                {"a certificate of another CA", false, "ca.pem", "client-other"},
                {"plain text", false, ""}});
}

TEST(Tls, MutualTlsThatDoesNotInsistTakesNoWrongCertificate) {
  const Files files;
  const SecureServer server({.tls = files.Server("ca.pem", /*require=*/false), .tokens = {}});
  ExpectVisits(files, server,
               {{"as it should be", true, "ca.pem", "client"},
                {"no certificate", true},
                {"a certificate of another CA", false, "ca.pem", "client-other"}});
}

// Whether a handshake with no newer version than `version` succeeds.
bool Handshakes(int port, int version) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);  // which else forbids the old ones on this side
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool done = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  EXPECT_TRUE(done);
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  done = SSL_connect(ssl) == 1;
  SSL_free(ssl);
  close(fd);
  SSL_CTX_free(context);
  return done;
}

TEST(Tls, SpeaksNoOlderVersionThan12) {
  const Files files;
  const SecureServer server({.tls = files.Server(), .tokens = {}});
  EXPECT_TRUE(Handshakes(server.port, TLS1_3_VERSION));
  EXPECT_TRUE(Handshakes(server.port, TLS1_2_VERSION));
  EXPECT_FALSE(Handshakes(server.port, TLS1_1_VERSION));
  EXPECT_FALSE(Handshakes(server.port, TLS1_VERSION));
}

struct BadFiles {
  const char* what;
  std::string file;  // that the error names
  std::string words;
  std::function<void(Files&)> spoil;
};

TEST(Tls, FilesThatAreWrongAreErrorsWithTheirPaths) {
  const std::vector<BadFiles> cases = {
      {"no certificate", "server/certificate.pem", "No such file",
       [](Files& files) { fs::remove(files.root / "server/certificate.pem"); }},
      {"no key", "server/key.pem", "No such file",
       [](Files& files) { fs::remove(files.root / "server/key.pem"); }},
      {"no PEM", "server/certificate.pem", "holds no certificate",
       [](Files& files) { files.Write("server/certificate.pem", "hello\n"); }},
      {"a damaged chain", "server/certificate.pem", "is damaged after 1",
       [](Files& files) {
         const std::string pem = files.ours.certificate();
         files.Write("server/certificate.pem", pem + absl::StrReplaceAll(pem, {{"MII", "XII"}}));
       }},
      {"another's key", "server/key.pem", "is not the key of",
       [](Files& files) { files.Write("server/key.pem", files.ours.Issue(kNames).key); }},
      {"a key with a passphrase", "server/key.pem", "without a passphrase",
       [](Files& files) { files.Write("server/key.pem", Authority::Encrypted("secret")); }},
      {"a certificate in the key's place", "server/key.pem", "holds no private key",
       [](Files& files) { files.Write("server/key.pem", files.ours.certificate()); }},
      {"no CA of clients", "ca.pem", "holds no certificate",
       [](Files& files) { files.Write("ca.pem", ""); }},
  };
  for (const BadFiles& bad : cases) {
    Files files;
    bad.spoil(files);
    const absl::Status status = Credentials::Check({.tls = files.Server("ca.pem"), .tokens = {}});
    EXPECT_FALSE(status.ok()) << bad.what;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("server.tls: ", files.Path(bad.file), ": ")),
                      HasSubstr(bad.words)))
        << bad.what;
  }
}

TEST(Tls, TellsWhenItsCertificatesEnd) {
  Files files;
  const absl::Time end = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) + 3600);
  files.WriteServer(files.ours.Issue(kNames, end));
  const SecureServer server({.tls = files.Server("ca.pem"), .tokens = {}});
  const std::string metrics = server.pipeline.metrics.Serialize();
  EXPECT_THAT(metrics, HasSubstr(absl::StrCat(
                           "proad_certificate_expiry_timestamp_seconds{certificate=\"server\"} ",
                           absl::ToUnixSeconds(end))));
  EXPECT_THAT(metrics, HasSubstr("{certificate=\"client_ca\"}"));
}

void Await(const prometheus::Counter& counter, double value) {
  AwaitTrue("the metric's value", [&] { return counter.Value() >= value; });
}

// The certificate that a new connection is shown.
std::string Shown(const SecureServer& server, const Files& files) {
  client::ChannelOptions options{.address = server.address()};
  EXPECT_TRUE(client::Secure({.ca = files.Path("ca.pem")}, options).ok());
  const auto stub = v1::DetectionService::NewStub(client::Connect(options));
  grpc::ClientContext context;
  v1::DetectResponse response;
  stub->Detect(&context, {}, &response);
  const auto shown = context.auth_context()->FindPropertyValues("x509_pem_cert");
  return shown.empty() ? "" : std::string(shown[0].data(), shown[0].size());
}

TEST(Tls, AReplacedCertificateIsShownToNewConnections) {
  Files files;
  SecureServer server({.tls = files.Server(), .tokens = {}, .pause = absl::Milliseconds(1)});
  const CertifiedKey next = files.ours.Issue(kNames);
  EXPECT_NE(Shown(server, files), next.certificate);
  files.WriteServer(next);
  Await(server.pipeline.metrics.certificate_reloads.ok, 1);
  EXPECT_EQ(Shown(server, files), next.certificate);
}

TEST(Tls, AReplacementThatIsWrongChangesNothing) {
  Files files;
  SecureServer server({.tls = files.Server(), .tokens = {}, .pause = absl::Milliseconds(1)});
  const std::string before = Shown(server, files);
  const prometheus::Counter& failed = server.pipeline.metrics.certificate_reloads.failed;
  double refused = 0;
  for (const CertifiedKey& wrong : {
           CertifiedKey{files.ours.Issue(kNames).certificate, files.ours.Issue(kNames).key},
           CertifiedKey{"", ""},
           files.ours.Issue(kNames, absl::Now() - absl::Hours(1)),
       }) {
    files.WriteServer(wrong);
    Await(failed, ++refused);
    EXPECT_EQ(Shown(server, files), before);
  }
  const CertifiedKey good = files.ours.Issue(kNames);
  files.WriteServer(good);
  Await(server.pipeline.metrics.certificate_reloads.ok, 1);
  EXPECT_EQ(failed.Value(), refused);
  EXPECT_EQ(Shown(server, files), good.certificate);
}

TEST(Tls, NoCallFailsWhileCertificateAndTokensAreReplaced) {
  Files files;
  files.Write("tokens", TokenLines());
  files.Write("token", kDetectToken);
  SecureServer server(
      {.tls = files.Server(), .tokens = files.root / "tokens", .pause = absl::Milliseconds(1)});
  const client::SecurityOptions security{.ca = files.Path("ca.pem"),
                                         .token_file = files.Path("token")};
  std::atomic<bool> over = false;
  struct Caller {
    int calls_per_connection;
    std::atomic<int> answered = 0;
    std::thread thread;
  };
  std::array<Caller, 3> callers = {Caller{1}, Caller{3}, Caller{1'000'000}};
  const auto load = [&](Caller& caller) {
    v1::DetectRequest request;
    request.set_encoded(MarkedBmp(1));
    while (!over) {
      client::ChannelOptions options{.address = server.address()};
      ASSERT_TRUE(client::Secure(security, options).ok());
      // One attempt a call: a retry would hide what this is about.
      const client::DetectionClient client(options, {.retry = {.max_attempts = 1}});
      for (int i = 0; i < caller.calls_per_connection && !over; ++i) {
        const auto detection = client.Detect(request);
        ASSERT_TRUE(detection.ok()) << client::Describe(detection.status());
        ++caller.answered;
      }
    }
  };
  for (Caller& caller : callers) caller.thread = std::thread(load, std::ref(caller));

  const Metrics& metrics = server.pipeline.metrics;
  // Until every caller has begun a call and seen its end: what was under way before is over then.
  const auto answer_some = [&] {
    for (Caller& caller : callers) {
      const int target = caller.answered + 2;
      AwaitTrue("two more answers to each caller",
                [&] { return caller.answered >= target || ::testing::Test::HasFailure(); });
    }
  };
  for (int round = 1; round <= 3; ++round) {
    answer_some();
    files.WriteServer(files.ours.Issue(kNames));
    // The new token is known before anybody sends it, and the old one as long as somebody may.
    const std::string token = absl::StrCat("proad_token-of-round-", round);
    const std::string before = testing::ReadText(files.root / "tokens");
    files.Write("tokens", before + TokenLine("line-4", Role::kDetect, token));
    Await(metrics.token_reloads.ok, 2 * round - 1);
    files.Write("token", token);
    Await(metrics.certificate_reloads.ok, round);
    answer_some();
    files.Write("tokens", TokenLine("line-4", Role::kDetect, token));
    Await(metrics.token_reloads.ok, 2 * round);
  }
  answer_some();
  over = true;
  for (Caller& caller : callers) caller.thread.join();
  EXPECT_EQ(metrics.auth_failures.unknown.Value(), 0);
}

TEST(Secure, RefusesToSendATokenInPlainText) {
  const Files files;
  files.Write("token", "proad_secret");
  client::ChannelOptions options{.address = "inspect.example:50051"};
  const absl::Status status = client::Secure({.token_file = files.Path("token")}, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  options.address = "127.0.0.1:50051";
  EXPECT_TRUE(client::Secure({.token_file = files.Path("token")}, options).ok());
  options.address = "inspect.example:50051";
  EXPECT_TRUE(
      client::Secure({.ca = files.Path("ca.pem"), .token_file = files.Path("token")}, options)
          .ok());
}

TEST(Secure, NamesFilesThatAreWrongAndNotWhatTheyHold) {
  const Files files;
  files.Write("secret", "proad_one proad_two");
  const std::vector<std::pair<client::SecurityOptions, std::string>> cases = {
      {{.ca = files.Path("none")}, "none: cannot be read: No such file"},
      {{.ca = files.Path("secret")}, "secret: holds no certificate"},
      {{.ca = files.Path("ca.pem"), .certificate = files.Path("client.pem")}, "go together"},
      {{.server_name = "localhost"}, "TLS is not enabled"},
      {{.token_file = files.Path("none")}, "none: cannot be read: No such file"},
      {{.token_file = files.Path("secret")}, "secret: holds no token"},
      {{.token_file = files.root.path().string()}, "cannot be read"},
  };
  for (const auto& [security, words] : cases) {
    client::ChannelOptions options{.address = "localhost:1"};
    const absl::Status status = client::Secure(security, options);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("proad_")));
  }
}

TEST(Secure, KnowsThisMachine) {
  for (const char* address :
       {"localhost:1", "127.0.0.1:1", "127.8.8.8:50051", "[::1]:1", "unix:/run/proad",
        "dns:///localhost:1", "ipv4:127.0.0.1:1,127.0.0.2:1"}) {
    EXPECT_TRUE(client::IsLoopback(address)) << address;
  }
  for (const char* address :
       {"10.0.0.1:1", "localhost.example:1", "127.0.0.1.example:1", "127.0.0:1", "[::]:1",
        "0.0.0.0:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "inspect:1", ""}) {
    EXPECT_FALSE(client::IsLoopback(address)) << address;
  }
}

}  // namespace
}  // namespace proad::server
