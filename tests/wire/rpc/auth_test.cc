// Who may call what, over a real connection.
#include "server/rpc/auth.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/rpc/credentials.h"
#include "tests/support/pictures.h"
#include "tests/support/raw_call.h"
#include "tests/support/sync.h"
#include "tests/support/tokens.h"
#include "tests/support/training_server.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The role that each RPC needs, as in deploy/README.md, "Access control".
const std::map<std::string, Role> kExpected = {
    {"proad.v1.DetectionService.Detect", Role::kDetect},
    {"proad.v1.DetectionService.DetectStream", Role::kDetect},
    {"proad.v1.ModelService.ListModels", Role::kDetect},
    {"proad.v1.ModelService.GetModel", Role::kDetect},
    {"proad.v1.ModelService.LoadModel", Role::kAdmin},
    {"proad.v1.ModelService.ActivateModel", Role::kAdmin},
    {"proad.v1.ModelService.RollbackModel", Role::kAdmin},
    {"proad.v1.ModelService.UnloadModel", Role::kAdmin},
    {"proad.v1.ModelService.DeleteModel", Role::kAdmin},
    {"proad.v1.ModelService.Calibrate", Role::kAdmin},
    {"proad.v1.TrainingService.CreateTrainJob", Role::kTrain},
    {"proad.v1.TrainingService.GetTrainJob", Role::kTrain},
    {"proad.v1.TrainingService.ListTrainJobs", Role::kTrain},
    {"proad.v1.TrainingService.CancelTrainJob", Role::kTrain},
    {"proad.v1.TrainingService.ResumeTrainJob", Role::kTrain},
    {"proad.v1.TrainingService.WatchTrainJob", Role::kTrain},
    {"proad.v1.TrainingService.UploadDataset", Role::kTrain},
};

// Every RPC of the contract, as its files say.
std::vector<const google::protobuf::MethodDescriptor*> Rpcs() {
  std::vector<const google::protobuf::MethodDescriptor*> rpcs;
  for (const google::protobuf::Descriptor* message :
       {v1::DetectRequest::descriptor(), v1::ListModelsRequest::descriptor(),
        v1::CreateTrainJobRequest::descriptor()}) {
    const google::protobuf::FileDescriptor& file = *message->file();
    for (int i = 0; i < file.service_count(); ++i) {
      for (int j = 0; j < file.service(i)->method_count(); ++j) {
        rpcs.push_back(file.service(i)->method(j));
      }
    }
  }
  return rpcs;
}

TEST(Roles, EveryRpcOfTheContractHasOne) {
  const auto rpcs = Rpcs();
  EXPECT_EQ(rpcs.size(), kExpected.size());
  for (const auto* rpc : rpcs) {
    const auto expected = kExpected.find(rpc->full_name());
    ASSERT_NE(expected, kExpected.end())
        << rpc->full_name() << " needs a role, here and in auth.cc";
    EXPECT_EQ(RoleFor(rpc->full_name()), expected->second) << rpc->full_name();
  }
}

TEST(Roles, HealthAndReflectionAreForEverybodyAndTheRestForNobody) {
  EXPECT_EQ(RoleFor("grpc.health.v1.Health.Check"), Role::kNone);
  EXPECT_EQ(RoleFor("grpc.health.v1.Health.Watch"), Role::kNone);
  EXPECT_EQ(RoleFor("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo"), Role::kNone);
  EXPECT_EQ(RoleFor("proad.v1.ModelService.Invented"), Role::kNobody);
  EXPECT_EQ(RoleFor(""), Role::kNobody);
}

TEST(Roles, AnRpcWithoutARoleIsRefusedEvenWhereNoTokensAreAskedFor) {
  Metrics metrics;
  Authorizer authorizer(metrics);
  const grpc::ServerContext context;
  EXPECT_TRUE(absl::IsPermissionDenied(
      authorizer.Admit(context, "proad.v1.ModelService.Invented").status()));
}

// What a caller shows, and what becomes of it.
struct Shown {
  std::string authorization;
  Role role = Role::kNone;
  std::string reason;  // of UNAUTHENTICATED
};

