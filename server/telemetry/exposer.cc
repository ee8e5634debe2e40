#include "server/telemetry/exposer.h"

#include <httplib.h>
#include <prometheus/text_serializer.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace proad::server {
namespace {

// One for the scrape and one for another reader.
constexpr size_t kThreads = 2;
constexpr char kTextFormat[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

Exposer::Exposer(std::shared_ptr<const prometheus::Collectable> collectable)
    : server_(std::make_unique<httplib::Server>()) {
  // Replaces the library's SO_REUSEPORT, with which two servers would share a port unnoticed.
  server_->set_socket_options([](socket_t socket) {
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  server_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server_->Get("/metrics", [collectable = std::move(collectable)](const httplib::Request&,
                                                                  httplib::Response& response) {
    response.set_content(prometheus::TextSerializer().Serialize(collectable->Collect()),
                         kTextFormat);
  });
}

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(
    absl::string_view address, std::shared_ptr<const prometheus::Collectable> collectable) {
  const size_t colon = address.rfind(':');
  absl::string_view host = address.substr(0, colon);
  if (absl::StartsWith(host, "[")) host = host.substr(1, host.size() - 2);
  int port = 0;
  std::unique_ptr<Exposer> exposer(new Exposer(std::move(collectable)));
  if (colon != absl::string_view::npos && absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    if (port == 0) {
      port = exposer->server_->bind_to_any_port(std::string(host));
    } else if (!exposer->server_->bind_to_port(std::string(host), port)) {
      port = -1;
    }
    if (port > 0) {
      exposer->port_ = port;
      exposer->thread_ = std::thread([&server = *exposer->server_] { server.listen_after_bind(); });
      // The library ignores a stop before its loop runs.
      while (!exposer->server_->is_running()) std::this_thread::yield();
      return exposer;
    }
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address,
                   ": the port is taken, or this machine does not have the address"));
}

Exposer::~Exposer() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
}

}  // namespace proad::server
