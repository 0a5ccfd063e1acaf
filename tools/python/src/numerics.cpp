// Codes and products; names; time on a GPU.
#include "requests.hpp"

namespace karat_python {
namespace {

void encode(const py::array& x, const std::string& format, const Text& policy, py::array codes) {
  const auto count = static_cast<std::size_t>(x.size());
  const auto* from = static_cast<const float*>(bytes(x, count, 4, "x"));
  void* to = room(codes, count, width_of(format), "codes");
  run([&](karat_error* error) {
    karat_encode(from, count, format.c_str(), pointer(policy), to, error);
  });
}

void decode(const py::array& codes, const std::string& format, py::array x) {
  const auto count = static_cast<std::size_t>(codes.size());
  const void* from = bytes(codes, count, width_of(format), "codes");
  auto* to = static_cast<float*>(room(x, count, 4, "x"));
  run([&](karat_error* error) { karat_decode(from, count, format.c_str(), to, error); });
}

void scaled_mm(const std::string& instruction, const std::string& format, const py::array& a,
               const py::array& b, py::array d, const std::optional<py::array>& c,
               const std::optional<py::array>& scale_a, const std::optional<py::array>& scale_b,
               int promote_every, int threads) {
  require(a.ndim() == 2 && b.ndim() == 2 && d.ndim() == 2 && a.shape(1) == b.shape(1), "a, b",
          "are no matrices with the same k");
  karat_scaled_mm_args args{};
  args.size = sizeof args;
  args.instruction = instruction.c_str();
  args.m = a.shape(0);
  args.n = b.shape(0);
  args.k = a.shape(1);
  const std::size_t width = width_of(format);
  const std::size_t mn = product({args.m, args.n}, "d");
  args.a = bytes(a, product({args.m, args.k}, "a"), width, "a");
  args.b = bytes(b, product({args.n, args.k}, "b"), width, "b");
  args.c = values<float>(c, mn, "c");
  if (scale_a) args.scale_a_count = static_cast<std::size_t>(scale_a->size());
  if (scale_b) args.scale_b_count = static_cast<std::size_t>(scale_b->size());
  args.scale_a = values<float>(scale_a, args.scale_a_count, "scale_a");
  args.scale_b = values<float>(scale_b, args.scale_b_count, "scale_b");
  args.promote_every = promote_every;
  args.threads = threads;
  args.d = static_cast<float*>(room(d, mn, 4, "d"));
  run([&](karat_error* error) { karat_scaled_mm(&args, error); });
}

std::string names(const std::string& what) { return text_of(karat_names, what.c_str()); }

std::string schedule(const std::string& text, int steps,
                     const std::optional<std::vector<double>>& sigma) {
  if (sigma)
    require(sigma->size() == static_cast<std::size_t>(steps), "sigma", "is not one a step");
  return text_of(karat_schedule, text.c_str(), steps, sigma ? sigma->data() : nullptr);
}

std::string cost(const Recipe& recipe, const std::string& question) {
  return text_of(karat_cost, recipe.get(), question.c_str());
}

std::string cost_picture(const Recipe& recipe, const std::string& question,
                         const std::string& kind) {
  return text_of(karat_cost_picture, recipe.get(), question.c_str(), kind.c_str());
}

}  // namespace

void bind_numerics(py::module_& module) {
  module.def("encode", &encode);
  module.def("decode", &decode);
  module.def("scaled_mm", &scaled_mm, py::arg("instruction"), py::arg("format"), py::kw_only(),
             py::arg("a"), py::arg("b"), py::arg("d"), py::arg("c") = py::none(),
             py::arg("scale_a") = py::none(), py::arg("scale_b") = py::none(),
             py::arg("promote_every") = 0, py::arg("threads") = 0);
  module.def("names", &names);
  module.def("schedule", &schedule);
  module.def("cost", &cost);
  module.def("cost_picture", &cost_picture);
}

}  // namespace karat_python
