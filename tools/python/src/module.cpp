// karat._core: the functions of karat.h on NumPy arrays. No conversions: an array of another type,
// shape or order than a function wants is refused; karat/*.py brings tensors into form. The
// interpreter's lock is released while the library works.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "karat/karat.h"

namespace py = pybind11;

namespace {

using Text = std::optional<std::string>;
/// name, type, array
using Named = std::tuple<std::string, std::string, py::array>;

const char* pointer(const Text& text) { return text ? text->c_str() : nullptr; }

/// The exception of karat._errors for a status.
[[noreturn]] void raise(const karat_error& error) {
  const char* name = error.status == KARAT_USAGE          ? "UsageError"
                     : error.status == KARAT_INPUT_OUTPUT ? "FileError"
                                                          : "InternalError";
  const py::object type = py::module_::import("karat._errors").attr(name);
  PyErr_SetString(type.ptr(), error.message);
  throw py::error_already_set();
}

/// Calls without the interpreter's lock.
template <typename Call>
void run(Call call) {
  karat_error error{};
  {
    const py::gil_scoped_release unlocked;
    call(&error);
  }
  if (error.status != KARAT_OK) raise(error);
}

/// Asks Python for pending signals while the library works: what a handler raises (Ctrl-C:
/// KeyboardInterrupt) stops the call. Only the calling thread asks, a few times a second; Python
/// runs handlers in its main thread alone, so in any other there is nothing to be told.
class Watch {
 public:
  static int poll(std::size_t, std::size_t, void* context) noexcept {
    return static_cast<Watch*>(context)->stop() ? 1 : 0;
  }
  /// With the interpreter's lock. @throws what the handler raised
  void finish() {
    if (raised_) throw py::error_already_set(std::move(*raised_));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kEvery{50};

  bool stop() {
    if (stopped_) return true;
    if (std::this_thread::get_id() != caller_ || Clock::now() - asked_ < kEvery) return false;
    asked_ = Clock::now();
    const py::gil_scoped_acquire locked;
    if (PyErr_CheckSignals() == 0) return false;
    raised_.emplace();  // takes the exception over
    stopped_ = true;
    return true;
  }

  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point asked_ = Clock::now();
  std::optional<py::error_already_set> raised_;
  std::atomic<bool> stopped_ = false;
};

/// run() for calls that take a progress function and its context.
template <typename Call>
void run_watched(Call call) {
  Watch watch;
  karat_error error{};
  {
    const py::gil_scoped_release unlocked;
    call(&Watch::poll, &watch, &error);
  }
  watch.finish();
  if (error.status != KARAT_OK) raise(error);
}

/// A text of the library as Python's.
std::string owned(char* text) {
  std::string copy(text);
  karat_free_text(text);
  return copy;
}

void require(bool condition, const char* what, const char* why) {
  if (!condition) throw py::value_error(std::string(what) + ": " + why);
}

std::size_t product(std::initializer_list<std::int64_t> extents, const char* what) {
  std::size_t count = 1;
  for (const std::int64_t extent : extents) {
    require(extent >= 0 && extent < (std::int64_t{1} << 31), what, "has an absurd extent");
    require(!__builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count), what,
            "is too large");
  }
  return count;
}

/// Memory of an array of exactly `count` elements of `size` bytes, C order.
const void* bytes(const py::array& array, std::size_t count, std::size_t size, const char* what) {
  require((array.flags() & py::array::c_style) != 0, what, "is not C-contiguous");
  require(static_cast<std::size_t>(array.itemsize()) == size, what, "has elements of another size");
  require(static_cast<std::size_t>(array.size()) == count, what, "has another number of elements");
  return array.data();
}
template <typename T>
const T* values(const std::optional<py::array>& array, std::size_t count, const char* what) {
  return array ? static_cast<const T*>(bytes(*array, count, sizeof(T), what)) : nullptr;
}
void* room(py::array& array, std::size_t count, std::size_t size, const char* what) {
  bytes(array, count, size, what);
  return array.mutable_data();  // refuses what is read-only
}
template <typename T>
T* room(std::optional<py::array>& array, std::size_t count, const char* what) {
  return array ? static_cast<T*>(room(*array, count, sizeof(T), what)) : nullptr;
}

std::size_t size_of(const std::string& type) { return type == "f32" ? 4 : 2; }
std::size_t width_of(const std::string& format) {
  if (format == "f16" || format == "bf16") return 2;
  return format == "f32" || format == "tf32" ? 4 : 1;
}

class Recipe {
 public:
  explicit Recipe(const std::string& text) {
    run([&](karat_error* error) { karat_recipe_new(text.c_str(), &recipe_, error); });
  }
  ~Recipe() { karat_recipe_free(recipe_); }
  Recipe(const Recipe&) = delete;
  Recipe& operator=(const Recipe&) = delete;

