# Runs the driver with other threads, instruction sets, optimisation levels and compilers, and
# compares what it prints. KARAT_OTHER_BITS in the environment: a driver by another compiler.
#   REFERENCE    the driver of this build
#   SOURCE_DIR   this folder        SCRATCH_DIR  where to build
#   DESCRIPTION  see CMakeLists.txt  CXX_COMPILER the compiler of this build
function(run_driver program threads target out)
  execute_process(COMMAND "${program}" ${threads} ${target} OUTPUT_VARIABLE text
                  RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${program} ${threads} ${target}: exit ${status}")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

function(expect_same what text reference)
  if(text MATCHES "^absent")
    message(STATUS "${what}: skipped, this processor has no such vectors")
  elseif(NOT text STREQUAL reference)
    message(FATAL_ERROR "${what} changes bits:\n${text}\nagainst\n${reference}")
  else()
    message(STATUS "${what}: the same bits")
  endif()
endfunction()

function(build_and_compare name compiler level reference)
  set(build "${SCRATCH_DIR}/${name}")
  foreach(step
      "${CMAKE_COMMAND};-G;Ninja;-S;${SOURCE_DIR};-B;${build};-DCMAKE_CXX_COMPILER=${compiler};-DCMAKE_CXX_FLAGS=${level};-DBITS_DESCRIPTION=${DESCRIPTION}"
      "${CMAKE_COMMAND};--build;${build}")
    execute_process(COMMAND ${step} RESULT_VARIABLE status OUTPUT_VARIABLE log ERROR_VARIABLE log)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "${name}: ${log}")
    endif()
  endforeach()
  foreach(target best portable)
    run_driver("${build}/bits" 2 ${target} text)
    expect_same("${compiler} ${level}, ${target}" "${text}" "${reference}")
  endforeach()
endfunction()

run_driver("${REFERENCE}" 1 best reference)
if(NOT reference MATCHES "fpsattention o ")
  message(FATAL_ERROR "the driver prints no outputs: ${reference}")
endif()
foreach(target avx3 avx2 portable)
  run_driver("${REFERENCE}" 2 ${target} text)
  expect_same("2 threads, ${target}" "${text}" "${reference}")
endforeach()
# Another compiler at another level with sanitizers, as tools/test.sh has built it.
if(EXISTS "$ENV{KARAT_OTHER_BITS}")
  run_driver("$ENV{KARAT_OTHER_BITS}" 2 best text)
  expect_same("$ENV{KARAT_OTHER_BITS}" "${text}" "${reference}")
else()
  message(STATUS "another compiler's bits: skipped, KARAT_OTHER_BITS names no driver")
endif()
# KARAT_LONG: every layer compiled anew, by another compiler and at another level.
if(NOT DEFINED ENV{KARAT_LONG})
  message(STATUS "every layer compiled anew: skipped, KARAT_LONG=1")
  return()
endif()
find_program(clang NAMES clang++)
if(clang)
  build_and_compare(clang_o2 "${clang}" -O2 "${reference}")
else()
  message(STATUS "clang++: skipped, not installed")
endif()
build_and_compare(gcc_o1 "${CXX_COMPILER}" -O1 "${reference}")
