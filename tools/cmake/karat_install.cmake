# Install rules: headers, layers, the executable, and a package for find_package(karat).
include(CMakePackageConfigHelpers)
get_property(layers GLOBAL PROPERTY KARAT_LAYERS)
install(TARGETS ${layers} EXPORT karat-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/karat" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/numerics/" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/karat/numerics
        FILES_MATCHING PATTERN "*.hpp")
install(EXPORT karat-targets NAMESPACE karat:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/karat)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/karat-config.cmake.in"
  "${PROJECT_BINARY_DIR}/karat-config.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/karat)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/karat-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/karat-config.cmake" "${PROJECT_BINARY_DIR}/karat-config-version.cmake"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/karat)
