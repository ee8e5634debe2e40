// Who may call what: the one table of roles, and the check that every call passes first.
//
// A caller sends "authorization: Bearer TOKEN". gRPC's callback API hands a unary request over when
// it is read, so the check stands before everything else that is done with it: nothing is decoded,
// counted in admission or looked up for a caller who may not. A stream is checked before anything
// of it is read.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/rpc/token_table.h"
#include "server/telemetry/metrics.h"
#include "server/util/mutex.h"

namespace proad::server {

// What an RPC, named "package.Service.Method", takes at least. kNone: everybody may call it.
// kNobody: it is not in the table.
Role RoleFor(absl::string_view rpc);

// Somebody who was admitted.
struct Caller {
  std::string name;          // "" where no tokens are asked for
  Role role = Role::kAdmin;  // as of when the call began
  std::string token_sha256;  // "" where no tokens are asked for
};

// Thread-safety: any thread, any time.
class Authorizer {
 public:
  // Asks for no tokens until SetTable.
  explicit Authorizer(Metrics& metrics) : metrics_(metrics) {}

  // Takes effect for every call that begins after it.
  void SetTable(TokenTable table);

  // Who calls, if he may. `needed`: at least this role, beyond what the table says.
  //   UNAUTHENTICATED    TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN
  //   PERMISSION_DENIED  ROLE_INSUFFICIENT
  // Refusals are counted, and logged once a second at most.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, absl::string_view rpc,
                               Role needed = Role::kNone);

  // Whether somebody who was admitted would be still: for calls that last. Errors as of Admit.
  absl::Status StillAllowed(const Caller& caller, absl::string_view rpc);

 private:
  std::shared_ptr<const TokenTable> table();
  absl::Status Refuse(const absl::Status& why, prometheus::Counter& counter, absl::string_view rpc,
                      const std::string& name, const std::string& peer);

  Metrics& metrics_;
  Mutex mutex_;
  std::shared_ptr<const TokenTable> table_ ABSL_GUARDED_BY(mutex_);  // null: no tokens
  absl::Time next_line_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t unlogged_ ABSL_GUARDED_BY(mutex_) = 0;
};

// What the calls of one RPC pass and are counted by. A service owns one for each of its methods.
// Thread-safety: any thread, any time.
class RpcGuard {
 public:
  // `service` with its package, for example "proad.v1.ModelService".
  RpcGuard(Authorizer& authorizer, Metrics& metrics, absl::string_view service,
           const std::string& method);

  // As Authorizer::Admit. A refusal counts as an answer.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, Role needed = Role::kNone);
  absl::Status StillAllowed(const Caller& caller) { return authorizer_.StillAllowed(caller, rpc_); }

  RpcMetrics& metrics() { return metrics_; }

 private:
  Authorizer& authorizer_;
  const std::string rpc_;
  RpcMetrics metrics_;
};

}  // namespace proad::server
