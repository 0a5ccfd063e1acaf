// The power of check on gradients: what it catches where exp2 is free, and that legal kernels
// match. KARAT_LONG=1 and KARAT_GRADIENT_POWER=FILE write the table of docs/bounds.md.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "check/candidate_values.hpp"
#include "karat/attention/attend.hpp"
#include "karat/case/formats.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/make.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/philox.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "karat/report/text.hpp"
#include "planted_gradients.hpp"

namespace karat::golden {
namespace {

constexpr const char* kGradients[] = {"dq", "dk", "dv"};
constexpr int kSigns = 4;

/// A golden file with gradients, and the right candidate.
class GradientHead {
 public:
  GradientHead(const std::string& preset, video::Extent3 grid,
               const std::function<void(recipe::Recipe&)>& edit = {})
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("karat_gradient_power_" + std::to_string(getpid()) + preset)) {
    std::filesystem::create_directories(folder_);
    recipe::Recipe recipe = small_backward(preset);
    if (edit) edit(recipe);
    make(cases::make_case(recipe,
                          cases::generated_inputs({.grid = grid, .heads = 1, .head_dim = 32}, 0)),
         {.taps = "none", .threads = 1, .passes = Passes::forward_and_backward}, folder_ / "g.h5");
    golden.emplace(folder_ / "g.h5");
    right = gradients_with(*golden, {});
  }
  ~GradientHead() { std::filesystem::remove_all(folder_); }

  CheckReport judged(const files::Tensors& candidate) const {
    files::write_safetensors(folder_ / "c.safetensors", candidate);
    return check(*golden, *cases::TensorSource::open(folder_ / "c.safetensors"), {.threads = 1});
  }
  bool caught(const files::Tensors& candidate) const { return !judged(candidate).passed; }

  /// The right candidate with one tensor changed value by value, rounded to the output's format.
  files::Tensors with(const std::string& name,
                      const std::function<float(std::size_t, float)>& change) const {
    files::Tensors candidate = right;
    files::Tensor& tensor = candidate[name];
    std::vector<float> values = values_of(name);
    const numerics::FormatId format = golden->format(name);
    for (std::size_t e = 0; e < values.size(); ++e) {
      const float x = change(e, values[e]);
      values[e] = format == numerics::FormatId::f32
                      ? x
                      : numerics::decode(numerics::encode(x, format, numerics::Policy{}), format);
    }
    tensor = cases::encoded(values, stored_format(*golden, name), tensor.shape);
    return candidate;
  }

  std::vector<float> values_of(const std::string& name) const {
    return candidate_values(right.at(name), golden->format(name), name);
  }

  std::optional<GoldenFile> golden;
  files::Tensors right;