const std::vector<Shown> kShown = {
    {"", Role::kNone, "TOKEN_MISSING"},
    {"Bearer wrong", Role::kNone, "TOKEN_UNKNOWN"},
    {absl::StrCat("Bearer ", kAdminToken, "x"), Role::kNone, "TOKEN_UNKNOWN"},
    {absl::StrCat("Bearer ", TokenTable::DigestOf(kAdminToken)), Role::kNone, "TOKEN_UNKNOWN"},
    {absl::StrCat("Bearer ", std::string(TokenTable::kMaxToken + 1, 'x')), Role::kNone,
     "TOKEN_MALFORMED"},
    {"Bearer ", Role::kNone, "TOKEN_MALFORMED"},
    {"Basic b3BzOm9wcw==", Role::kNone, "TOKEN_MALFORMED"},
    {kAdminToken, Role::kNone, "TOKEN_MALFORMED"},
    {absl::StrCat("Bearer ", kDetectToken), Role::kDetect, ""},
    {absl::StrCat("Bearer ", kTrainToken), Role::kTrain, ""},
    {absl::StrCat("bearer ", kAdminToken), Role::kAdmin, ""},
};

class AuthTest : public TrainingTest {
 protected:
  AuthTest() {
    testing::WriteText(tokens_, TokenLines());
    WriteFakeVersion(server_.config.store, "pcb", "1");
    server_.config.auth.tokens = tokens_;
    server_.config.auth.reload_pause = absl::Milliseconds(2);
  }
  void StartServer() {
    Start();
    server_.ready.Wait();
    channel_ =
        grpc::CreateChannel(server_.server->grpc_address(), grpc::InsecureChannelCredentials());
  }
  grpc::Status Call(const std::string& rpc, const std::string& authorization) {
    const size_t dot = rpc.rfind('.');
    return CallEmpty(channel_, absl::StrCat("/", rpc.substr(0, dot), "/", rpc.substr(dot + 1)),
                     authorization);
  }

