#include "server/rpc/auth.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

struct RpcRole {
  absl::string_view rpc;
  Role role;
  bool logged = false;  // the log names the caller of each call
};

// Reading calls take "detect": a client that sends images may ask which model serves. Calls that
// change the active version, the versions in memory or the store take "admin".
constexpr std::array kRpcRoles = {
    RpcRole{"proad.v1.DetectionService.Detect", Role::kDetect},
    RpcRole{"proad.v1.DetectionService.DetectStream", Role::kDetect},

    RpcRole{"proad.v1.ModelService.ListModels", Role::kDetect},
    RpcRole{"proad.v1.ModelService.GetModel", Role::kDetect},
    RpcRole{"proad.v1.ModelService.LoadModel", Role::kAdmin, true},
    RpcRole{"proad.v1.ModelService.ActivateModel", Role::kAdmin, true},
    RpcRole{"proad.v1.ModelService.RollbackModel", Role::kAdmin, true},
    RpcRole{"proad.v1.ModelService.UnloadModel", Role::kAdmin, true},
    RpcRole{"proad.v1.ModelService.DeleteModel", Role::kAdmin, true},
    RpcRole{"proad.v1.ModelService.Calibrate", Role::kAdmin, true},

    RpcRole{"proad.v1.TrainingService.CreateTrainJob", Role::kTrain, true},
    RpcRole{"proad.v1.TrainingService.GetTrainJob", Role::kTrain},
    RpcRole{"proad.v1.TrainingService.ListTrainJobs", Role::kTrain},
    RpcRole{"proad.v1.TrainingService.CancelTrainJob", Role::kTrain, true},
    RpcRole{"proad.v1.TrainingService.ResumeTrainJob", Role::kTrain, true},
    RpcRole{"proad.v1.TrainingService.WatchTrainJob", Role::kTrain},
    RpcRole{"proad.v1.TrainingService.UploadDataset", Role::kTrain, true},

    // gRPC's own services, without a check: load balancers have no token. Reflection shows the
    // contents of proto/ only, and the configuration can turn it off.
    RpcRole{"grpc.health.v1.Health.Check", Role::kNone},
    RpcRole{"grpc.health.v1.Health.Watch", Role::kNone},
    RpcRole{"grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo", Role::kNone},
};

constexpr char kHeader[] = "authorization";
constexpr absl::string_view kScheme = "Bearer ";
constexpr absl::Duration kLogPause = absl::Seconds(1);

const RpcRole* FindRpc(absl::string_view rpc) {
  const auto* const found = std::find_if(kRpcRoles.begin(), kRpcRoles.end(),
                                         [&](const RpcRole& role) { return role.rpc == rpc; });
  return found == kRpcRoles.end() ? nullptr : found;
}

absl::Status Unauthenticated(const char* reason, absl::string_view message) {
  return MakeError(absl::StatusCode::kUnauthenticated, message, {.reason = reason});
}

absl::Status MissingToken() {
  return Unauthenticated(reason::kTokenMissing,
                         "this server asks for a token: send \"authorization: Bearer TOKEN\"");
}

absl::Status MalformedToken() {
  return Unauthenticated(reason::kTokenMalformed,
                         "the authorization header is not one \"Bearer TOKEN\" with a token of "
                         "this server");
}

absl::Status UnknownToken() {
  return Unauthenticated(
      reason::kTokenUnknown,
      "this server does not know the token: it is mistyped, withdrawn, or of another "
      "server");
}

absl::Status TooLittle(absl::string_view rpc, Role needed, const TokenTable::Entry& entry) {
  if (needed == Role::kNobody) {
    return MakeError(absl::StatusCode::kPermissionDenied,
                     absl::StrCat(rpc, " has no role in this server; no token allows it"),
                     {.reason = reason::kRoleInsufficient});
  }
  return MakeError(absl::StatusCode::kPermissionDenied,
                   absl::StrCat("the token of ", entry.name, " has the role ", NameOf(entry.role),
                                "; ", rpc, " takes ", NameOf(needed)),
                   {.reason = reason::kRoleInsufficient,
                    .metadata = {{"role", std::string(NameOf(entry.role))},
                                 {"needed", std::string(NameOf(needed))}}});
}

// The values of a call's authorization header. Must not outlive the call.
std::vector<absl::string_view> AuthorizationsOf(const grpc::ServerContextBase& context) {
  std::vector<absl::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range(kHeader);
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return values;
}

