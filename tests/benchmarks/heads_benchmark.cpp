// Whole heads beside what bounds them, in turn, each as often as TURNS says:
//   benchmark_heads [T H W [THREADS [TURNS [RECIPE ...]]]]
//                     default 21 30 52 (480 x 832 x 81 frames), 2 threads, 5 turns and six presets
// The yardstick of a recipe is the chain of its two instructions on operands packed before (64 x
// 128 x 128, one product a thread, all of them at once); of plain FP32 and FP64 it is OpenBLAS's
// sgemm and dgemm, 2048^3. A ratio is the head's rate over the yardstick's, each product at its own
// instruction's rate; medians over the turns, by wall time and by processor time. Heads count what
// `karat attend` does after its file is read: operands quantised, the mask planned, the head run.
// KARAT_BENCHMARK_TARGET=avx2 limits the library to AVX2; OPENBLAS_CORETYPE=Haswell does it for
// OpenBLAS.
#include <cblas.h>
#include <hwy/targets.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/attention/predict.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/workload.hpp"
#include "processor_time.hpp"

extern "C" void openblas_set_num_threads(int);

namespace karat {
namespace {

/// Multiply-adds per second; of processor time those of one thread.
struct Rate {
  double wall, processor;
};

Rate timed(double multiply_adds, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  const double processor = processor_seconds(work);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return {multiply_adds / wall.count(), multiply_adds / processor};
}

/// Of products that take half of the time each.
Rate together(Rate a, Rate b) {
  return {2 / (1 / a.wall + 1 / b.wall), 2 / (1 / a.processor + 1 / b.processor)};
}

double median(std::vector<double> x) {
  std::ranges::nth_element(x, x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2));
  return x[x.size() / 2];
}

/// D = A B^T, 64 x 128 with 128 terms; one of them for each thread.
class Chain {
 public:
  enum class Rows { mixed, not_negative };
  Chain(const numerics::Instruction& instruction, Rows signs, int threads)
      : instruction_(instruction), operands_(static_cast<std::size_t>(threads)) {
    const auto id = numerics::input_format(instruction);
    const float scale = numerics::format(id).kind == numerics::Kind::integer ? 30.0f : 0.9f;
    std::vector<float> x(128 * 128 + 7);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto value = static_cast<float>(static_cast<int>(i * 37 % 41) - 20) * scale / 7;
      x[i] = numerics::decode(numerics::encode(value, id), id);
    }
    for (Operands& o : operands_) {
      o.columns.pack(instruction, numerics::row_major<const float>(x.data(), 128, 128));
      std::vector<float> rows(x.begin() + 7, x.begin() + 7 + 64 * 128);
      if (signs == Rows::not_negative)
        for (float& value : rows) value = std::abs(value);
      o.rows.pack(instruction, numerics::row_major<const float>(rows.data(), 64, 128));
      o.d.resize(64 * 128);
    }
  }
  Rate rate(int count) {
    const auto threads = static_cast<int>(operands_.size());
    return timed(64.0 * 128 * 128 * count * threads, [&] {
      numerics::parallel_for(operands_.size(), threads, [&](std::size_t at, int) {
        Operands& o = operands_[at];
        for (int i = 0; i < count; ++i)
          numerics::chain(instruction_, o.rows, o.columns, numerics::Start::absent,
                          numerics::row_major(o.d.data(), 64, 128));
      });
    });
  }

 private:
  struct Operands {
    numerics::RowOperand rows;
    numerics::ColumnOperand columns;
    std::vector<float> d;
  };
  const numerics::Instruction& instruction_;
  std::vector<Operands> operands_;
};

template <typename T>
Rate blas_rate(int threads) {
  openblas_set_num_threads(threads);
  constexpr int n = 2048;
  static const std::vector<T> a(n * n, T{1}), b(n * n, T{1});
  static std::vector<T> c(n * n);
  return timed(static_cast<double>(n) * n * n, [&] {
    if constexpr (sizeof(T) == 4)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.data(), n, b.data(), n,
                  0, c.data(), n);
    else
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.data(), n, b.data(), n,
                  0, c.data(), n);
  });
}

