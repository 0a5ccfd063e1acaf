# karat_embed(TARGET NAMESPACE SYMBOL FILES a.json ...): compiles text files into TARGET as
#   namespace NAMESPACE { std::span<const EmbeddedFile> SYMBOL(); }
# where EmbeddedFile is {name without folder and ending, text}: karat/numerics/base/embedded.hpp.
function(karat_embed target namespace symbol)
  cmake_parse_arguments(embed "" "" "FILES" ${ARGN})
  set(out "${CMAKE_CURRENT_BINARY_DIR}/${symbol}.embedded.cpp")
  set(body "#include \"karat/numerics/base/embedded.hpp\"\nnamespace ${namespace} {\n")
  string(APPEND body "std::span<const karat::numerics::EmbeddedFile> ${symbol}() {\n")
  string(APPEND body "  static constexpr karat::numerics::EmbeddedFile files[] = {\n")
  foreach(file ${embed_FILES})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    file(READ "${CMAKE_CURRENT_SOURCE_DIR}/${file}" text)
    cmake_path(GET file STEM name)
    string(APPEND body "    {\"${name}\", R\"karat_text(${text})karat_text\"},\n")
  endforeach()
  string(APPEND body "  };\n  return files;\n}\n}\n")
  file(GENERATE OUTPUT "${out}" CONTENT "${body}")
  target_sources(${target} PRIVATE "${out}")
endfunction()
