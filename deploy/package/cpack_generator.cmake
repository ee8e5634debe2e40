# Read by cpack once for each generator. A .deb installs below /usr, its configuration in /etc.
if(CPACK_GENERATOR STREQUAL DEB)
  set(CPACK_SET_DESTDIR ON)
  set(CPACK_INSTALL_PREFIX /usr)
endif()
