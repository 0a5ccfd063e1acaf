// A kernel's PTX, launched with the caller's arrays.
#include "karat/ptx/run.hpp"

#include "call.hpp"
#include "tensors.hpp"

using namespace karat;

karat_status karat_run_ptx(const char* ptx, const char* launch, const char* const* names,
                           const karat_array* arrays, size_t count, karat_tensors** outputs,
                           char** report, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(outputs, "outputs");
    c::required(report, "report");
    if (count > 0) c::required(names, "names"), c::required(arrays, "arrays");
    files::Tensors tensors;
    for (std::size_t i = 0; i < count; ++i) {
      const files::TensorInfo info = c::info_of(arrays[i], c::required(names[i], "names"));
      tensors[info.name] = files::make_tensor(info.dtype, info.shape, c::bytes_of(arrays[i], info));
    }
    ptx::Outcome outcome = ptx::run(ptx::read_launch(c::object_of(launch, "launch"),
                                                     c::required(ptx, "ptx"), std::move(tensors)));
    const std::string told = ptx::to_json(outcome).dump();
    *outputs = c::handed_out(files::TensorFile{.tensors = std::move(outcome.outputs)});
    *report = c::handed_out(told);
  });
}
