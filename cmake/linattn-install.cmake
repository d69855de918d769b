# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Install rules: headers, CMake package, pkg-config file, licence.

set(_linattn_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/linattn")

install(TARGETS linattn EXPORT linattn-targets)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/linattn" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(EXPORT linattn-targets NAMESPACE linattn:: DESTINATION "${_linattn_package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/linattn-config.cmake.in"
  "${PROJECT_BINARY_DIR}/linattn-config.cmake" INSTALL_DESTINATION "${_linattn_package_dir}" NO_SET_AND_CHECK_MACRO)
# ARCH_INDEPENDENT: headers serve any word size. While the major version is 0, a minor release may break the API.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/linattn-config-version.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
# linattn::cuda is made by the config file, where the toolkit is: the package is the same with and without nvcc.
install(FILES "${PROJECT_BINARY_DIR}/linattn-config.cmake" "${PROJECT_BINARY_DIR}/linattn-config-version.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/linattn-cuda20.cmake" DESTINATION "${_linattn_package_dir}")

# The .pc file finds the headers relative to itself, so that an installed tree can be moved.
file(RELATIVE_PATH LINATTN_PC_INCLUDEDIR
  "${CMAKE_INSTALL_FULL_DATAROOTDIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/linattn.pc.in" "${PROJECT_BINARY_DIR}/linattn.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/linattn.pc" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/pkgconfig")

install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/licenses/linattn")
