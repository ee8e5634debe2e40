# Packages: cpack --config BUILD/CPackConfig.cmake -B FOLDER
#
#   proad-VERSION-linux-x86_64-FLAVOUR.tar.gz   everything, for any folder
#   proad_VERSION_amd64.deb                     component client
#   proad-server_VERSION_amd64.deb              component runtime; proad-server-cuda of a CUDA build
#   libproad-dev_VERSION_amd64.deb              component dev
#
# FLAVOUR is cpu or cuda, as in the build. dpkg-shlibdeps determines the dependencies.
set(flavour cpu)
if(PROAD_CUDA_VERSION)
  set(flavour cuda)
endif()
set(CPACK_GENERATOR "TGZ;DEB")
set(CPACK_PACKAGE_NAME proad)
set(CPACK_PACKAGE_VENDOR "Pro-AD Server")
set(CPACK_PACKAGE_CONTACT "Pro-AD Server <proad@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGE_FILE_NAME "proad-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR}-${flavour}")
set(CPACK_PROJECT_CONFIG_FILE "${CMAKE_CURRENT_LIST_DIR}/cpack_generator.cmake")
set(CPACK_COMPONENTS_ALL client runtime dev)
if(NOT PROAD_TORCH)
  list(REMOVE_ITEM CPACK_COMPONENTS_ALL runtime)
endif()
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_THREADS 0)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BUILD_RPATH})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME proad)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SECTION science)
set(CPACK_COMPONENT_CLIENT_DESCRIPTION
    "The command line: it inspects pictures, trains models and operates servers, over the network.")
set(CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "proad-server, bash-completion")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME proad-server)
if(PROAD_CUDA_VERSION)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME proad-server-cuda)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_PROVIDES proad-server)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONFLICTS proad-server)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_REPLACES proad-server)
endif()
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION science)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
    "Server and trainer: they serve and train the Pro-AD model over gRPC. LibTorch is inside.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS passwd)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS proad)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
    "${CMAKE_CURRENT_LIST_DIR}/debian/conffiles;${CMAKE_CURRENT_LIST_DIR}/debian/postinst;${CMAKE_CURRENT_LIST_DIR}/debian/prerm")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libproad-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libgrpc++-dev, libprotobuf-dev, libabsl-dev, libssl-dev, zlib1g-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION
    "The client library for C++, proad::client for find_package(proad), and the contract as .proto files.")

include(CPack)
