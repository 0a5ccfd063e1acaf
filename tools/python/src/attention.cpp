// Attention, its truth and its operands; masks.
#include "requests.hpp"

namespace karat_python {
namespace {

using Room = std::optional<py::array>;

py::object attend(const Recipe& recipe, const Heads& heads, const Mask* mask, Room o,
                  const std::string& o_type, Room lse, Room m, Room l, const Text& taps,
                  int threads) {
  karat_attend_args args{};
  args.size = sizeof args;
  args.recipe = recipe.get();
  args.input = heads.get();
  args.threads = threads;
  if (o) args.o = room(*o, heads.count(), width_of(o_type), "o");
  args.o_type = o_type.c_str();
  args.lse = room<float>(lse, heads.rows(), "lse");
  args.m = room<float>(m, heads.rows(), "m");
  args.l = room<float>(l, heads.rows(), "l");
  if (mask != nullptr) mask->put(args);
  karat_tensors* stages = nullptr;
  args.taps = pointer(taps);
  if (taps) args.stages = &stages;
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    args.progress = progress;
    args.context = context;
    karat_attend(&args, error);
  });
  return stages == nullptr ? py::object(py::none()) : py::object(handed_over(stages));
}

py::object backward(const Recipe& recipe, const Heads& heads, const Mask* mask, py::array d_o,
                    const std::string& d_o_type, const std::optional<py::array>& o,
                    const std::string& o_type, const std::optional<py::array>& lse, Room dq,
                    Room dk, Room dv, const std::string& gradient_type, Room delta,
                    const Text& taps, const Text& key_taps, int threads) {
  karat_backward_args args{};
  args.size = sizeof args;
  args.recipe = recipe.get();
  args.input = heads.get();
  args.threads = threads;
  args.d_o = bytes(d_o, heads.count(), width_of(d_o_type), "do");
  args.d_o_type = d_o_type.c_str();
  if (o) args.o = bytes(*o, heads.count(), width_of(o_type), "o");
  args.o_type = o_type.c_str();
  args.lse = values<float>(lse, heads.rows(), "lse");
  const std::size_t width = width_of(gradient_type);
  if (dq) args.dq = room(*dq, heads.count(), width, "dq");
  if (dk) args.dk = room(*dk, heads.kv_count(), width, "dk");
  if (dv) args.dv = room(*dv, heads.kv_count(), width, "dv");
  args.gradient_type = gradient_type.c_str();
  args.delta = room<float>(delta, heads.rows(), "delta");
  if (mask != nullptr) mask->put(args);
  karat_tensors* stages = nullptr;
  args.taps = pointer(taps);
  args.key_taps = pointer(key_taps);
  if (taps || key_taps) args.stages = &stages;
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    args.progress = progress;
    args.context = context;
    karat_backward(&args, error);
  });
  return stages == nullptr ? py::object(py::none()) : py::object(handed_over(stages));
}

void truth(const Recipe& recipe, const Heads& heads, bool sparse, py::array o, py::array lse,
           int threads) {
  const karat_heads given = heads.get();
  auto* out = static_cast<double*>(room(o, heads.count(), 8, "o"));
  auto* sums = static_cast<double*>(room(lse, heads.rows(), 8, "lse"));
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    karat_truth(recipe.get(), &given, sparse ? 1 : 0, threads, out, sums, progress, context, error);
  });
}

py::tuple quantise(const Recipe& recipe, const std::string& operand, const Heads& heads,
                   int threads) {
  const karat_heads given = heads.get();
  return tensors_of(karat_quantise, recipe.get(), operand.c_str(), &given, threads);
}

py::tuple mask(const Recipe& recipe, const Grid& grid, int query_block, int key_block, bool keep) {
  return tensors_of(karat_mask, recipe.get(), grid.data(), query_block, key_block, keep ? 1 : 0);
}

std::string mask_picture(const Recipe& recipe, const Grid& grid, int query_tile) {
  return text_of(karat_mask_picture, recipe.get(), grid.data(), query_tile);
}

}  // namespace

void bind_attention(py::module_& module) {
  py::class_<Recipe>(module, "Recipe")
      .def(py::init<std::string>())
      .def("json", &Recipe::json)
      .def("grid_reason", &Recipe::grid_reason);
  py::class_<Heads>(module, "Heads")
      .def(py::init<py::array, py::array, py::array, std::string, std::string, const Shape&,
                    const Grid&, int, Heads::Texts, Heads::Scales>(),
           py::kw_only(), py::arg("q"), py::arg("k"), py::arg("v"), py::arg("type"),
           py::arg("layout"), py::arg("shape"), py::arg("grid"), py::arg("text"),
           py::arg("scale_types") = py::none(), py::arg("scales") = py::none());
  py::class_<Mask>(module, "Mask")
      .def(py::init<Mask::Array, Mask::Array, Mask::Array, Mask::Array, Mask::Array,
                    std::array<int, 2>, Mask::Array, const std::string&>(),
           py::kw_only(), py::arg("kv_num_blocks") = py::none(), py::arg("kv_indices") = py::none(),
           py::arg("full_kv_num_blocks") = py::none(), py::arg("full_kv_indices") = py::none(),
           py::arg("matrix") = py::none(), py::arg("block_size") = std::array{128, 128},
           py::arg("keep") = py::none(), py::arg("order"));
  module.def("attend", &attend, py::arg("recipe"), py::arg("heads"), py::arg("mask"), py::kw_only(),
             py::arg("o"), py::arg("o_type"), py::arg("lse") = py::none(),
             py::arg("m") = py::none(), py::arg("l") = py::none(), py::arg("taps") = py::none(),
             py::arg("threads") = 0);
  module.def("backward", &backward, py::arg("recipe"), py::arg("heads"), py::arg("mask"),
             py::kw_only(), py::arg("d_o"), py::arg("d_o_type"), py::arg("o") = py::none(),
             py::arg("o_type") = "", py::arg("lse") = py::none(), py::arg("dq") = py::none(),
             py::arg("dk") = py::none(), py::arg("dv") = py::none(), py::arg("gradient_type"),
             py::arg("delta") = py::none(), py::arg("taps") = py::none(),
             py::arg("key_taps") = py::none(), py::arg("threads") = 0);
  module.def("truth", &truth, py::arg("recipe"), py::arg("heads"), py::kw_only(), py::arg("sparse"),
             py::arg("o"), py::arg("lse"), py::arg("threads") = 0);
  module.def("quantise", &quantise, py::arg("recipe"), py::arg("operand"), py::arg("heads"),
             py::kw_only(), py::arg("threads") = 0);
  module.def("mask", &mask);
  module.def("mask_picture", &mask_picture);
}

}  // namespace karat_python
