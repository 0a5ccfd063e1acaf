// Modules as text: what is kept of them, and one line for what cannot be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"
#include "parse/syntax.hpp"
#include "parse/token.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Module parsed(const std::string& text) {
  return parse(".version 8.0\n.target sm_90a\n" + text, "a.ptx");
}

std::string problem(const std::string& text) {
  try {
    parsed(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output);
    return error.what();
  }
  return "accepted";
}

TEST(Tokens, OpcodesAreOneWordAndLabelsEndAtTheirColon) {
  const auto tokens =
      tokenize("wait: cp.async.mbarrier::x.b64 [%r1+0x10], 0f3F800000; // end\n017 1.5", "t");
  std::vector<std::string> words;
  for (const Token& each : tokens) words.emplace_back(each.text);
  EXPECT_THAT(words, ElementsAre("wait", ":", "cp.async.mbarrier::x.b64", "[", "%r1", "+", "0x10",
                                 "]", ",", "0f3F800000", ";", "017", "1.5", ""));
  EXPECT_EQ(tokens[6].bits, 16u);
  EXPECT_EQ(tokens[9].bits, 0x3F800000u);
  EXPECT_EQ(tokens[11].bits, 15u);
  EXPECT_EQ(tokens[11].line, 2u);
  EXPECT_EQ(tokens[12].bits, 0x3FF8000000000000u);
}

TEST(Parse, VariablesKeepSpaceAlignmentAndValues) {
  const Module module = parsed(
      ".global .attribute(.managed) .align 8 .b8 table[6] = {1, 2, 0xFF};\n.const .v4 .f32 one = "
      "{0f3F800000};\n"
      ".extern .shared .align 128 .b8 pool[];\n.global .u64 link[2] = {table, generic(table)+4};");
  ASSERT_EQ(module.variables.size(), 4u);
  EXPECT_EQ(module.variables[0].bytes, 6u);
  EXPECT_EQ(module.variables[0].align, 8u);
  EXPECT_THAT(module.variables[0].initial, ElementsAre(1, 2, 0xFF));
  EXPECT_EQ(module.variables[1].bytes, 16u);
  EXPECT_EQ(module.variables[1].space, Space::constant);
  EXPECT_EQ(module.variables[2].bytes, 0u);
  EXPECT_TRUE(module.variables[2].external);
  ASSERT_EQ(module.variables[3].relocations.size(), 2u);
  EXPECT_EQ(module.variables[3].relocations[1].addend, 4);
}

TEST(Parse, EntriesHaveParametersAndLaunchBounds) {
  const Module module = parsed(
      ".visible .entry k(.param .align 64 .b8 map[128], .param .u64 .ptr .global .align 1 p, "
      ".param .f32 f)\n"
      ".reqntid 128, 2, 1\n.maxnreg 168 { ret; }\n.func (.reg .b32 r) g(.param .b32 x) { ret; }");
  ASSERT_EQ(module.functions.size(), 2u);
  const Function& kernel = module.functions[0];
  EXPECT_TRUE(kernel.entry);
  ASSERT_EQ(kernel.parameters.size(), 3u);
  EXPECT_EQ(kernel.parameters[0].align, 64u);
  EXPECT_EQ(kernel.parameters[2].name, "f");
  EXPECT_EQ(kernel.required_block[1], 2u);
  EXPECT_FALSE(module.functions[1].entry);
}

TEST(Parse, NamesResolveInnermostFirstAndBeforeTheirDeclaration) {
  const Module module = parsed(
      ".entry k() { .reg .b32 %r<3>; .reg .b64 %r1<2>;\n"
      "L: bra L; { bra L; .reg .b32 %r0; mov.b32 %r0, %r2; L: mov.b64 %r11, 1; } mov.b32 %r0, %r2; "
      "}");
  const auto& body = module.functions[0].body;
  ASSERT_EQ(body.size(), 5u);
  EXPECT_EQ(body[0].operands[0].index, 0u);  // the outer L
  EXPECT_EQ(body[1].operands[0].index, 3u);  // the inner one
  EXPECT_NE(body[2].operands[0].index, body[4].operands[0].index);
  EXPECT_EQ(body[2].operands[1].index, body[4].operands[1].index);
  EXPECT_EQ(module.functions[0].registers[body[3].operands[0].index].type.bytes, 8u);
}