  const std::filesystem::path tokens_ = server_.root / "tokens";
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(AuthTest, EveryRpcTakesItsRoleAndNoOther) {
  StartServer();
  for (const auto* rpc : Rpcs()) {
    const Role needed = kExpected.at(rpc->full_name());
    for (const Shown& shown : kShown) {
      SCOPED_TRACE(absl::StrCat(rpc->full_name(), " with ", shown.authorization));
      const grpc::Status status = Call(rpc->full_name(), shown.authorization);
      if (shown.role == Role::kNone) {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
        EXPECT_EQ(ReasonOf(DetailsOf(status)), shown.reason);
      } else if (shown.role < needed) {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
            << status.error_message();
        EXPECT_EQ(ReasonOf(DetailsOf(status)), "ROLE_INSUFFICIENT");
        EXPECT_THAT(status.error_message(), HasSubstr(std::string(NameOf(needed))));
      } else {
        // Whatever the call itself has to say to an empty message.
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
        EXPECT_NE(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
            << status.error_message();
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
      }
      EXPECT_THAT(status.error_message(), Not(HasSubstr("proad_")));
    }
  }
}

TEST_F(AuthTest, HealthAndReflectionAskForNoToken) {
  StartServer();
  EXPECT_TRUE(Call("grpc.health.v1.Health.Check", "").ok());
  EXPECT_TRUE(Call("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo", "").ok());
}

TEST_F(AuthTest, ReflectionCanBeSwitchedOff) {
  server_.config.endpoint.reflection = false;
  StartServer();
  EXPECT_EQ(Call("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(Call("grpc.health.v1.Health.Check", "").ok());
}

TEST_F(AuthTest, WhoMayTrainDoesNotDecideWhatServes) {
  StartServer();
  v1::CreateTrainJobRequest request;
  *request.mutable_spec() = TrainingServer::Spec();
  request.mutable_spec()->set_activate_on_success(true);
  request.set_validate_only(true);
  const auto create = [&](const std::string& token) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    v1::CreateTrainJobResponse response;
    return server_.training->CreateTrainJob(&context, request, &response);
  };
  const grpc::Status refused = create(kTrainToken);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReasonOf(DetailsOf(refused)), "ROLE_INSUFFICIENT");
  const grpc::Status admitted = create(kAdminToken);
  EXPECT_TRUE(admitted.ok()) << admitted.error_message();
  request.mutable_spec()->set_activate_on_success(false);
  EXPECT_TRUE(create(kTrainToken).ok());
}

TEST_F(AuthTest, ResumingAJobThatActivatesNeedsTheRoleOfActivateModel) {
  StartServer();
  const auto as = [](grpc::ClientContext& context, const std::string& token) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  };
  const auto failed_job = [&](bool activate) {
    v1::CreateTrainJobRequest create;
    *create.mutable_spec() = With(TrainingServer::Spec(), testing::kFakeError, "INTERNAL");
    create.mutable_spec()->set_activate_on_success(activate);
    grpc::ClientContext creating;
    as(creating, kAdminToken);
    v1::CreateTrainJobResponse created;
    const grpc::Status status = server_.training->CreateTrainJob(&creating, create, &created);
    EXPECT_TRUE(status.ok()) << status.error_message();
    grpc::ClientContext watching;
    as(watching, kTrainToken);
    watching.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    v1::WatchTrainJobRequest watch;
    watch.set_job_id(created.job().job_id());
    const auto reader = server_.training->WatchTrainJob(&watching, watch);
    v1::WatchTrainJobResponse response;
    while (reader->Read(&response)) {
    }
    EXPECT_TRUE(reader->Finish().ok()) << "the job did not end within two minutes";
    EXPECT_EQ(response.job().state(), v1::TRAIN_JOB_STATE_FAILED);
    return created.job().job_id();
  };
  const auto resume = [&](const std::string& id, const std::string& token) {
    grpc::ClientContext context;
    as(context, token);
    v1::ResumeTrainJobRequest request;
    request.set_job_id(id);
    v1::ResumeTrainJobResponse response;
    return server_.training->ResumeTrainJob(&context, request, &response);
  };
  const std::string activates = failed_job(true);
  const grpc::Status refused = resume(activates, kTrainToken);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReasonOf(DetailsOf(refused)), "ROLE_INSUFFICIENT");
  EXPECT_TRUE(resume(activates, kAdminToken).ok());
  EXPECT_TRUE(resume(failed_job(false), kTrainToken).ok());
  EXPECT_EQ(resume("unknown", kTrainToken).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AuthTest, TwoAuthorizationsAreNone) {
  StartServer();
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kAdminToken));
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kDetectToken));
  v1::ListModelsResponse response;
  const grpc::Status status = server_.models->ListModels(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ReasonOf(DetailsOf(status)), "TOKEN_MALFORMED");
}

TEST_F(AuthTest, AFileThatIsWrongAtTheStartIsAnErrorWithItsPath) {
  testing::WriteText(tokens_, "line-4 detect\n");
  const auto started =
      Server::Start(Resolve(server_.config, ThisMachine("cpu")), LoadFake, OnTheCpu);
  EXPECT_TRUE(absl::IsInvalidArgument(started.status())) << started.status();
  EXPECT_THAT(std::string(started.status().message()),
              HasSubstr(absl::StrCat("auth.tokens: ", tokens_.string(), ":1: ")));
}

// The table of tokens in a file that changes.
class TokenReload : public ::testing::Test {
 protected:
  TokenReload() { SetLogLevel(LogLevel::kOff); }

  void Load(const std::string& text) {
    Replace(text);
    auto loaded = Credentials::Load({.tls = {}, .tokens = tokens_, .pause = absl::Milliseconds(1)},
                                    authorizer_, metrics_);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    credentials_ = *std::move(loaded);
  }
  void Replace(const std::string& text) {
    testing::WriteText(root_ / "draft", text);
    std::filesystem::rename(root_ / "draft", tokens_);
  }
  static void Await(const prometheus::Counter& counter, double value) {
    AwaitTrue("the metric's value", [&] { return counter.Value() >= value; });
  }
  bool Known(const std::string& token) {
    const Caller caller{.token_sha256 = TokenTable::DigestOf(token)};
    return authorizer_.StillAllowed(caller, "proad.v1.DetectionService.Detect").ok();
  }

