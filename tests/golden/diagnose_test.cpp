// The checker checked: every hypothesis is injected alone and must come back first; kernels that
// are right but for a legal exp2 raise no alarm.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "diagnose_case.hpp"
#include "forward_presets.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

bool long_run() { return std::getenv("KARAT_LONG") != nullptr; }

struct Workload {
  const char* name;
  video::WorkloadSpec spec;
};
const Workload kWorkloads[] = {
    {"ordinary", {.grid = {2, 16, 16}, .heads = 2, .head_dim = 32}},
    {"adversarial",
     {.kind = video::WorkloadKind::saturating_p, .grid = {2, 16, 16}, .heads = 2, .head_dim = 32}},
    {"ragged", {.grid = {3, 13, 11}, .heads = 2, .head_dim = 32, .seed = 3}},
};

class Diagnose : public DiagnoseCase, public testing::Test {};

std::vector<Hypothesis> all_hypotheses(const recipe::Recipe& recipe) {
  std::vector<Hypothesis> all = recipe_edits(recipe);
  for (const Mistake& mistake : mistakes())
    all.push_back({.edits = {}, .mistakes = {&mistake}, .recipe = recipe});
  return all;
}

/// A workload, whether the candidate's exp2 is another legal one, and which hypotheses an ordinary
/// run injects: every `stride`-th.
struct Sweep {
  Workload workload;
  bool legal_exp2;
  std::size_t stride;
};
void PrintTo(const Sweep& sweep, std::ostream* out) {
  *out << sweep.workload.name << (sweep.legal_exp2 ? ", another exp2" : "");
}

class DiagnoseSweep : public DiagnoseCase, public testing::TestWithParam<Sweep> {
 protected:
  struct Found {
    enum Kind { invisible, within, ranked } kind = ranked;
    std::size_t rank = 0;
    std::string first;
    double seconds = 0;
    bool any_bit = false;
  };
  /// One candidate, diagnosed from its o alone. A fault that stays within the legal range is looked
  /// at again with every bit counting, if the exp2 is the golden one.
  Found look(const GoldenFile& golden, const std::vector<float>& o, const std::string& injected) {
    const std::vector<float> right = golden.values("o", cases::Extents::matrix, 0, 0);
    if (std::equal(o.begin(), o.end(), right.begin(), same_value))
      return {.kind = Found::invisible};
    const auto begin = std::chrono::steady_clock::now();
    const auto source = candidate(golden, o);
    DiagnoseOptions options{.reported = 1000};
    Diagnosis diagnosis = diagnose(golden, *source, options);
    Found found{.any_bit = diagnosis.matches};
    if (diagnosis.matches && GetParam().legal_exp2) return {.kind = Found::within};
    if (diagnosis.matches) {
      options.alarm = Alarm::any_bit;
      diagnosis = diagnose(golden, *source, options);
    }
    found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    found.rank = rank_of(diagnosis, injected);
    if (!diagnosis.hypotheses.empty()) found.first = to_text(diagnosis.hypotheses.front());
    return found;
  }
};

// The table goes to the file that KARAT_DIAGNOSE_TABLE names.
TEST_P(DiagnoseSweep, FindsEveryInjectedFault) {
  const Sweep& sweep = GetParam();
  const GoldenFile golden = make_golden(small("fpsattention"), sweep.workload.spec);
  const Base base = make_base(golden, 0, 0);
  const std::vector<Hypothesis> all = all_hypotheses(golden.recipe());
  const char* path = std::getenv("KARAT_DIAGNOSE_TABLE");
  std::ofstream table(path != nullptr ? path : "/dev/null", std::ios::app);
  int injected = 0, invisible = 0, within = 0, visible = 0, first = 0;
  double seconds = 0;
  for (std::size_t i = 3; i < all.size(); i += long_run() ? 1 : sweep.stride) {
    std::optional<Prediction> made;
    try {
      if (!sweep.legal_exp2 || kernel_runs(all[i].recipe))
        made = predict_all(base, all[i], sweep.legal_exp2 ? another_exp2(5) : KernelExp2{});
    } catch (const Error&) {  // no meaning on this case
    }
    if (!made) continue;
    ++injected;
    const std::string text = to_text(all[i]);
    const Found found = look(golden, made->stages[1].values, text);
    table << "| " << text << " | " << testing::PrintToString(sweep) << " | ";
    if (found.kind == Found::ranked) {
      ++visible;
      first += found.rank == 1;
      seconds += found.seconds;
      table << found.rank << (found.any_bit ? " (any bit)" : "")
            << (found.rank == 1 ? "" : ", first: " + found.first) << " | "
            << std::round(found.seconds * 100) / 100 << " |" << std::endl;
    } else {
      invisible += found.kind == Found::invisible;
      within += found.kind == Found::within;
      table << (found.kind == Found::within ? "within" : "invisible") << " | |" << std::endl;
    }
  }
  std::cout << testing::PrintToString(sweep) << ": injected " << injected << ", invisible "
            << invisible << ", within " << within << ", visible " << visible << ", first " << first
            << ", " << seconds / std::max(1, visible) << " s each\n";
  EXPECT_GE(first, 0.95 * visible);
  EXPECT_GT(visible, 1);
}

