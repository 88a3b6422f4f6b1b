# A Debian package by cpack: cmake -DCMAKE_INSTALL_PREFIX=/usr ..., cpack -G DEB. With SOURCE_DATE_EPOCH set, the same
# sources and compiler give the same bytes (tests/long/deb.sh).
set(CPACK_PACKAGE_NAME quaver)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "The Quaver authors")
set(CPACK_PACKAGE_CONTACT "The Quaver authors <quaver@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Trains small speech emotion classifiers with normalized, shaken residual branches")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # needs dpkg-dev
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS OFF)
include(CPack)
