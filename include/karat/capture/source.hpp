// Where heads come from, cell by cell: the denoising model, or a folder of the user's tensors.
#pragma once

#include <string>
#include <vector>

#include "karat/capture/cell.hpp"
#include "karat/case/inputs.hpp"
#include "karat/files/json_file.hpp"
#include "karat/video/grid.hpp"

namespace karat::capture {

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string origin() const = 0;  ///< in words, for people
  /// Everything the values depend on: a study only continues one of the same source.
  virtual files::Json identity() const = 0;
  virtual video::Extent3 grid() const = 0;
  virtual std::size_t channels() const = 0;
  virtual int steps() const = 0;                         ///< of the sampler
  virtual const std::vector<double>& sigma() const = 0;  ///< per step; NaN: not known
  virtual double guidance() const = 0;                   ///< g of u + g*(c - u)
  virtual const std::vector<Job>& jobs() const = 0;      ///< ascending
  virtual const std::vector<video::Branch>& branches() const = 0;
  /// "local", "spatial", ...; empty where nobody knows.
  virtual std::string head_kind(const Job& job) const = 0;
  /// Tokens whose queries are there, ascending; empty: all.
  virtual std::vector<std::int32_t> query_tokens(const Job& job) const = 0;
  /// @throws Error(input_output) for values that are missing, NaN or infinite
  virtual cases::HeadValues values(const Cell& cell, int threads) const = 0;
};

}  // namespace karat::capture
