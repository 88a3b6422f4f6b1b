# Run by cpack (CPACK_PRE_BUILD_SCRIPTS) on what is to be packed. CPackDeb only prints a line where it cannot find out
# what the program depends on, and the package installs where it cannot run; folders have what the builder's umask left.
if(CPACK_GENERATOR STREQUAL "DEB")
  find_program(QV_SHLIBDEPS dpkg-shlibdeps)
  if(NOT QV_SHLIBDEPS)
    message(FATAL_ERROR "dpkg-shlibdeps was not found, so that the package would name no library that it needs: "
                        "apt-get install dpkg-dev")
  endif()
endif()
file(CHMOD_RECURSE ${CPACK_TEMPORARY_INSTALL_DIRECTORY} DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
     GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
