# Every symbol that LIBRARY defines for others is called karat_*.
execute_process(COMMAND "${NM}" -D --defined-only --format=posix "${LIBRARY}"
                OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${text}")
list(LENGTH lines count)
if(count LESS 20)
  message(FATAL_ERROR "only ${count} symbols: ${text}")
endif()
foreach(line ${lines})
  if(NOT line MATCHES "^karat_")
    message(FATAL_ERROR "visible: ${line}")
  endif()
endforeach()
