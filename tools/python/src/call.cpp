// See call.hpp.
#include "call.hpp"

namespace karat_python {

void raise(const karat_error& error) {
  const char* name = error.status == KARAT_USAGE          ? "UsageError"
                     : error.status == KARAT_INPUT_OUTPUT ? "FileError"
                                                          : "InternalError";
  const py::object type = py::module_::import("karat._errors").attr(name);
  PyErr_SetString(type.ptr(), error.message);
  throw py::error_already_set();
}

std::string owned(char* text) {
  std::string copy(text);
  karat_free_text(text);
  return copy;
}

}  // namespace karat_python
