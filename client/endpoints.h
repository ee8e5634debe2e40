// Server addresses, and the distribution of calls over several servers.
//
//   "host:port", "[::1]:port", "unix:/path"
//       One server.
//   "dns:///name:port"
//       All addresses of the name, for example of a headless service in Kubernetes. The name is
//       resolved again when a connection ends.
//   "host1:port,host2:port,..."
//       The listed servers. Their names are resolved once.
//
// gRPC distributes calls round robin over the servers that are connected and whose health service
// reports SERVING. It ejects a server on which nearly all calls fail or exceed their deadline, for a
// time that grows with each ejection, but never more than half of the servers. RetryDelay decides
// about repeating a call whose server crashed.
//
// Functions without state: safe to call from any thread. ParseEndpoints may block on the resolver.
#pragma once

#include <string>

#include "grpcpp/support/channel_arguments.h"

namespace proad::client {

struct Endpoints {
  std::string target;     // target of the gRPC channel
  std::string authority;  // name that the certificate must have; empty: the name in `target`
  bool several = false;   // true when `target` can stand for more than one server
};

// Never fails. When none of the names in a list can be resolved, the target is left to gRPC, whose
// error names it.
Endpoints ParseEndpoints(const std::string& address);

// Makes a channel to several servers distribute its calls. Changes nothing for one server.
void SetBalancing(const Endpoints& endpoints, grpc::ChannelArguments& arguments);

}  // namespace proad::client
