// Private: what comparing one capture file yields, and the functions that compare each kind.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "capture_reader.hpp"
#include "karat/evidence/evidence.hpp"

namespace karat::evidence {

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

std::vector<Compared> compare_steps(const CaptureReader& file, const Context& context);
std::vector<Compared> compare_rows(const CaptureReader& file, const Context& context);
std::vector<Compared> compare_sweep(const CaptureReader& file, const Context& context);
std::vector<Compared> compare_f16_conversion(const CaptureReader& file, const Context& context);
std::vector<Compared> compare_attention(const CaptureReader& file, const Context& context);
/// Fits a table to the octave and leaves it in the context when it reproduces every value.
std::vector<Compared> compare_octave(const CaptureReader& file, Context& context);

/// Rows of a published text file, one of tests' hardware rows.
std::vector<Compared> compare_text_rows(const std::filesystem::path& path);

/// "0x3f800000"
std::string hex(std::uint32_t word, int bits = 32);

}  // namespace karat::evidence