  std::string json() const {
    char* text = nullptr;
    run([&](karat_error* error) { karat_recipe_json(recipe_, &text, error); });
    return owned(text);
  }
  const karat_recipe* get() const { return recipe_; }

 private:
  karat_recipe* recipe_ = nullptr;
};

py::dtype dtype_of(const std::string& type) {
  if (type == "bool") return py::dtype("bool");
  if (type == "f32" || type == "f64") return py::dtype(type == "f32" ? "float32" : "float64");
  if (type == "bf16" || type == "f16") return py::dtype("uint16");
  if (type == "e4m3" || type == "e5m2" || type == "e8m0") return py::dtype("uint8");
  return py::dtype((type[0] == 'u' ? "uint" : "int") + type.substr(1));
}

/// ([(name, type, array)], metadata): arrays look into the library's memory and keep it alive.
py::tuple handed_over(karat_tensors* tensors) {
  const py::capsule owner(tensors,
                          [](void* p) { karat_tensors_free(static_cast<karat_tensors*>(p)); });
  py::list list;
  for (std::size_t i = 0; i < karat_tensors_count(tensors); ++i) {
    const karat_array array = karat_tensors_array(tensors, i);
    list.append(
        py::make_tuple(karat_tensors_name(tensors, i), array.type,
                       py::array(dtype_of(array.type),
                                 std::vector<py::ssize_t>(array.shape, array.shape + array.rank),
                                 array.data, owner)));
  }
  return py::make_tuple(list, karat_tensors_metadata(tensors));
}

/// Arrays of the caller as the C interface takes them.
class Arrays {
 public:
  explicit Arrays(const std::vector<Named>& named) {
    for (const auto& [name, type, array] : named) {
      require((array.flags() & py::array::c_style) != 0, name.c_str(), "is not C-contiguous");
      require(array.ndim() <= KARAT_MAX_RANK, name.c_str(), "has too many dimensions");
      require(array.itemsize() == dtype_of(type).itemsize(), name.c_str(),
              "has elements of another size than its type");
      karat_array made{.data = array.data(),
                       .type = type.c_str(),
                       .rank = static_cast<int32_t>(array.ndim()),
                       .shape = {}};
      for (int d = 0; d < made.rank; ++d) made.shape[d] = array.shape(d);
      names_.push_back(name.c_str());
      arrays_.push_back(made);
    }
  }
  const char* const* names() const { return names_.data(); }
  const karat_array* arrays() const { return arrays_.data(); }
  std::size_t count() const { return arrays_.size(); }

 private:
  std::vector<const char*> names_;
  std::vector<karat_array> arrays_;
};

using Shape = std::array<std::int64_t, 5>;  ///< batch, heads, heads of k and v, tokens, channels
using Grid = std::array<std::int32_t, 3>;

/// What calls on Q, K and V have in common.
struct Heads {
  Heads(const std::string& type, const std::string& layout, const Shape& shape, const Grid& grid,
        int text)
      : type_(type),
        layout_(layout),
        count(product({shape[0], shape[1], shape[3], shape[4]}, "q")) {
    given = {.type = type_.c_str(),
             .layout = layout_.c_str(),
             .batch = shape[0],
             .heads = shape[1],
             .kv_heads = shape[2],
             .tokens = shape[3],
             .channels = shape[4],
             .grid = {grid[0], grid[1], grid[2]},
             .text = text,
             .q = nullptr,
             .k = nullptr,
             .v = nullptr};
  }
  Heads(const Heads&) = delete;
  Heads& operator=(const Heads&) = delete;
  void set(const py::array& q, const py::array& k, const py::array& v) {
    given.q = bytes(q, count, size_of(type_), "q");
    require(given.kv_heads > 0, "kv_heads", "must be at least 1");
    const std::size_t shared =
        product({given.batch, given.kv_heads, given.tokens, given.channels}, "k");
    given.k = bytes(k, shared, size_of(type_), "k");
    given.v = bytes(v, shared, size_of(type_), "v");
  }
  std::size_t rows() const { return given.channels == 0 ? 0 : count / given.channels; }

 private:
  std::string type_, layout_;