INSTANTIATE_TEST_SUITE_P(
    Workloads, DiagnoseSweep,
    testing::Values(Sweep{kWorkloads[0], false, 20}, Sweep{kWorkloads[1], false, 10},
                    Sweep{kWorkloads[2], false, 20}, Sweep{kWorkloads[0], true, 60},
                    Sweep{kWorkloads[1], true, 60}, Sweep{kWorkloads[2], true, 60}));

TEST_F(Diagnose, CorrectKernelsRaiseNoAlarm) {
  int compared = 0;
  for (const std::string_view name : recipe::forward_presets())
    for (std::uint64_t seed = 0; seed < (long_run() ? 20 : 1); ++seed) {
      const recipe::Recipe recipe = small(name);
      if (!kernel_runs(recipe)) continue;
      const GoldenFile golden =
          make_golden(recipe, {.grid = {3, 9, 7}, .heads = 1, .head_dim = 32, .seed = seed});
      const Base base = make_base(golden, 0, 0);
      const Hypothesis none{.edits = {}, .mistakes = {}, .recipe = recipe};
      const auto made = predict_all(base, none, another_exp2(static_cast<std::uint32_t>(seed)));
      const auto source = candidate(golden, made->stages[1].values);
      const Diagnosis diagnosis = diagnose(golden, *source);
      EXPECT_TRUE(diagnosis.matches) << name << " seed " << seed;
      ++compared;
    }
  EXPECT_GT(compared, 15);
}

// Written in NumPy from the formulas (fp32_kernel.py): FP32 accumulation in BLAS's order, NumPy's
// exp2.
TEST_F(Diagnose, RecognisesFp32AccumulationOfAnIndependentProgram) {
  const GoldenFile golden =
      make_golden(recipe::preset("fpsattention"), {.grid = {6, 8, 16}, .heads = 1, .seed = 7});
  const std::string command = std::string(KARAT_PYTHON) + " -B " + KARAT_SOURCE_DIR +
                              "/tests/golden/fp32_kernel.py " + golden.subject() + " " +
                              (folder_ / "fp32.npy").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Diagnosis diagnosis = diagnose(golden, *cases::TensorSource::open(folder_ / "fp32.npy"));
  ASSERT_TRUE(diagnosis.explained);
  const Explanation& first = diagnosis.hypotheses.front();
  ASSERT_EQ(first.edits.size(), 2u) << to_text(first);
  for (const FieldEdit& edit : first.edits) {
    EXPECT_TRUE(edit.field.ends_with(".instruction")) << edit.field;
    EXPECT_EQ(edit.candidate, recipe::Value(std::string("f32.fma")));
  }
}

// Ranges wider than the values explain everything; the distance tells which hypothesis it is.
TEST_F(Diagnose, NamesALazyRescaleInsideWideRanges) {
  const video::WorkloadSpec spec{
      .kind = video::WorkloadKind::gaussian, .grid = {4, 8, 16}, .heads = 1, .head_dim = 32};
  const GoldenFile golden = make_golden(small("fa3_fp8"), spec);
  make(cases::make_case(small("fa3_fp8_lazy_rescale"), cases::generated_inputs(spec, 0)),
       {.taps = "none", .threads = 2}, folder_ / "lazy.h5");
  const std::vector<float> o =
      GoldenFile(folder_ / "lazy.h5").values("o", cases::Extents::matrix, 0, 0);
  const Diagnosis diagnosis = diagnose(golden, *candidate(golden, o), {.alarm = Alarm::any_bit});
  ASSERT_TRUE(diagnosis.explained);
  EXPECT_EQ(to_text(diagnosis.hypotheses.front()), "softmax.rescale_threshold 0 -> 4");
  EXPECT_TRUE(diagnosis.hypotheses.front().confirmed);
}