 private:
  std::filesystem::path folder_;
};

/// The smallest power of two from which all noise in the tensor is caught: normal, times the rms of
/// the row; 1 where none is.
double least_noise(const GradientHead& head, const std::string& name) {
  const std::vector<float> values = head.values_of(name);
  const std::size_t d = head.golden->shape().channels;
  double least = 1;
  for (int exponent = 2; exponent <= 20; ++exponent) {
    const double size = std::ldexp(1.0, -exponent);
    std::mt19937 random(7 + exponent);
    std::normal_distribution<double> normal;
    std::vector<float> rms(values.size() / d);
    for (std::size_t e = 0; e < values.size(); ++e) rms[e / d] += values[e] * values[e];
    for (float& row : rms) row = std::sqrt(row / static_cast<float>(d));
    if (!head.caught(head.with(name, [&](std::size_t e, float x) {
          return static_cast<float>(x + size * normal(random) * rms[e / d]);
        })))
      return least;
    least = size;
  }
  return least;
}

/// The share of values that must be as they are: one unit of the format away is proven wrong.
double proven_units(const GradientHead& head, const std::string& name) {
  const numerics::FormatId format = head.golden->format(name);
  const double unit = std::ldexp(1.0, -numerics::format(format).fraction_bits);
  const CheckReport report = head.judged(head.with(name, [&](std::size_t, float x) {
    return x == 0 ? x
                  : x + static_cast<float>(std::copysign(unit, x) * std::ldexp(1.0, std::ilogb(x)));
  }));
  for (const StageReport& stage : report.stages)
    if (stage.stage == name)
      return static_cast<double>(stage.outside) / static_cast<double>(stage.differing);
  return 0;
}

/// Whether one value of opposite sign is caught, of kSigns values of at least the rms.
int wrong_signs_caught(const GradientHead& head, const std::string& name) {
  const std::vector<float> values = head.values_of(name);
  double square = 0;
  for (const float x : values) square += x * x / static_cast<double>(values.size());
  int caught = 0;
  std::mt19937 random(3);
  for (int n = 0; n < kSigns; ++n) {
    std::size_t at = random() % values.size();
    while (values[at] * values[at] < square) at = random() % values.size();
    caught +=
        head.caught(head.with(name, [at](std::size_t e, float x) { return e == at ? -x : x; }));
  }
  return caught;
}

struct Mistakes {
  int caught = 0, visible = 0;
  std::vector<std::string> missed;
};
/// All planted mistakes that mean something for the preset and change a bit.
Mistakes mistakes_of(const GradientHead& head) {
  Mistakes result;
  for (const PlantedGradient& planted : planted_gradients()) {
    if (planted.golden || planted.ragged) continue;
    recipe::Recipe edited = head.golden->recipe();
    try {
      if (planted.edit) planted.edit(edited);
      if (!recipe::problems(edited).empty()) continue;
      const CheckReport report = head.judged(gradients_with(*head.golden, planted));
      if (report.verdict == Verdict::equal) continue;
      ++result.visible;
      result.caught += !report.passed;
      if (report.passed) result.missed.push_back(planted.name);
    } catch (const Error&) {
      continue;  // no meaning for this recipe
    }
  }
  return result;
}

/// What the forward leaves under another legal exp2.
void another_forward(cases::BackwardRun::Head& head, const recipe::Recipe& golden,
                     const layout::Layout& layout) {
  recipe::Recipe recipe = golden;
  recipe.softmax.exp2 = recipe::Exp2::rounded;
  attention::HeadResult forward = attention::attend(recipe, layout, head.operands, {.threads = 1});
  head.o = std::move(forward.o);
  head.lse = std::move(forward.lse);
  if (!head.o_unquantised_p.empty())
    head.o_unquantised_p =
        attention::unquantised_p_output(recipe, layout, head.operands, numerics::Path::fast, 2);
}

struct Legal {
  int run = 0, differing = 0, doubted = 0;
};
Legal legal_kernels_of(const GradientHead& head, int seeds) {
  Legal legal;
  for (int seed = 1; seed <= seeds; ++seed) {
    PlantedGradient kernel;
    kernel.head = another_forward;
    kernel.errors.exp2 = [seed](float x, float p) {
      if (!(p > 0) || x == 0) return p;
      const auto word = numerics::random_bits(seed, 9, std::bit_cast<std::uint32_t>(x));
      return p + static_cast<float>(static_cast<int>(word % 3) - 1) *
                     std::ldexp(1.0f, std::ilogb(p) - 23);
    };
    const CheckReport report = head.judged(gradients_with(*head.golden, kernel));
    ++legal.run;
    legal.differing += report.verdict != Verdict::equal;
    legal.doubted += !report.passed;
  }
  return legal;
}

std::vector<std::string> backward_presets() {
  std::vector<std::string> names;
  for (const std::string_view name : recipe::preset_names())
    if (recipe::preset(name).backward.exists()) names.emplace_back(name);
  return names;
}

// One preset stands for the table.
TEST(CheckGradientsPower, CatchesNoiseWrongValuesAndMistakes) {
  EXPECT_GT(proven_units({"fa3_bf16", {1, 8, 8}}, "dq"), 0.5);
  const GradientHead head("fa3_bf16", {1, 8, 8}, in_f32);
  EXPECT_LE(least_noise(head, "dk"), 0x1p-6);
  const Legal legal = legal_kernels_of(head, 2);
  EXPECT_GT(legal.differing, 0);
  EXPECT_EQ(legal.doubted, 0);
  PlantedGradient twice;
  twice.errors.dk_roots = 2;
  EXPECT_TRUE(head.caught(gradients_with(*head.golden, twice)));
}

TEST(CheckGradientsPower, TableOfAllPresets) {
  const char* file = std::getenv("KARAT_GRADIENT_POWER");
  if (std::getenv("KARAT_LONG") == nullptr || file == nullptr)
    GTEST_SKIP() << "not measured: set KARAT_LONG=1 and KARAT_GRADIENT_POWER=FILE";
  std::ofstream out(file);
  out << "| preset | noise dq, dk, dv | one unit off is proven wrong: dq, dk, dv | opposite sign "
         "caught | mistakes caught | missed | legal kernels doubted |\n"
         "|---|---|---|---|---|---|---|\n";
  for (const std::string& preset : backward_presets()) {
    const GradientHead head(preset, {2, 8, 8});
    out << "| " << preset << " | ";
    for (const char* name : kGradients)
      out << report::print("%s%.1e", name == kGradients[0] ? "" : ", ", least_noise(head, name));
    out << " | ";
    int signs = 0;
    for (const char* name : kGradients) {
      out << report::print("%s%.0f %%", name == kGradients[0] ? "" : ", ",
                           100 * proven_units(head, name));
      signs += wrong_signs_caught(head, name);
    }
    const Mistakes mistakes = mistakes_of(head);
    const Legal legal = legal_kernels_of(head, 6);
    EXPECT_EQ(legal.doubted, 0) << preset;
    std::string missed;
    for (const std::string& name : mistakes.missed) missed += (missed.empty() ? "" : ", ") + name;
    out << report::print(" | %d of %d | %d of %d | ", signs,
                         kSigns * static_cast<int>(std::size(kGradients)), mistakes.caught,
                         mistakes.visible)
        << (missed.empty() ? "none" : missed)
        << report::print(" | %d of %d |", legal.doubted, legal.run) << std::endl;
  }
}

}  // namespace
}  // namespace karat::golden
