# Installs the build into a scratch folder, then configures, builds and runs a consumer against it;
# with KARAT_LONG=1 in the environment every installed header is compiled alone besides.
# Arguments: KARAT_BINARY_DIR, CONSUMER_SOURCE_DIR, SCRATCH_DIR, CXX_COMPILER, CXX_FLAGS.
set(prefix "${SCRATCH_DIR}/prefix")
set(consumer "${SCRATCH_DIR}/consumer")
file(REMOVE_RECURSE "${prefix}" "${consumer}")

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed: ${command}\n${output}")
  endif()
endfunction()

step(${CMAKE_COMMAND} --install "${KARAT_BINARY_DIR}" --prefix "${prefix}")
step(${CMAKE_COMMAND} -S "${CONSUMER_SOURCE_DIR}" -B "${consumer}" -G Ninja
     "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CXX_COMPILER}"
     "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" "-DHEADERS_ALONE=$ENV{KARAT_LONG}")
step(${CMAKE_COMMAND} --build "${consumer}" --parallel 2)
step("${consumer}/consumer")
step("${consumer}/c_consumer")
if(EXISTS "${prefix}/bin/karat")
  step("${prefix}/bin/karat" --help)
endif()
