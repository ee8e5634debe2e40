#include "server/rpc/health_service.h"

#include <utility>

namespace proad::server {

// One Watch call: sends the status of a service, and every change. Statuses that change again
// before they are written are skipped.
class HealthService::Watch : public grpc::ServerWriteReactor<Response> {
 public:
  Watch(HealthService& health, std::string service)
      : health_(health), service_(std::move(service)) {}

  void Start() {
    MutexLock lock(health_.mutex_);
    health_.watches_.insert(this);
    const auto status = health_.statuses_.find(service_);
    latest_ = status == health_.statuses_.end() ? kServiceUnknown : status->second;
    if (health_.watches_ended_) end_ = true;
    Continue();
  }

  const std::string& service() const { return service_; }

  // Both need the lock of the service.
  void Send(Status status) {
    latest_ = status;
    Continue();
  }
  void End() {
    end_ = true;
    Continue();
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(health_.mutex_);
    writing_ = false;
    if (!ok) end_ = true;
    Continue();
  }
  void OnCancel() override {
    MutexLock lock(health_.mutex_);
    End();
  }
  void OnDone() override {
    {
      MutexLock lock(health_.mutex_);
      health_.watches_.erase(this);
    }
    delete this;
  }

 private:
  // Starts the next operation, if there is one. Needs the lock of the service.
  void Continue() {
    if (writing_ || finished_) return;
    if (end_) {
      finished_ = true;
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down"));
    } else if (latest_ != sent_) {
      sent_ = latest_;
      writing_ = true;
      response_.set_value(sent_);
      StartWrite(&response_);
    }
  }

  HealthService& health_;
  const std::string service_;
  Response response_;
  int latest_ = 0;
  int sent_ = 0;  // 0: none
  bool writing_ = false;
  bool end_ = false;
  bool finished_ = false;
};

HealthService::HealthService(const std::vector<std::string>& services) {
  statuses_[""] = kNotServing;
  for (const std::string& service : services) statuses_[service] = kNotServing;
  // As generated code does.
  using grpc::internal::RpcMethod;
  AddMethod(new grpc::internal::RpcServiceMethod("/grpc.health.v1.Health/Check",
                                                 RpcMethod::NORMAL_RPC, nullptr));
  MarkMethodCallback(0,
                     new grpc::internal::CallbackUnaryHandler<Request, Response>(
                         [this](grpc::CallbackServerContext* context, const Request* request,
                                Response* response) { return Check(context, request, response); }));
  AddMethod(new grpc::internal::RpcServiceMethod("/grpc.health.v1.Health/Watch",
                                                 RpcMethod::SERVER_STREAMING, nullptr));
  MarkMethodCallback(1, new grpc::internal::CallbackServerStreamingHandler<Request, Response>(
                            [this](grpc::CallbackServerContext*, const Request* request) {
                              auto* watch = new Watch(*this, request->value());
                              watch->Start();
                              return watch;
                            }));
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const Request* request, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  grpc::Status status;
  {
    MutexLock lock(mutex_);
    const auto found = statuses_.find(request->value());
    if (found == statuses_.end()) {
      status = grpc::Status(grpc::StatusCode::NOT_FOUND, "this server has no such service");
    } else {
      response->set_value(found->second);
    }
  }
  reactor->Finish(status);
  return reactor;
}

void HealthService::SetServing(const std::string& service, bool serving) {
  MutexLock lock(mutex_);
  if (!shut_down_) Set(service, serving ? kServing : kNotServing);
}

void HealthService::Set(const std::string& service, Status status) {
  const auto found = statuses_.find(service);
  if (found == statuses_.end() || found->second == status) return;
  found->second = status;
  for (Watch* watch : watches_) {
    if (watch->service() == service) watch->Send(status);
  }
}

void HealthService::Shutdown() {
  MutexLock lock(mutex_);
  shut_down_ = true;
  for (const auto& [service, status] : statuses_) Set(service, kNotServing);
}

void HealthService::EndWatches() {
  MutexLock lock(mutex_);
  watches_ended_ = true;
  for (Watch* watch : watches_) watch->End();
}

}  // namespace proad::server
