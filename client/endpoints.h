// Which servers an address means, and how calls are spread over several of them.
//
//   "host:port", "[::1]:port", "unix:/path"   one server
//   "dns:///name:port"                        every address that the name has, a headless service
//   of
//                                             Kubernetes for example; looked up again when a
//                                             connection ends
//   "host1:port,host2:port,..."               these; names are looked up once
//
// Calls to several servers take turns (round robin) among those that are connected and say by the
// health service that they serve. One that answers nearly everything with an error, or not in time,
// is left out for a while, longer each time, but never more than half of them. gRPC's own policies
// do this; a call that a dying server took down with it is repeated by RetryDelay.
//
// Thread-safety: functions without state. ParseEndpoints may ask the resolver, and block on it.
#pragma once

#include <string>

#include "grpcpp/support/channel_arguments.h"

namespace proad::client {

struct Endpoints {
  std::string target;     // as gRPC takes it
  std::string authority;  // whose certificate is expected; "": the target's
  bool several = false;
};

Endpoints ParseEndpoints(const std::string& address);

// Makes a channel to several servers spread its calls over them.
void SetBalancing(const Endpoints& endpoints, grpc::ChannelArguments& arguments);

}  // namespace proad::client
