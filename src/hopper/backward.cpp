// The kernels of a backward, one after another.
#include "karat/hopper/backward.hpp"

#include <algorithm>

#include "karat/hopper/around.hpp"
#include "karat/hopper/calibration.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/format.hpp"

namespace karat::hopper {
namespace {

bool eight_bit(const quant::Rule& rule) { return numerics::format(rule.format).bits <= 8; }

/// Products of codes: no such backward kernel's structure is known.
bool multiplies_codes(const recipe::Recipe& r) {
  const recipe::Backward& b = r.backward;
  const auto codes = [](recipe::Source source, const quant::Rule& rule) {
    return source == recipe::Source::codes && eight_bit(rule);
  };
  return codes(b.q, r.q) || codes(b.k, r.k) || codes(b.v, r.v) || eight_bit(b.d_o) ||
         eight_bit(b.ds);
}

std::string name_of(Pass pass) {
  return pass == Pass::gradients       ? "dQ, dK and dV"
         : pass == Pass::key_gradients ? "dK and dV"
                                       : "dQ";
}

class Backward {
 public:
  Backward(const Question& question, Detail detail) : q_(question), detail_(detail) {}

  BackwardCost run() {
    out_.kernel = backward_kernel(q_);
    const recipe::Recipe& r = q_.recipe;
    const double queries = elements(q_.shape.queries, q_.shape.heads);
    const double keys = elements(q_.shape.keys, q_.shape.key_heads());
    const bool sums = out_.kernel != Kernel::flex;  // dQ is summed in FP32 memory
    dequantise("q", r.backward.q, r.q, queries);
    dequantise("k", r.backward.k, r.k, keys);
    dequantise("v", r.backward.v, r.v, keys);
    const bool reordered = r.mask.tile.volume() > 1 && q_.grid.has_value();
    if (reordered) stream("reorder dO", 4 * queries);
    stream("delta", (sums ? 8 : 4) * queries);  // O and dO; zeros where dQ will be added
    const BlockLists lists = BlockLists::read;  // counts where the work is listed
    const bool causal =
        q_.shape.causality == Causality::causal || r.mask.causal == recipe::Causal::on;
    const Causality causality = causal ? Causality::causal : Causality::none;
    for (const Plan& plan :
         make_backward_plans(out_.kernel, q_.shape.head_dim, causality, lists, q_.machine))
      multiply(plan);
    if (sums) stream("cast dQ", 6 * queries);
    if (q_.shape.key_heads() < q_.shape.heads)
      stream("add heads of dK and dV",
             2 * (4 * elements(q_.shape.keys, q_.shape.heads) + 2 * keys));
    if (reordered) stream("reorder dQ, dK and dV", 4 * (queries + 2 * keys));
    for (const BackwardKernel& kernel : out_.kernels) out_.time_ms += kernel.ms;
    out_.tflops = 10.0 * q_.shape.head_dim * pairs_ / out_.time_ms * 1e-9;
    std::ranges::stable_sort(out_.savings, std::ranges::greater{}, &Saving::ms);
    return std::move(out_);
  }

 private:
  double elements(std::int64_t tokens, int heads) const {
    return double(q_.shape.batch) * heads * q_.shape.head_dim * static_cast<double>(tokens);
  }

  void stream(std::string name, double bytes) {
    out_.kernels.push_back({.name = std::move(name), .ms = stream_ms(q_.machine, bytes)});
  }

  /// A tensor that the products read as BF16 and the forward kept as codes.
  void dequantise(const char* name, recipe::Source source, const quant::Rule& rule, double count) {
    if (source != recipe::Source::dequantised || !eight_bit(rule)) return;
    stream(std::string("dequantise ") + name, 3 * count);
  }

  void multiply(const Plan& plan) {
    const MaskedWork masked = work_of(q_, plan);
    BackwardKernel kernel{.name = name_of(plan.pass), .plan = plan};
    kernel.launch = launch_time(q_.machine, q_.timing, plan, q_.shape, masked.work);
    const auto calibrated_ms = [&](const LaunchTime& launch) {
      return calibrated_us(q_.machine, plan, q_.shape, launch) * 1e-3;
    };
    kernel.ms = calibrated_ms(kernel.launch);
    pairs_ = masked.kept_pairs * static_cast<double>(masked.work.copies);
    for (int part = 0; detail_ == Detail::bounds && part < kParts; ++part) {
      const LaunchTime without = launch_time_without(static_cast<Part>(part), q_.machine, q_.timing,
                                                     plan, q_.shape, masked.work);
      const double ms = kernel.ms - calibrated_ms(without);
      const auto known = std::ranges::find(out_.savings, static_cast<Part>(part), &Saving::part);
      if (known == out_.savings.end()) {
        out_.savings.push_back({static_cast<Part>(part), ms});
      } else {
        known->ms += ms;
      }
    }
    out_.kernels.push_back(std::move(kernel));
  }

  const Question& q_;
  Detail detail_;
  BackwardCost out_;
  double pairs_ = 0;
};

}  // namespace

Kernel backward_kernel(const Question& q) {
  const recipe::Recipe& r = q.recipe;
  if (!r.backward.exists())
    throw Error(ErrorKind::usage, "recipe " + r.name, "has no backward",
                "choose one that has, for example fa3_bf16 or fps_ste_bf16");
  if (multiplies_codes(r))
    throw Error(ErrorKind::usage, "recipe " + r.name,
                "multiplies codes in its backward, and no such kernel's structure is known",
                "choose one whose backward runs in BF16, for example te_delayed");
  if (q.kernel) return *q.kernel;
  return r.backward.loop == recipe::BackwardLoop::two_kernels ? Kernel::flex : Kernel::fa3;
}

BackwardCost backward_cost(const Question& question, Detail detail) {
  return Backward(question, detail).run();
}

}  // namespace karat::hopper
