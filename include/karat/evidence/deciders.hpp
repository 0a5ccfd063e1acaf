// Hand-made rows that tell models of an instruction apart, and worked examples. The GPU programs
// run them, the emulator runs them, and a difference names the question it decides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace karat::evidence {

/// Operands in hexadecimal, concatenated, first first; the missing ones are zero. "x32" repeats the
/// last code up to that many operands in all.
struct Decider {
  std::string_view instruction;
  std::string_view a;
  std::string_view b;
  std::string_view c;
  std::string_view question;
};

inline constexpr Decider kDeciders[] = {
    {"hopper.wgmma.e4m3.f32", "38", "38", "00000000", "1 * 1"},
    {"hopper.wgmma.e4m3.f32", "7ex32", "7ex32", "00000000", "largest sum: 32 * 448^2"},
    {"hopper.wgmma.e4m3.f32", "7e01", "7e01", "00000000",
     "is a tiny product lost beside a big one"},
    {"hopper.wgmma.e4m3.f32", "3801", "3818", "00000000", "is 2^-13 beside 1 kept"},
    {"hopper.wgmma.e4m3.f32", "3801", "3810", "00000000", "is 2^-14 beside 1 lost"},
    {"hopper.wgmma.e4m3.f32", "3881", "3810", "00000000", "is -2^-14 truncated to 0, or floored"},
    {"hopper.wgmma.e4m3.f32", "3801x32", "3810x32", "00000000",
     "is each term truncated on its own"},
    {"hopper.wgmma.e4m3.f32", "00", "00", "3f800001", "is a lone accumulator cut to 13 bits"},
    {"hopper.wgmma.e4m3.f32", "00", "00", "bf800600", "is a negative accumulator cut toward zero"},
    {"hopper.wgmma.e4m3.f32", "3c", "38", "46000000", "how far down 1.5 reaches beside c = 8192"},
    {"hopper.wgmma.e4m3.f32", "38", "38", "46800000", "is 1 lost beside c = 16384"},
    {"hopper.wgmma.e4m3.f32", "7e7e38", "7efe01", "00000000", "do cancelled terms set the grid"},
    {"hopper.wgmma.e4m3.f32", "3f", "3f", "00000000", "is the product's exponent normalised"},
    {"hopper.wgmma.e4m3.f32", "07", "38", "00000000", "is a subnormal operand exact"},
    {"hopper.wgmma.e4m3.f32", "01", "01", "33000000", "grid of a subnormal pair: 2^-25"},
    {"hopper.wgmma.e4m3.f32", "01", "01", "32800000", "grid of a subnormal pair: 2^-26"},
    {"hopper.wgmma.e4m3.f32", "7f", "38", "00000000", "the word a NaN becomes"},
    {"hopper.wgmma.e4m3.f32", "ff", "00", "00000000", "NaN times zero"},
    {"hopper.wgmma.e4m3.f32", "38", "38", "7f800000", "Inf in the accumulator"},
    {"hopper.wgmma.e4m3.f32", "38", "38", "ff800000", "-Inf in the accumulator"},
    {"hopper.wgmma.e4m3.f32", "38", "38", "ff800001", "signalling NaN in the accumulator"},
    {"hopper.wgmma.e4m3.f32", "80x32", "38x32", "80000000", "is the result ever -0"},
    {"hopper.wgmma.e4m3.f32", "7ex32", "7ex32", "7f7fffff", "FLT_MAX in the accumulator"},
    {"hopper.wgmma.e4m3.f32", "00", "00", "007fffff", "subnormal accumulator"},
    {"hopper.wgmma.e4m3.f32", "00", "00", "00000001", "smallest subnormal accumulator"},
    {"hopper.wgmma.e4m3.f32", "7e", "00", "04000000",
     "does a zero operand's partner shift the grid"},
    {"hopper.wgmma.e4m3.f32", "7e", "00", "3a001c00",
     "does a zero operand's partner shift the grid"},
    {"hopper.wgmma.e4m3.f16", "38", "38", "0000", "1 * 1"},
    {"hopper.wgmma.e4m3.f16", "7ex32", "7ex32", "0000", "does f16 overflow to Inf"},
    {"hopper.wgmma.e4m3.f16", "3801", "3818", "0000", "is the sum rounded once"},
    {"hopper.wgmma.e4m3.f16", "00", "00", "3c01", "is a lone f16 accumulator kept"},
    {"hopper.wgmma.e4m3.f16", "3c", "38", "7000", "nearest even beside c = 8192"},
    {"hopper.wgmma.e4m3.f16", "38", "38", "7400", "is 1 lost beside c = 16384"},
    {"hopper.wgmma.e4m3.f16", "3f", "3f", "0000", "rounding of 3.515625"},
    {"hopper.wgmma.e4m3.f16", "07", "38", "0000", "is a subnormal operand exact"},
    {"hopper.wgmma.e4m3.f16", "01", "01", "0000", "product below f16's normal range"},
    {"hopper.wgmma.e4m3.f16", "7f", "38", "0000", "the word a NaN becomes"},
    {"hopper.wgmma.e4m3.f16", "80x32", "38x32", "8000", "is the result ever -0"},
    {"hopper.wgmma.e4m3.f16", "7ex32", "7ex32", "7bff", "overflow with the largest accumulator"},
    {"hopper.wgmma.e4m3.f16", "00", "00", "0001", "subnormal f16 accumulator"},
    {"hopper.wgmma.bf16.f32", "1afc19319b4c9afd", "1aa01a281af61abd", "00000000",
     "smallest grid: 8000000c without a floor or with -133, 8000000d with -126"},
    {"hopper.wgmma.bf16.f32", "7f00", "0000", "00ffffff",
     "does a zero operand's partner shift the grid"},
    {"hopper.wgmma.f16.f32", "0001", "0001", "00000000", "product of two subnormals"},
    {"hopper.wgmma.tf32.f32", "3f801fff", "3f800000", "00000000", "are the low 13 bits cut off"},
    {"hopper.wgmma.tf32.f32", "7f800001", "3f800000", "00000000",
     "is a NaN whose payload lies in the cut bits still NaN"},
    {"hopper.wgmma.s8.s32", "80x32", "80x32", "7fffffff", "does the sum wrap"},
    {"hopper.mma.e4m3.f32", "3801", "3810", "00000000", "2^-14 beside 1, kept by the f16 path"},
    {"hopper.mma.e4m3.f32", "38", "38", "4b800000", "is c added last, to nearest even"},
};

struct DeciderOperands {
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0;
};

/// The digits of `text` as codes of `bits` bits, `count` of them.
inline std::vector<std::uint32_t> codes_of(std::string_view text, int bits, int count) {
  const std::size_t x = text.find('x');
  const auto width = static_cast<std::size_t>(bits / 4);
  std::vector<std::uint32_t> codes;
  for (std::size_t i = 0; i + width <= std::min(x, text.size()); i += width)
    codes.push_back(
        static_cast<std::uint32_t>(std::stoul(std::string(text.substr(i, width)), nullptr, 16)));
  if (x != std::string_view::npos)
    codes.resize(std::stoul(std::string(text.substr(x + 1))), codes.back());
  codes.resize(static_cast<std::size_t>(count));
  return codes;
}

/// @param bits width of the word an operand is given in (32 for TF32)
/// @param k    operands of one instruction
inline DeciderOperands operands(const Decider& row, int bits, int k) {
  return {codes_of(row.a, bits, k), codes_of(row.b, bits, k),
          codes_of(row.c, static_cast<int>(row.c.size()) * 4, 1).front()};
}

}  // namespace karat::evidence