// Two faults at once, drawn from the visible ones: both are named, or two with the same bits.
TEST_F(Diagnose, FindsPairs) {
  const GoldenFile golden = make_golden(small("fpsattention"), kWorkloads[0].spec);
  const Base base = make_base(golden, 0, 0);
  const std::vector<Hypothesis> all = all_hypotheses(golden.recipe());
  const std::vector<float> right = golden.values("o", cases::Extents::matrix, 0, 0);
  const auto outputs = [&](const Hypothesis& hypothesis) -> std::vector<float> {
    try {
      const auto made = predict_all(base, hypothesis);
      return made ? made->stages[1].values : right;
    } catch (const Error&) {
      return right;
    }
  };
  const auto equal = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), same_value);
  };
  int tried = 0, accounted = 0, named = 0;
  std::uint32_t turn = 12345;
  const auto draw = [&] { return all[(turn = turn * 1664525u + 1013904223u) / 7 % all.size()]; };
  const char* wanted = std::getenv("KARAT_DIAGNOSE_PAIRS");
  const int pairs = wanted != nullptr ? std::atoi(wanted) : long_run() ? 40 : 2;
  while (tried < pairs) {
    const Hypothesis a = draw(), b = draw();
    const auto pair = both(golden.recipe(), a, b);
    if (!pair) continue;
    const std::vector<float> o = outputs(*pair), only_a = outputs(a), only_b = outputs(b);
    if (equal(o, right) || equal(o, only_a) || equal(o, only_b)) continue;  // one hides the other
    const Diagnosis diagnosis = diagnose(golden, *candidate(golden, o), {.reported = 1000});
    if (diagnosis.matches) continue;
    ++tried;
    accounted += diagnosis.explained;
    const bool found = rank_of(diagnosis, to_text(*pair)) == 1;
    named += found;
    std::cout << (found                 ? "named   "
                  : diagnosis.explained ? "instead "
                                        : "missed  ")
              << to_text(*pair) << "  :  "
              << (diagnosis.hypotheses.empty() ? "" : to_text(diagnosis.hypotheses[0]))
              << std::endl;
  }
  std::cout << tried << " pairs: accounted for " << accounted << ", named " << named << "\n";
  EXPECT_GE(2 * accounted, tried);
}

TEST_F(Diagnose, SaysWhatACandidateIsAsAWhole) {
  const GoldenFile golden = make_golden(small("fpsattention"), kWorkloads[0].spec);
  std::vector<float> o = golden.values("o", cases::Extents::matrix, 0, 0);
  for (const float value : {0.0f, std::nanf("")}) {
    std::fill(o.begin(), o.end(), value);
    const Diagnosis diagnosis = diagnose(golden, *candidate(golden, o));
    EXPECT_FALSE(diagnosis.matches);
    EXPECT_FALSE(diagnosis.explained);
    EXPECT_NE(diagnosis.remark.find(value == 0 ? "0 everywhere" : "NaN everywhere"),
              std::string::npos);
    // Blocks of one k-group: nothing else is left of P V. Listed, but not said to be it.
    if (value == 0) {
      EXPECT_EQ(rank_of(diagnosis, "last keys left out"), 1u);
    }
  }
}

// The kernel that mistakes are injected into is the engine, bit for bit.
TEST_F(Diagnose, TheFaultlessKernelIsTheEngine) {
  for (const std::string_view name : recipe::forward_presets()) {
    const recipe::Recipe recipe = small(name);
    if (!kernel_runs(recipe)) continue;
    const GoldenFile golden =
        make_golden(recipe, {.grid = {3, 9, 7}, .heads = 1, .head_dim = 32, .seed = 9});
    const Base base = make_base(golden, 0, 0);
    const Hypothesis none{.edits = {}, .mistakes = {}, .recipe = recipe};
    const auto made = predict_all(base, none, [](float, float rounded) { return rounded; });
    const std::vector<float> right = golden.values("o", cases::Extents::matrix, 0, 0);
    EXPECT_TRUE(std::equal(right.begin(), right.end(), made->stages[1].values.begin(), same_value))
        << name;
  }
}

}  // namespace
}  // namespace karat::golden