struct Yardstick {
  std::string name;
  std::function<Rate()> rate;
};

Yardstick yardstick(const recipe::Recipe& recipe, int threads) {
  const auto& qk = numerics::instruction(recipe.qk.instruction);
  const auto& pv = numerics::instruction(recipe.pv.instruction);
  if (qk.name == "f32.fma") return {"sgemm", [threads] { return blas_rate<float>(threads); }};
  if (qk.name == "exact") return {"dgemm", [threads] { return blas_rate<double>(threads); }};
  constexpr int kCount = 4000;
  return {"its chains", [&qk, &pv, threads] {
            Chain first(qk, Chain::Rows::mixed, threads);
            Chain second(pv, Chain::Rows::not_negative, threads);
            return together(first.rate(kCount), second.rate(kCount));
          }};
}

void measure(const recipe::Recipe& recipe, video::Extent3 grid, const attention::HeadInput& input,
             int threads, int turns) {
  const Yardstick beside = yardstick(recipe, threads);
  std::vector<double> wall, processor, heads, yardsticks;
  for (int turn = 0; turn < turns; ++turn) {
    const Rate bound = beside.rate();
    double work = 0;
    const Rate spent = timed(1, [&] {
      const layout::Layout layout =
          attention::layout_of_head(recipe, {.grid = grid, .channels = 128}, input, threads);
      const attention::QuantisedHead head =
          attention::quantise_head(recipe, layout, input, numerics::Path::fast, threads);
      attention::attend(recipe, layout, head, {.threads = threads});
      work = layout.multiply_adds();
    });
    heads.push_back(spent.wall * work);
    yardsticks.push_back(bound.wall);
    wall.push_back(spent.wall * work / bound.wall);
    processor.push_back(spent.processor * work / bound.processor);
  }
  std::printf("| %-12s | %-10s | %7.1f | %7.1f | %5.2f | %5.2f |\n", recipe.name.c_str(),
              beside.name.c_str(), median(yardsticks) * 1e-9, median(heads) * 1e-9, median(wall),
              median(processor));
  std::fflush(stdout);
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  using namespace karat;
  const char* target = std::getenv("KARAT_BENCHMARK_TARGET");
  if (target && std::string(target) == "avx2") hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  video::Extent3 grid{21, 30, 52};
  if (argc >= 4) grid = {std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3])};
  const int threads = argc >= 5 ? std::atoi(argv[4]) : 2;
  const int turns = argc >= 6 ? std::atoi(argv[5]) : 5;
  std::vector<std::string> names(argv + std::min(argc, 6), argv + argc);
  if (names.empty())
    names = {"fpsattention", "fa3_fp8", "sage2_sm90", "sta_bf16", "dense_f32", "dense_f64"};
  if (argc == 2 || argc == 3 || threads < 1 || turns < 1 || grid.volume() < 1) {
    std::fprintf(stderr, "usage: benchmark_heads [T H W [THREADS [TURNS [RECIPE ...]]]]\n");
    return 2;
  }
  const video::Head made = video::generate_head({.grid = grid}, 0, 0);
  const attention::HeadInput input{made.q, made.k, made.v, numerics::FormatId::bf16};
  std::printf("%d x %d x %d tokens, d = 128, threads: %d, %s\n\n", grid.t, grid.h, grid.w, threads,
              target ? target : "this machine's vectors");
  std::printf(
      "| recipe | beside | its 1e9 MAC/s | the head's | ratio | by processor time |\n"
      "|---|---|---:|---:|---:|---:|\n");
  for (const std::string& name : names)
    measure(recipe::load_recipe(name), grid, input, threads, turns);
  return 0;
}
