# find_package(proad) defines proad::client, the C++ client library, and proad::proto, the messages of the API.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(OpenSSL)
find_dependency(Protobuf)
find_dependency(gRPC CONFIG)
find_dependency(absl CONFIG)
include("${CMAKE_CURRENT_LIST_DIR}/proadTargets.cmake")
