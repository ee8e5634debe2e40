// Serves GET /metrics in Prometheus' text format, on its own port.
#pragma once

#include <prometheus/collectable.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace httplib {
class Server;
}

namespace proad::server {

// Replaces prometheus-cpp's exposer, whose web server starts threads with 100 KiB of stack: the
// thread-local data of CUDA's libraries take more, so no thread starts.
//
// Thread-safety: one thread starts and destroys it.
class Exposer {
 public:
  // Listens on `address` ("HOST:PORT", "[IPV6]:PORT"; port 0 picks a free one) and serves until it
  // is destroyed. UNAVAILABLE when it cannot listen on the address.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(
      absl::string_view address, std::shared_ptr<const prometheus::Collectable> collectable);
  ~Exposer();
  Exposer(const Exposer&) = delete;
  Exposer& operator=(const Exposer&) = delete;

  int port() const { return port_; }

 private:
  explicit Exposer(std::shared_ptr<const prometheus::Collectable> collectable);

  std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace proad::server
