// Authorization: the table of roles that the RPCs take, and the check that every call passes first.
//
// A client sends "authorization: Bearer TOKEN". gRPC's callback API delivers a unary request after
// reading it; the check comes before decoding, admission and every lookup. A stream is checked
// before its first message is read.
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

// The lowest role that may call an RPC, named "package.Service.Method". kNone: every client may.
// kNobody: the table does not have the RPC.
Role RoleFor(absl::string_view rpc);

// The client of an admitted call.
struct Caller {
  std::string name;          // "" when the server asks for no tokens
  Role role = Role::kAdmin;  // at the begin of the call
  std::string token_sha256;  // "" when the server asks for no tokens
};

// Thread-safety: all methods may be called from any thread.
class Authorizer {
 public:
  // Admits calls without tokens until SetTable.
  explicit Authorizer(Metrics& metrics) : metrics_(metrics) {}

  // Takes effect for every call that begins afterwards.
  void SetTable(TokenTable table);

  // The caller of `rpc`. Takes the role of the table or `needed`, whichever is higher.
  //   UNAUTHENTICATED    TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN
  //   PERMISSION_DENIED  ROLE_INSUFFICIENT
  // Counts refusals, and logs at most one a second.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, absl::string_view rpc,
                               Role needed = Role::kNone);

  // Whether the caller of a call that was admitted may still call: for streams. Errors as of Admit.
  absl::Status StillAllowed(const Caller& caller, absl::string_view rpc);

 private:
  std::shared_ptr<const TokenTable> table();
  absl::Status Refuse(const absl::Status& why, prometheus::Counter& counter, absl::string_view rpc,
                      const std::string& name, const std::string& peer);

  Metrics& metrics_;
  Mutex mutex_;
  std::shared_ptr<const TokenTable> table_ ABSL_GUARDED_BY(mutex_);  // null: none asked
  absl::Time next_line_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t unlogged_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Authorizes and counts the calls of one RPC. A service owns one per method.
//
// Thread-safety: all methods may be called from any thread.
class RpcGuard {
 public:
  // `service` with its package, for example "proad.v1.ModelService".
  RpcGuard(Authorizer& authorizer, Metrics& metrics, absl::string_view service,
           const std::string& method);

  // As Authorizer::Admit. A refusal counts as an answer of the RPC.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, Role needed = Role::kNone);
  absl::Status StillAllowed(const Caller& caller) { return authorizer_.StillAllowed(caller, rpc_); }

  RpcMetrics& metrics() { return metrics_; }

 private:
  Authorizer& authorizer_;
  const std::string rpc_;
  RpcMetrics metrics_;
};

}  // namespace proad::server
