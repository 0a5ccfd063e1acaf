// Head by head: operands, engine with bounds, truth; every array goes to the file at once.
#include "karat/golden/make.hpp"

#include <chrono>
#include <optional>

#include "file/case_writer.hpp"
#include "file/truth_rows.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/golden/taps.hpp"

namespace karat::golden {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

MakeSummary make(const recipe::Recipe& recipe, const cases::Inputs& inputs,
                 const MakeOptions& options, const std::filesystem::path& destination) {
  const cases::InputShape& shape = inputs.shape();
  const bool per_head = cases::layout_per_head(recipe, inputs);
  const std::vector<std::int32_t> rows = truth_rows(shape.tokens(), options.seed);
  layout::Layout layout;
  std::vector<int> taps;
  std::optional<CaseWriter> writer;
  const auto begin_with = [&](layout::Layout made) {
    layout = std::move(made);
    taps = parse_taps(options.taps, layout, options.seed);
    if (!writer) writer.emplace(destination, recipe, layout, inputs, options, taps, rows);
  };
  const auto begin_head = [&](std::size_t b, std::size_t h, const cases::HeadValues* values) {
    if (!per_head) return;
    begin_with(cases::head_layout(recipe, inputs, b, h, values, options.threads));
    writer->layout(b, h, layout, taps);
  };
  if (!per_head) begin_with(cases::head_layout(recipe, inputs, 0, 0, nullptr, options.threads));

  MakeSummary summary{.heads = shape.batch * shape.heads};
  for (std::size_t b = 0; b < shape.batch; ++b) {
    for (std::size_t h = 0; h < shape.heads; ++h) {
      const std::size_t number = b * shape.heads + h;
      const auto report = [&](Phase phase) {
        return [&options, phase, number](std::size_t done, std::size_t total) {
          if (options.progress) options.progress(phase, number, done, total);
        };
      };
      report(Phase::inputs)(0, 1);
      auto begin = Clock::now();
      cases::HeadValues values;
      attention::QuantisedHead head;
      if (inputs.coded()) {
        begin_head(b, h, nullptr);
        head = quantised(recipe, layout, inputs.codes(b, h));
        values = cases::dequantised(layout, head);
      } else {
        values = inputs.values(b, h, options.threads);
        begin_head(b, h, &values);
        head = attention::quantise_head(recipe, layout, values.view(), numerics::Path::fast,
                                        options.threads);
        writer->inputs(b, h, values);
      }
      writer->operands(b, h, head);
      const bounds::BoundedResult result = bounds::attend_with_bounds(
          recipe, layout, head, taps, options.threads, report(Phase::attention));
      writer->result(b, h, result);
      summary.attention_seconds += seconds_since(begin);
      summary.multiply_adds += layout.multiply_adds();
      summary.saturated_p_codes += result.golden.saturated_p_codes;
      head = {};

      begin = Clock::now();
      for (const auto mask : {attention::OracleMask::sparse, attention::OracleMask::dense}) {
        const bool sparse = mask == attention::OracleMask::sparse;
        writer->truth(b, h, mask,
                      attention::oracle(layout, values.view(), rows, mask, options.threads,
                                        report(sparse ? Phase::truth_sparse : Phase::truth_dense)));
        const double share = sparse ? static_cast<double>(layout.mask->kept_pairs()) /
                                          static_cast<double>(shape.tokens() * shape.tokens())
                                    : 1.0;
        summary.truth_multiply_adds += 2.0 * share * static_cast<double>(rows.size()) *
                                       static_cast<double>(shape.tokens() * shape.channels);
      }
      summary.truth_seconds += seconds_since(begin);
    }
  }
  summary.seal = writer->commit();
  return summary;
}

}  // namespace karat::golden
