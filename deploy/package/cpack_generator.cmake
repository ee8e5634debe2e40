# cpack reads this once for each generator. A .deb installs below /usr, with its configuration in /etc.
if(CPACK_GENERATOR STREQUAL DEB)
  set(CPACK_SET_DESTDIR ON)
  set(CPACK_INSTALL_PREFIX /usr)
endif()
