# Man pages and completions (target karat_pages, from the command line's own help), and the .deb that
# CPack makes of them, the command line and the shared libraries: tools/package.sh deb.
set(pages "${PROJECT_BINARY_DIR}/pages")
find_program(KARAT_PAGES_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(KARAT_PAGES_PYTHON)
  add_custom_target(karat_pages
    COMMAND "${KARAT_PAGES_PYTHON}" -B "${PROJECT_SOURCE_DIR}/tools/cli/pages.py" $<TARGET_FILE:karat> "${pages}"
    DEPENDS karat VERBATIM)
endif()
# There where somebody has built them.
foreach(pair "man1 man/man1" "bash bash-completion/completions" "zsh zsh/vendor-completions"
             "fish fish/vendor_completions.d")
  separate_arguments(pair)
  list(GET pair 0 from)
  list(GET pair 1 to)
  install(DIRECTORY "${pages}/${from}/" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/${to}" OPTIONAL)
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/include/karat/karat.h" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/karat)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME karat)
set(CPACK_PACKAGE_CONTACT "the karat project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL karat)  # without what only building against the layers needs
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "the karat project <karat@localhost>")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
include(CPack)
