// Private: a capture file and what comparing it yields, a function for each kind of file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "karat/evidence/evidence.hpp"
#include "karat/files/tensor.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence {

/// One capture file, read and checked field by field. Every complaint names file and field.
class CaptureReader {
 public:
  /// Reads a safetensors file and requires metadata schema "karat-capture/1".
  explicit CaptureReader(const std::filesystem::path& path);
  CaptureReader(std::string name, files::TensorFile file);

  const std::string& name() const { return name_; }
  bool has(const std::string& tensor) const { return file_.tensors.contains(tensor); }

  /// Metadata.
  std::string text(const std::string& key) const;
  std::uint64_t number(const std::string& key) const;

  /// Unsigned values of 8, 16 or 32 bits, widened. @param count how many there must be
  std::vector<std::uint32_t> words(const std::string& tensor, std::size_t count) const;
  /// As many as there are.
  std::vector<std::uint32_t> words(const std::string& tensor) const;
  std::vector<std::uint64_t> hashes(const std::string& tensor, std::size_t count) const;
  std::vector<float> floats(const std::string& tensor, std::size_t count) const;

  [[noreturn]] void fail(const std::string& field, const std::string& problem) const;

 private:
  const files::Tensor& tensor(const std::string& name) const;

  std::string name_;
  files::TensorFile file_;
};

/// A part and the instruction it belongs to.
struct Compared {
  std::string instruction;
  Part part;
  std::string note;
};

/// What one file may need of the others: the fitted tables come first.
struct Context {
  int threads = 0;
  std::optional<QuadraticTable> ex2, rcp;
};

std::vector<Compared> compare_steps(const CaptureReader& file, Context& context);
std::vector<Compared> compare_rows(const CaptureReader& file, Context& context);
std::vector<Compared> compare_sweep(const CaptureReader& file, Context& context);
std::vector<Compared> compare_f16_conversion(const CaptureReader& file, Context& context);
std::vector<Compared> compare_attention(const CaptureReader& file, Context& context);
/// Fits a table to the octave and leaves it in the context when it reproduces every value.
std::vector<Compared> compare_octave(const CaptureReader& file, Context& context);

/// Rows of a published text file, one of tests' hardware rows.
std::vector<Compared> compare_text_rows(const std::filesystem::path& path);

/// One differing case; operands are codes of the instruction's input format.
struct DifferingRow {
  std::string place;  ///< "case 17", "row 3"
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0, captured = 0, emulated = 0;
};

/// One line on the first row, and the one-field edits of the instruction that reproduce most rows.
std::string explain(const numerics::Instruction& instruction, std::span<const DifferingRow> rows);

/// "0x3f800000"
std::string hex(std::uint32_t word, int bits = 32);

}  // namespace karat::evidence