// The token of one "Bearer TOKEN"; nullopt for anything else. HTTP compares the scheme without
// case.
std::optional<absl::string_view> ParseToken(const std::vector<absl::string_view>& values) {
  if (values.size() != 1 || !absl::StartsWithIgnoreCase(values[0], kScheme)) return std::nullopt;
  const absl::string_view token = values[0].substr(kScheme.size());
  if (token.empty() || token.size() > TokenTable::kMaxToken) return std::nullopt;
  return token;
}

}  // namespace

Role RoleFor(absl::string_view rpc) {
  const RpcRole* const found = FindRpc(rpc);
  return found == nullptr ? Role::kNobody : found->role;
}

void Authorizer::SetTable(TokenTable table) {
  auto next = std::make_shared<const TokenTable>(std::move(table));
  MutexLock lock(mutex_);
  table_.swap(next);
}

std::shared_ptr<const TokenTable> Authorizer::table() {
  MutexLock lock(mutex_);
  return table_;
}

absl::StatusOr<Caller> Authorizer::Admit(const grpc::ServerContextBase& context,
                                         absl::string_view rpc, Role needed) {
  needed = std::max(needed, RoleFor(rpc));
  const std::shared_ptr<const TokenTable> known = table();
  const AuthFailures& failures = metrics_.auth_failures;
  if (known == nullptr) {
    if (needed < Role::kNobody) return Caller{};
    return Refuse(TooLittle(rpc, needed, {}), failures.role, rpc, "", context.peer());
  }
  const std::vector<absl::string_view> authorizations = AuthorizationsOf(context);
  if (authorizations.empty()) {
    return Refuse(MissingToken(), failures.missing, rpc, "", context.peer());
  }
  const std::optional<absl::string_view> token = ParseToken(authorizations);
  if (!token) return Refuse(MalformedToken(), failures.malformed, rpc, "", context.peer());
  std::string digest = TokenTable::DigestOf(*token);
  const TokenTable::Entry* const entry = known->FindDigest(digest);
  if (entry == nullptr) {
    return Refuse(UnknownToken(), failures.unknown, rpc, "", context.peer());
  }
  if (entry->role < needed) {
    return Refuse(TooLittle(rpc, needed, *entry), failures.role, rpc, entry->name, context.peer());
  }
  if (const RpcRole* const found = FindRpc(rpc); found != nullptr && found->logged) {
    Log(LogLevel::kInfo, "call admitted",
        {{"rpc", rpc}, {"caller", entry->name}, {"peer", context.peer()}});
  }
  return Caller{.name = entry->name, .role = entry->role, .token_sha256 = std::move(digest)};
}

absl::Status Authorizer::StillAllowed(const Caller& caller, absl::string_view rpc) {
  const std::shared_ptr<const TokenTable> known = table();
  if (known == nullptr) return absl::OkStatus();
  const TokenTable::Entry* const entry = known->FindDigest(caller.token_sha256);
  const AuthFailures& failures = metrics_.auth_failures;
  if (entry == nullptr) return Refuse(UnknownToken(), failures.unknown, rpc, caller.name, "");
  const Role needed = RoleFor(rpc);
  if (entry->role >= needed) return absl::OkStatus();
  return Refuse(TooLittle(rpc, needed, *entry), failures.role, rpc, caller.name, "");
}

absl::Status Authorizer::Refuse(const absl::Status& why, prometheus::Counter& counter,
                                absl::string_view rpc, const std::string& name,
                                const std::string& peer) {
  counter.Increment();
  int64_t unlogged = 0;
  {
    MutexLock lock(mutex_);
    const absl::Time now = absl::Now();
    if (now < next_line_) {
      ++unlogged_;
      return why;
    }
    next_line_ = now + kLogPause;
    unlogged = std::exchange(unlogged_, 0);
  }
  Log(LogLevel::kWarning, "call refused",
      {{"reason", GetDetails(why).reason},
       {"rpc", rpc},
       {"caller", name},
       {"peer", peer},
       {"more_since_last_line", unlogged}});
  return why;
}

RpcGuard::RpcGuard(Authorizer& authorizer, Metrics& metrics, absl::string_view service,
                   const std::string& method)
    : authorizer_(authorizer),
      rpc_(absl::StrCat(service, ".", method)),
      metrics_(metrics, method) {}

absl::StatusOr<Caller> RpcGuard::Admit(const grpc::ServerContextBase& context, Role needed) {
  absl::StatusOr<Caller> caller = authorizer_.Admit(context, rpc_, needed);
  if (!caller.ok()) metrics_.Answered(caller.status().code(), absl::ZeroDuration());
  return caller;
}

}  // namespace proad::server
