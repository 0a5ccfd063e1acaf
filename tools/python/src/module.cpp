// karat._core: the functions of karat.h on NumPy arrays; karat/*.py brings tensors into form. The
// interpreter's lock is released while the library works.
#include "call.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C interface of karat on NumPy arrays; see karat for the functions to use.";
  module.def("version", &karat_version);
  karat_python::bind_attention(module);
  karat_python::bind_files(module);
  karat_python::bind_numerics(module);
}
