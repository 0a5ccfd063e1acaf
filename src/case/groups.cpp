// Forwards head by head, then their backward; given outputs beside the recipe's own.
#include "karat/case/groups.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "karat/attention/attend.hpp"
#include "karat/case/taps.hpp"

namespace karat::cases {

double GivenAgainstOwn::relative_l2() const {
  return squared_size > 0 ? std::sqrt(squared_difference / squared_size) : 0;
}

std::string GivenAgainstOwn::told(const recipe::Recipe& recipe) const {
  const bool natural = recipe.softmax.lse == recipe::Lse::natural;
  char figures[160];
  std::snprintf(figures, sizeof figures,
                "of %zu rows computed anew, o differs by a relative L2 of %.1e and lse by at most "
                "%.1e",
                rows, relative_l2(), largest_lse_difference);
  std::string line = std::string("o and lse are taken as given; ") + figures;
  if (other_rows > 0)
    line += ", and " + std::to_string(other_rows) + " have keys on one side alone";
  if (relative_l2() > 0.5 || largest_lse_difference > 0.5 || other_rows > 0)
    line += std::string(": not of this recipe, mask or input? (lse in ") +
            (natural ? "natural units" : "log2 units") + ")";
  return line;
}

void NotFinite::count(const attention::BackwardResult& result) {
  const auto among = [](const std::vector<float>& values) {
    return std::ranges::count_if(values, [](float x) { return !std::isfinite(x); });
  };
  for (const std::vector<float>& head : result.dq) dq += among(head);
  dk += among(result.dk);
  dv += among(result.dv);
}

std::string NotFinite::told() const {
  return "gradients: Inf or NaN in " + std::to_string(dq) + " values of dq, " + std::to_string(dk) +
         " of dk, " + std::to_string(dv) +
         " of dv, where the recipe's sums or casts overflow; give a smaller do";
}

namespace {

/// The first and the last query block of a head.
void compare(const Case& of, const HeadAtWork& work, const GivenOutputs& given, int threads,
             GivenAgainstOwn& found) {
  constexpr float kNoKeys = -std::numeric_limits<float>::infinity();
  const std::vector<int> blocks = choose_taps(work.layout, 0, 2);
  const attention::HeadResult own = attention::attend(of.recipe, work.layout, work.operands,
                                                      {.threads = threads, .query_blocks = blocks});
  const std::size_t d = work.layout.channels;
  for (const int block : blocks) {
    const video::Range rows = work.layout.blocks.query_blocks[block];
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      const std::int32_t token = work.layout.order.token_at[i];
      if (token < 0) continue;
      const float a = given.lse[token], b = own.lse[token];
      if (a == kNoKeys || b == kNoKeys) {
        found.other_rows += (a == kNoKeys) != (b == kNoKeys);
        continue;
      }
      ++found.rows;
      found.largest_lse_difference =
          std::max(found.largest_lse_difference, std::abs(double{a} - double{b}));
      for (std::size_t j = 0; j < d; ++j) {
        const double x = own.o[token * d + j], difference = given.o[token * d + j] - x;
        found.squared_difference += difference * difference;
        found.squared_size += x * x;
      }
    }
  }
}

}  // namespace

files::Json to_json(const NotFinite& found) {
  return {{"dq", found.dq}, {"dk", found.dk}, {"dv", found.dv}};
}

files::Json to_json(const GivenAgainstOwn& found) {
  return {{"rows_compared", found.rows},
          {"o_relative_l2", found.relative_l2()},
          {"lse_largest_difference", found.largest_lse_difference},
          {"rows_with_keys_on_one_side", found.other_rows}};
}

void for_each_group(const Case& of, const GroupLoop& loop,
                    const std::function<void(GroupAtWork&)>& visit) {
  BackwardRun run(of, loop.threads);
  const numerics::FormatId format = attention::output_format(of.recipe);
  const auto outputs = [&](HeadAtWork& work) -> GivenOutputs {
    if (of.inputs->gives_outputs()) {
      GivenOutputs given = of.inputs->outputs(work.batch, work.head, format);
      if (loop.against_own != nullptr) compare(of, work, given, loop.threads, *loop.against_own);
      return given;
    }
    if (loop.forward) return loop.forward(work);
    attention::HeadResult made =
        attention::attend(of.recipe, work.layout, work.operands, {.threads = loop.threads});
    return {.o = std::move(made.o), .lse = std::move(made.lse)};
  };
  for_each_head(of, {.threads = loop.threads, .needs = HeadNeeds::both, .begin = loop.begin},
                [&](HeadAtWork& work) {
                  GivenOutputs made = outputs(work);
                  run.add(work, std::move(made.o), std::move(made.lse));
                  if (!run.complete()) return;
                  GroupAtWork group{.batch = work.batch,
                                    .kv_head = work.head / of.shape().group(),
                                    .number = work.number,
                                    .layout = work.layout,
                                    .backward = run};
                  visit(group);
                });
}

}  // namespace karat::cases
