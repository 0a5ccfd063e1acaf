// The functions of karat._core, one bind call a subject.
#pragma once

#include <pybind11/pybind11.h>

namespace karat_python {

void bind_attention(pybind11::module_& module);
void bind_files(pybind11::module_& module);
void bind_numerics(pybind11::module_& module);

}  // namespace karat_python