TEST(Parse, SourceLinesStayWithInstructions) {
  const Module module = parsed(
      ".entry k() { .loc 1 12 3\nret;\n.loc 1 15 3, function_name $L__info_string0, inlined_at 1 "
      "14 2\nret; }\n"
      ".file 1 \"/tmp/kernel.py\"\n.section .debug_abbrev { .b8 1 .b8 2 }");
  EXPECT_EQ(module.functions[0].body[0].at.source_line, 12u);
  EXPECT_EQ(module.functions[0].body[1].at.source_line, 15u);
  EXPECT_EQ(module.functions[0].body[1].at.line, 6u);
  EXPECT_EQ(module.sources[0].path, "/tmp/kernel.py");
}

TEST(Parse, OperandsOfEveryForm) {
  const Module module = parsed(
      ".entry k() { .reg .b32 %r<9>; .reg .pred %p<3>; .reg .b64 %d;\n"
      "@!%p1 x.y {%r1, _}, [%d+-8, {%r2, %r3}], %r4|%p2, !%p0, -5, [%r5]; }");
  const Instruction& each = module.functions[0].body[0];
  EXPECT_TRUE(each.guarded && each.guard_negated);
  ASSERT_EQ(each.operands.size(), 6u);
  EXPECT_EQ(each.operands[0].parts[1].kind, OperandKind::sink);
  EXPECT_EQ(static_cast<std::int64_t>(each.operands[1].bits), -8);
  EXPECT_EQ(each.operands[1].parts[1].parts.size(), 2u);
  EXPECT_EQ(each.operands[2].kind, OperandKind::pair);
  EXPECT_TRUE(each.operands[3].negated);
  EXPECT_EQ(static_cast<std::int64_t>(each.operands[4].bits), -5);
}

TEST(Parse, EveryProblemIsOneLineWithItsPlace) {
  EXPECT_EQ(problem(".entry k() {\nmov.b32 %r1, 0;\n}"),
            "accepted");  // names with % may be special registers: decoding says
  EXPECT_EQ(problem(".entry k() {\nbra L;\n}"), "a.ptx:4: L is declared nowhere");
  EXPECT_EQ(problem(".entry k() { .reg .b32 a; .reg .b32 a; }"), "a.ptx:3: a is declared twice");
  EXPECT_EQ(problem(".entry k() { @p ret; }"), "a.ptx:3: @p is no predicate");
  EXPECT_EQ(problem(".entry k() { ret; "), "a.ptx:3: a brace is never closed");
  EXPECT_EQ(problem(".entry k() { ret }"), "a.ptx:3: an operand is missing before \"}\"");
  EXPECT_EQ(problem("/* open"), "a.ptx:3: a comment is never closed");
  EXPECT_EQ(problem(".global .b8 x[2] = {1, 2, 3};"),
            "a.ptx:3: the initialiser of x is longer than the variable");
  EXPECT_EQ(problem(".global .b8 x[999999999999];"), "a.ptx:3: x is larger than 256 MiB");
  EXPECT_EQ(problem(".global .align 3 .b8 x;"), "a.ptx:3: alignments are powers of two up to 1024");
  EXPECT_EQ(problem("\x01"), "a.ptx:3: a byte that is no PTX");
  EXPECT_EQ(problem(".entry k() { x 0x10000000000000000; }"),
            "a.ptx:3: a number that is none, or above 2^64");
  EXPECT_THAT(problem(".entry k() { x {{{{{{{0}}}}}}}; }"), HasSubstr("nested too deep"));
  EXPECT_THAT(problem(".entry k() {" + std::string(100, '{')),
              HasSubstr("braces are nested too deep"));
  EXPECT_THROW(parse("hello", "a.ptx"), Error);
  EXPECT_THROW(parse("", "a.ptx"), Error);
}

}  // namespace
}  // namespace karat::ptx