 public:
  std::size_t count;
  karat_heads given;
};

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
               const py::array& b, const std::optional<py::array>& c,
               const std::optional<py::array>& scale_a, const std::optional<py::array>& scale_b,
               int promote_every, int threads, py::array d) {
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

/// query block, key block, then the four arrays (the last two may be absent)
using Blocks =
    std::tuple<int, int, py::array, py::array, std::optional<py::array>, std::optional<py::array>>;

karat_block_mask block_mask_of(const Blocks& given) {
  const auto& [query, key, num, indices, full_num, full_indices] = given;
  require(indices.ndim() == 2, "kv_indices", "is no matrix [query blocks, key blocks]");
  const auto rows = static_cast<std::size_t>(indices.shape(0));
  const auto all = static_cast<std::size_t>(indices.size());
  karat_block_mask made{};
  made.query_block = query;
  made.key_block = key;
  made.query_blocks = static_cast<int32_t>(indices.shape(0));
  made.key_blocks = static_cast<int32_t>(indices.shape(1));
  made.kv_num_blocks = static_cast<const int32_t*>(bytes(num, rows, 4, "kv_num_blocks"));
  made.kv_indices = static_cast<const int32_t*>(bytes(indices, all, 4, "kv_indices"));
  made.full_kv_num_blocks = values<int32_t>(full_num, rows, "full_kv_num_blocks");
  made.full_kv_indices = values<int32_t>(full_indices, all, "full_kv_indices");
  return made;
}

/// The mask of calls that take one: fields of the same name in `args`.
template <typename Args>
class Mask {
 public:
  Mask(Args& args, const std::optional<Blocks>& blocks, const std::optional<py::array>& keep) {
    if (blocks) {
      blocks_ = block_mask_of(*blocks);
      args.block_mask = &blocks_;
    }
    if (!keep) return;
    require(keep->ndim() == 2 && keep->shape(0) == keep->shape(1), "keep", "is no square matrix");
    args.keep_positions = keep->shape(0);
    args.keep = static_cast<const uint8_t*>(
        bytes(*keep, static_cast<std::size_t>(keep->size()), 1, "keep"));
  }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;

 private:
  karat_block_mask blocks_{};
};

py::object attend(const Recipe& recipe, const py::array& q, const py::array& k, const py::array& v,
                  const std::string& type, const std::string& layout, const Shape& shape,
                  const Grid& grid, int text, int threads, std::optional<py::array> o,
                  const std::string& o_type, std::optional<py::array> lse,
                  std::optional<py::array> m, std::optional<py::array> l,
                  const std::optional<Blocks>& blocks, const std::optional<py::array>& keep,
                  const Text& taps) {
  Heads heads(type, layout, shape, grid, text);
  heads.set(q, k, v);
  karat_attend_args args{};
  args.size = sizeof args;
  args.recipe = recipe.get();
  args.input = heads.given;
  args.threads = threads;
  if (o) args.o = room(*o, heads.count, width_of(o_type), "o");
  args.o_type = o_type.c_str();
  args.lse = room<float>(lse, heads.rows(), "lse");
  args.m = room<float>(m, heads.rows(), "m");
  args.l = room<float>(l, heads.rows(), "l");
  const Mask mask(args, blocks, keep);
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

void truth(const Recipe& recipe, const py::array& q, const py::array& k, const py::array& v,
           const std::string& type, const std::string& layout, const Shape& shape, const Grid& grid,
           int text, bool sparse, int threads, py::array o, py::array lse) {
  Heads heads(type, layout, shape, grid, text);
  heads.set(q, k, v);
  auto* out = static_cast<double*>(room(o, heads.count, 8, "o"));
  auto* sums = static_cast<double*>(room(lse, heads.rows(), 8, "lse"));
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    karat_truth(recipe.get(), &heads.given, sparse ? 1 : 0, threads, out, sums, progress, context,
                error);
  });
}

py::tuple quantise(const Recipe& recipe, const std::string& operand, const py::array& x,
                   const std::string& type, const std::string& layout, const Shape& shape,
                   const Grid& grid, int text, int threads) {
  Heads heads(type, layout, shape, grid, text);
  heads.set(x, x, x);
  karat_tensors* made = nullptr;
  run([&](karat_error* error) {
    karat_quantise(recipe.get(), operand.c_str(), &heads.given, threads, &made, error);
  });
  return handed_over(made);
}

py::tuple mask(const Recipe& recipe, const Grid& grid, int query_block, int key_block, bool keep) {
  karat_tensors* made = nullptr;
  run([&](karat_error* error) {
    karat_mask(recipe.get(), grid.data(), query_block, key_block, keep ? 1 : 0, &made, error);
  });
  return handed_over(made);
}