  const testing::TempDirectory root_;
  const std::filesystem::path tokens_ = root_ / "tokens";
  Metrics metrics_;
  Authorizer authorizer_{metrics_};
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(TokenReload, TakesAFileThatWasReplaced) {
  Load(TokenLine("a", Role::kDetect, "old"));
  EXPECT_TRUE(Known("old"));
  Replace(TokenLine("a", Role::kDetect, "old") + TokenLine("a", Role::kDetect, "new"));
  Await(metrics_.token_reloads.ok, 1);
  EXPECT_TRUE(Known("old"));
  EXPECT_TRUE(Known("new"));
  Replace(TokenLine("a", Role::kDetect, "new"));
  Await(metrics_.token_reloads.ok, 2);
  EXPECT_FALSE(Known("old"));
  EXPECT_TRUE(Known("new"));
}

TEST_F(TokenReload, KeepsTheTableWhenTheFileIsBroken) {
  Load(TokenLine("a", Role::kDetect, "old"));
  double failed = 0;
  for (const char* broken : {"", "a detect", "a detect proad_token"}) {
    Replace(broken);
    Await(metrics_.token_reloads.failed, ++failed);
    EXPECT_TRUE(Known("old")) << broken;
  }
  std::filesystem::remove(tokens_);
  Await(metrics_.token_reloads.failed, ++failed);
  EXPECT_TRUE(Known("old"));
  Replace(TokenLine("a", Role::kDetect, "new"));
  Await(metrics_.token_reloads.ok, 1);
  EXPECT_TRUE(Known("new"));
}

TEST_F(TokenReload, WritesNoTokenIntoTheLog) {
  ::testing::internal::CaptureStderr();
  SetLogLevel(LogLevel::kDebug);
  Load(TokenLine("a", Role::kDetect, "proad_good"));
  Replace("a detect proad_misplaced\nproad_misplaced detect x\n");
  Await(metrics_.token_reloads.failed, 1);
  EXPECT_FALSE(Known("proad_presented"));
  credentials_.reset();  // Waits for the reload, which counts before it logs.
  SetLogLevel(LogLevel::kOff);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("the new tokens are not used"));
  EXPECT_THAT(log, HasSubstr("call refused"));
  EXPECT_THAT(log, Not(HasSubstr("proad_")));
}

// The detect path alone.
class DetectAuth : public ::testing::Test {
 protected:
  DetectAuth() {
    SetLogLevel(LogLevel::kOff);
    server_.authorizer.SetTable(TokenTable::Parse(TokenLines(), "tokens").value());
  }

  WireServer server_;
};

TEST_F(DetectAuth, NothingOfAPictureIsDoneForWhoMayNotCall) {
  v1::DetectRequest request;
  request.set_encoded(MarkedBmp(1));
  v1::DetectResponse response;
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    EXPECT_EQ(server_.stub->Detect(&context, request, &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  const std::string metrics = server_.pipeline.metrics.Serialize();
  EXPECT_THAT(metrics, HasSubstr("proad_auth_failures_total{reason=\"missing\"} 3\n"));
  EXPECT_THAT(metrics,
              HasSubstr("proad_requests_total{code=\"UNAUTHENTICATED\",rpc=\"Detect\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("proad_stage_seconds_count{stage=\"queue\"} 0"));
  EXPECT_THAT(metrics, HasSubstr("proad_stage_seconds_count{stage=\"preprocess\"} 0"));
}

TEST_F(DetectAuth, ATokenThatIsWithdrawnEndsItsStream) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", kDetectToken));
  const auto stream = server_.stub->DetectStream(&context);
  v1::DetectStreamRequest frame;
  frame.mutable_request()->set_encoded(MarkedBmp(1));
  v1::DetectStreamResponse answer;
  ASSERT_TRUE(stream->Write(frame));
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_TRUE(answer.has_detection()) << answer.error().message();

  server_.authorizer.SetTable(
      TokenTable::Parse(TokenLine("ops", Role::kAdmin, kAdminToken), "tokens").value());
  stream->Write(frame);
  EXPECT_FALSE(stream->Read(&answer)) << "a frame was inspected for a token that is withdrawn";
  const grpc::Status end = stream->Finish();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ReasonOf(DetailsOf(end)), "TOKEN_UNKNOWN");
}

}  // namespace
}  // namespace proad::server
