// The layout of a golden file, dataset by dataset, as docs/golden.md lists it.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "gradient_truth.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/golden/make.hpp"

namespace karat::golden {

class CaseWriter {
 public:
  /// Writes everything that heads share: case, recipe, and, where the mask does not depend on the
  /// head, order and mask. `layout` and `taps` are the first head's. The file outlives it.
  CaseWriter(files::Hdf5Writer& file, const cases::Case& of, const layout::Layout& layout,
             const MakeOptions& options, const std::vector<int>& taps,
             const std::vector<std::int32_t>& truth_rows);

  /// Begins a head with a layout of its own, which must outlive its writing.
  void layout(std::size_t b, std::size_t h, const layout::Layout& layout,
              const std::vector<int>& taps);
  void inputs(std::size_t b, std::size_t h, const attention::HeadInput& values);
  void operands(std::size_t b, std::size_t h, const attention::QuantisedHead& head);
  void result(std::size_t b, std::size_t h, const bounds::BoundedResult& result);
  void truth(std::size_t b, std::size_t h, attention::OracleMask mask,
             const attention::OracleResult& result);
  /// dO and, where delta sums another output, that one.
  void output_gradient(std::size_t b, std::size_t h, const cases::BackwardRun::Head& head);
  /// Of the query heads that share a head of k and v.
  void gradients(std::size_t b, std::size_t kv_head, const attention::BackwardResult& result);
  void gradient_truth(std::size_t b, std::size_t kv_head, attention::OracleMask mask,
                      const GradientTruth& truth);
  /// Tokens whose gradients the file holds in FP64.
  const std::vector<std::int32_t>& gradient_rows() const { return gradient_rows_; }

 private:
  void describe(const MakeOptions& options, const std::vector<int>& taps);
  void write_order(const std::string& group);
  void write_mask(const std::string& group);
  void write_given(const cases::GivenMask& mask);
  void create_datasets(bool coded);
  void create_backward(const MakeOptions& options);
  void create_operand(const std::string& name, const quant::Rule& rule,
                      const quant::Grouping& groups);
  void put(const std::string& name, std::size_t b, std::size_t h, const files::Tensor& rows);
  void put_values(const std::string& name, std::size_t b, std::size_t h,
                  std::span<const float> values, numerics::FormatId format, files::Shape shape);
  void put_tap(const std::string& group, const attention::BlockTap& tap);

  const cases::Case& case_;
  const recipe::Recipe& recipe_;
  const layout::Layout* layout_;
  const cases::Inputs& inputs_;
  files::Hdf5Writer& writer_;
  std::size_t batch_, heads_;
  std::size_t group_;  ///< heads that share k and v, which the file holds once
  std::size_t tokens_, channels_;
  std::vector<std::int32_t> gradient_rows_;
};

}  // namespace karat::golden