std::string mask_picture(const Recipe& recipe, const Grid& grid, int query_tile) {
  char* svg = nullptr;
  run([&](karat_error* error) {
    karat_mask_picture(recipe.get(), grid.data(), query_tile, &svg, error);
  });
  return owned(svg);
}

py::tuple load(const std::string& path, const Text& names) {
  karat_tensors* read = nullptr;
  run([&](karat_error* error) { karat_load(path.c_str(), pointer(names), &read, error); });
  return handed_over(read);
}

std::string list(const std::string& path) {
  char* json = nullptr;
  run([&](karat_error* error) { karat_list(path.c_str(), &json, error); });
  return owned(json);
}

void save(const std::string& path, const std::vector<Named>& named, const Text& metadata) {
  const Arrays arrays(named);
  run([&](karat_error* error) {
    karat_save(path.c_str(), arrays.names(), arrays.arrays(), arrays.count(), pointer(metadata),
               error);
  });
}

py::tuple generate(const std::string& workload, int threads) {
  karat_tensors* made = nullptr;
  run([&](karat_error* error) { karat_generate(workload.c_str(), threads, &made, error); });
  return handed_over(made);
}

std::string make(const Recipe& recipe, const py::array& q, const py::array& k, const py::array& v,
                 const std::string& type, const std::string& layout, const Shape& shape,
                 const Grid& grid, int text, std::uint64_t seed, const Text& taps, int threads,
                 const std::string& path, const std::optional<Blocks>& blocks,
                 const std::optional<py::array>& keep) {
  Heads heads(type, layout, shape, grid, text);
  heads.set(q, k, v);
  char* summary = nullptr;
  karat_make_args args{};
  args.size = sizeof args;
  args.recipe = recipe.get();
  args.input = heads.given;
  args.seed = seed;
  args.taps = pointer(taps);
  args.threads = threads;
  args.path = path.c_str();
  const Mask mask(args, blocks, keep);
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    args.progress = progress;
    args.context = context;
    karat_make(&args, &summary, error);
  });
  return owned(summary);
}

std::string check(const std::string& golden, const Text& path, const std::vector<Named>& named,
                  const Text& options) {
  const Arrays arrays(named);
  const karat_candidate candidate{.path = pointer(path),
                                  .names = arrays.names(),
                                  .arrays = arrays.arrays(),
                                  .count = arrays.count()};
  char* report = nullptr;
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    karat_check(golden.c_str(), &candidate, pointer(options), &report, progress, context, error);
  });
  return owned(report);
}

std::string diagnose(const std::string& golden, const Text& path, const std::vector<Named>& named,
                     const Text& options) {
  const Arrays arrays(named);
  const karat_candidate candidate{.path = pointer(path),
                                  .names = arrays.names(),
                                  .arrays = arrays.arrays(),
                                  .count = arrays.count()};
  char* report = nullptr;
  run_watched([&](karat_progress progress, void* context, karat_error* error) {
    karat_diagnose(golden.c_str(), &candidate, pointer(options), &report, progress, context, error);
  });
  return owned(report);
}

std::string names(const std::string& what) {
  char* json = nullptr;
  run([&](karat_error* error) { karat_names(what.c_str(), &json, error); });
  return owned(json);
}

std::string cost(const Recipe& recipe, const std::string& question) {
  char* answer = nullptr;
  run([&](karat_error* error) { karat_cost(recipe.get(), question.c_str(), &answer, error); });
  return owned(answer);
}

std::string cost_picture(const Recipe& recipe, const std::string& question,
                         const std::string& kind) {
  char* text = nullptr;
  run([&](karat_error* error) {
    karat_cost_picture(recipe.get(), question.c_str(), kind.c_str(), &text, error);
  });
  return owned(text);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C interface of karat on NumPy arrays; see karat for the functions to use.";
  py::class_<Recipe>(module, "Recipe").def(py::init<std::string>()).def("json", &Recipe::json);
  module.def("version", &karat_version);
  module.def("encode", &encode);
  module.def("decode", &decode);
  module.def("scaled_mm", &scaled_mm);
  module.def("attend", &attend);
  module.def("truth", &truth);
  module.def("quantise", &quantise);
  module.def("mask", &mask);
  module.def("mask_picture", &mask_picture);
  module.def("load", &load);
  module.def("list", &list);
  module.def("save", &save);
  module.def("generate", &generate);
  module.def("make", &make);
  module.def("check", &check);
  module.def("diagnose", &diagnose);
  module.def("names", &names);
  module.def("cost", &cost);
  module.def("cost_picture", &cost_picture);
}
