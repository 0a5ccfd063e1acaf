# KARAT_TARGETS: for which vectors the vector code is compiled, besides the fallback. The bits are the
# same; what is left out runs by the next smaller vectors.
#   all      AVX-512 and AVX2: what is installed elsewhere
#   avx2     AVX2 alone: AVX-512 takes as long again to compile, with sanitizers minutes
#   native   the largest that this machine has
set(KARAT_TARGETS all CACHE STRING "Vectors to compile for: all, avx2 or native")
set_property(CACHE KARAT_TARGETS PROPERTY STRINGS all avx2 native)

set(vectors "${KARAT_TARGETS}")
if(vectors STREQUAL "native")
  set(flags "")
  if(EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo flags REGEX "^flags" LIMIT_COUNT 1)
  endif()
  set(vectors avx2)
  if(flags MATCHES " avx512bw " AND "${flags} " MATCHES " avx512vl ")
    set(vectors avx512)
  endif()
endif()
# Highway asks for what is not wanted; its own names are not known before its headers.
if(vectors STREQUAL "avx2")
  add_compile_definitions("HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3|HWY_AVX3_DL)")
elseif(vectors STREQUAL "avx512")
  add_compile_definitions("HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX2|HWY_AVX3_DL)")
elseif(NOT vectors STREQUAL "all")
  message(FATAL_ERROR "KARAT_TARGETS=${KARAT_TARGETS} is none of all, avx2, native")
endif()
