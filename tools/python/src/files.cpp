// Tensor files, golden files and what is judged by them.
#include "requests.hpp"

namespace karat_python {
namespace {

py::tuple load(const std::string& path, const Text& names) {
  return tensors_of(karat_load, path.c_str(), pointer(names));
}

std::string list(const std::string& path) { return text_of(karat_list, path.c_str()); }

void save(const std::string& path, const std::vector<Named>& named, const Text& metadata) {
  const Arrays arrays(named);
  run([&](karat_error* error) {
    karat_save(path.c_str(), arrays.names(), arrays.arrays(), arrays.count(), pointer(metadata),
               error);
  });
}

py::tuple generate(const std::string& workload, int threads) {
  return tensors_of(karat_generate, workload.c_str(), threads);
}

std::string make(const Recipe& recipe, const Heads& heads, const Mask* mask,
                 const std::string& path, std::uint64_t seed, const Text& taps, int threads,
                 const std::optional<py::array>& d_o, const std::string& d_o_type,
                 const Text& dq_taps, const Text& dkv_taps) {
  char* summary = nullptr;
  karat_make_args args{};
  args.size = sizeof args;
  args.recipe = recipe.get();
  args.input = heads.get();
  args.seed = seed;
  args.taps = pointer(taps);
  args.threads = threads;
  args.path = path.c_str();
  if (d_o) args.d_o = bytes(*d_o, heads.count(), width_of(d_o_type), "do");
  args.d_o_type = d_o_type.c_str();
  args.dq_taps = pointer(dq_taps);
  args.dkv_taps = pointer(dkv_taps);
  if (mask != nullptr) mask->put(args);
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    args.progress = progress;
    args.context = context;
    karat_make(&args, &summary, error);
  });
  return owned(summary);
}

/// (outputs as handed_over() gives them, report)
py::tuple run_ptx(const std::string& ptx, const std::string& launch,
                  const std::vector<Named>& named) {
  const Arrays arrays(named);
  karat_tensors* outputs = nullptr;
  char* report = nullptr;
  run([&](karat_error* error) {
    karat_run_ptx(ptx.c_str(), launch.c_str(), arrays.names(), arrays.arrays(), arrays.count(),
                  &outputs, &report, error);
  });
  const std::string told = owned(report);
  return py::make_tuple(handed_over(outputs), told);
}

using Judge = karat_status (*)(const char*, const karat_candidate*, const char*, char**,
                               karat_progress, void*, karat_error*);

/// karat_check or karat_diagnose.
template <Judge judge>
std::string judged(const std::string& golden, const Text& path, const std::vector<Named>& named,
                   const Text& options) {
  const Arrays arrays(named);
  const karat_candidate candidate{.path = pointer(path),
                                  .names = arrays.names(),
                                  .arrays = arrays.arrays(),
                                  .count = arrays.count()};
  char* report = nullptr;
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    judge(golden.c_str(), &candidate, pointer(options), &report, progress, context, error);
  });
  return owned(report);
}

}  // namespace

void bind_files(py::module_& module) {
  module.def("load", &load);
  module.def("list", &list);
  module.def("save", &save);
  module.def("generate", &generate);
  module.def("make", &make, py::arg("recipe"), py::arg("heads"), py::arg("mask"), py::kw_only(),
             py::arg("path"), py::arg("seed"), py::arg("taps"), py::arg("threads"),
             py::arg("d_o") = py::none(), py::arg("d_o_type") = "", py::arg("dq_taps") = py::none(),
             py::arg("dkv_taps") = py::none());
  module.def("run_ptx", &run_ptx);
  module.def("check", &judged<karat_check>);
  module.def("diagnose", &judged<karat_diagnose>);
}

}  // namespace karat_python
