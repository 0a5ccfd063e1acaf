# karat_layer(NAME SOURCES a.cpp ... LINKS karat::numerics ... PRIVATE_LINKS hdf5 ...): one layer of
# the library as a static library karat_NAME with the alias karat::NAME. Every layer is compiled
# without contraction: a fused multiply-add appears only where the code asks for one.
set(KARAT_INCLUDE_LINKS "${PROJECT_BINARY_DIR}/include")
file(MAKE_DIRECTORY "${KARAT_INCLUDE_LINKS}/karat")
# numerics keeps headers beside sources; this link makes <karat/numerics/...> the one spelling.
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/numerics" "${KARAT_INCLUDE_LINKS}/karat/numerics" SYMBOLIC)

function(karat_compile_rules target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -ffp-contract=off
    -Wno-missing-field-initializers  # designated initialisers leave the rest at its default
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # g++ 12 sees overlaps in std::string's operator+
endfunction()

# karat_compile_quickly(TARGET [<header> ...]): for code that computes nothing itself. Headers that take
# seconds to read are read once. At -O1 g++ 12 sees std::string read and written past
# its end.
set(KARAT_QUICKLY "-O1" CACHE STRING "How code is optimised that computes nothing itself (Release)")
function(karat_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:${KARAT_QUICKLY}>
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow>")
  if(ARGN)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# karat_compile_together(TARGET [BY_FOLDER] [AT_MOST 18] [ALONE a.cpp ...]): sources are compiled in few
# texts of about the same number of sources, at most 18, or those of a folder together, since most of a
# small file's time is its headers' (18 sources of ptx/instructions: 5 s instead of 22). Names in unnamed
# namespaces then meet; ALONE names sources that cannot share a text. Vector code, which compiles itself
# again for each target, stays alone too.
option(KARAT_UNITY "Compile several sources of a layer at a time" ON)
function(karat_compile_together target)
  cmake_parse_arguments(together "BY_FOLDER" "AT_MOST" "ALONE" ${ARGN})
  set(shared 0)
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" OUTPUT_VARIABLE path)
    set(vectors "")
    if(EXISTS "${path}")
      file(STRINGS "${path}" vectors REGEX "hwy/foreach_target.h" LIMIT_COUNT 1)
    endif()
    # CMake leaves out sources with definitions of their own.
    get_source_file_property(defined "${source}" COMPILE_DEFINITIONS)
    if(vectors OR source IN_LIST together_ALONE)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    elseif(together_BY_FOLDER)
      cmake_path(GET path PARENT_PATH folder)
      cmake_path(GET folder FILENAME folder)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
    elseif(NOT defined)
      math(EXPR shared "${shared} + 1")
    endif()
  endforeach()
  set(limit 18)
  if(together_AT_MOST)
    set(limit ${together_AT_MOST})
  endif()
  if(shared EQUAL 0)
    set(shared 1)
  endif()
  math(EXPR texts "(${shared} + ${limit} - 1) / ${limit}")
  math(EXPR size "(${shared} + ${texts} - 1) / ${texts}")
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${KARAT_UNITY} UNITY_BUILD_BATCH_SIZE ${size})
  if(together_BY_FOLDER)
    set_target_properties(${target} PROPERTIES UNITY_BUILD_MODE GROUP)
  endif()
endfunction()

function(karat_layer name)
  cmake_parse_arguments(layer "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(karat_${name} STATIC ${layer_SOURCES})
  add_library(karat::${name} ALIAS karat_${name})
  karat_compile_rules(karat_${name})
  set_target_properties(karat_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(karat_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${KARAT_INCLUDE_LINKS}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # Private headers; Highway's foreach_target.h also finds the file to compile again here.
  target_include_directories(karat_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(karat_${name} PUBLIC ${layer_LINKS} PRIVATE ${layer_PRIVATE_LINKS})
  set_property(GLOBAL APPEND PROPERTY KARAT_LAYERS karat_${name})
endfunction()
