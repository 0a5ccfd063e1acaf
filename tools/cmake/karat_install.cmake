# Install rules: headers, layers, and a package for find_package(karat). The executable installs
# itself in tools/.
include(CMakePackageConfigHelpers)
get_property(layers GLOBAL PROPERTY KARAT_LAYERS)
add_library(karat_library INTERFACE)
set_target_properties(karat_library PROPERTIES EXPORT_NAME karat)
target_link_libraries(karat_library INTERFACE ${layers})

install(TARGETS karat_library ${layers} EXPORT karat-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/karat" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/numerics/" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/karat/numerics
        COMPONENT development
        FILES_MATCHING PATTERN "*.hpp" PATTERN "data" EXCLUDE)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/karat)
install(EXPORT karat-targets NAMESPACE karat:: DESTINATION ${package_folder} COMPONENT development)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/karat-config.cmake.in"
  "${PROJECT_BINARY_DIR}/karat-config.cmake" INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/karat-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/karat-config.cmake" "${PROJECT_BINARY_DIR}/karat-config-version.cmake"
        DESTINATION ${package_folder} COMPONENT development)
