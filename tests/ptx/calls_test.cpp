// Functions that kernels call, and branches by a table.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

/// twice(x) = 2 x; add(x, y) = twice(x) + y, or y where x is 7; both as nvcc writes them.
const std::string kFunctions = R"(
.extern .func (.param .b32 func_retval0) vprintf (.param .b64 a, .param .b64 b);
.func (.param .b32 func_retval0) add(.param .b32 add_param_0, .param .b32 add_param_1);
.func (.param .b32 func_retval0) twice(.param .b32 twice_param_0) {
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [twice_param_0];
  shl.b32 %r2, %r1, 1;
  st.param.b32 [func_retval0+0], %r2;
  ret;
}
.func (.param .b32 func_retval0) add(.param .b32 add_param_0, .param .b32 add_param_1) {
  .reg .b32 %r<5>; .reg .pred %p<2>;
  .shared .align 4 .b8 seen[4];
  ld.param::func.u32 %r1, [add_param_0];
  ld.param.u32 %r2, [add_param_1];
  st.shared.u32 [seen], %r1;
  st.param.b32 [func_retval0+0], %r2;
  setp.eq.u32 %p1, %r1, 7;
  @%p1 ret;
  { // callseq 0, 0
  .param .b32 param0;
  st.param.b32 [param0+0], %r1;
  .param .b32 retval0;
  call.uni (retval0), twice, (param0);
  ld.param.b32 %r3, [retval0+0];
  } // callseq 0
  add.u32 %r4, %r3, %r2;
  st.param.b32 [func_retval0+0], %r4;
  ret;
}
.func endless(.param .b32 endless_param_0) {
  .param .b32 param0;
  call endless, (param0);
  ret;
}
)";

std::string call_add(const std::string& guard, const std::string& x, const std::string& y,
                     const std::string& result) {
  return "{ .param .b32 param0; .param .b32 param1; .param .b32 retval0;\n"
         "st.param.b32 [param0+0], " +
         x + "; st.param.b32 [param1+0], " + y + ";\n" + "st.param.b32 [retval0+0], 0;\n" + guard +
         "call.uni (retval0), add, (param0, param1); ld.param.b32 " + result + ", [retval0+0]; }\n";
}

TEST(Calls, FunctionsCallFunctions) {
  const auto words = run_kernel(call_add("", "%r0", "100", "%r1") +
                                    call_add("", "%r1", "%r0", "%r2") + store_per_thread("%r2"),
                                32, 32, kFunctions);
  for (std::uint32_t t = 0; t < 32; ++t) {
    const std::uint32_t once = t == 7 ? 100 : 2 * t + 100;
    EXPECT_EQ(words[t], 2 * once + t) << t;
  }
}

TEST(Calls, AGuardLeavesLanesOut) {
  const auto words = run_kernel("setp.lt.u32 %p1, %r0, 5;\n" +
                                    call_add("@!%p1 ", "%r0", "1", "%r1") + store_per_thread("%r1"),
                                32, 32, kFunctions);
  for (std::uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(words[t], t < 5 ? 0 : t == 7 ? 1 : 2 * t + 1) << t;
}

TEST(Calls, WhatIsDeclaredSharedInAFunctionIsThereOnce) {
  const auto words = run_kernel(call_add("", "3", "1", "%r1") + "mov.u32 %r9, %r1;" +
                                    call_add("", "4", "1", "%r2") +
                                    "add.u32 %r1, %r1, %r2; ld.shared.u32 %r3, [1024];\n"
                                    "mad.lo.u32 %r1, %r3, 1000, %r1;" +
                                    store_per_thread("%r1"),
                                1, 1, kFunctions);
  EXPECT_EQ(words[0], 4000u + 7 + 9);
}

TEST(Calls, PrintingPrintsNothing) {
  const auto words = run_kernel(
      "{ .param .b64 param0; .param .b64 param1; .param .b32 retval0;\n"
      "st.param.b64 [param0], 0; st.param.b64 [param1], 0;\n"
      "call.uni (retval0), vprintf, (param0, param1); ld.param.b32 %r1, [retval0]; }\n"
      "add.u32 %r1, %r1, 5;" +
          store_per_thread("%r1"),
      1, 1, kFunctions);
  EXPECT_EQ(words[0], 5u);
}

TEST(Calls, WhatCannotBeInlinedIsRefusedWhereItIsCalled) {
  EXPECT_THAT(refusal_of(launch_of("{ .param .b32 p; call endless, (p); }", 1, 1, kFunctions)),
              testing::HasSubstr("calls of endless are not supported"));
  EXPECT_THAT(refusal_of(launch_of("call %rd1, (%r1), %r2;", 1, 1, kFunctions)),
              testing::HasSubstr("calls by address"));
  EXPECT_THAT(refusal_of(launch_of("{ .param .b32 p; call (p), twice, (%r1); }", 1, 1, kFunctions)),
              testing::HasSubstr("calls of twice"));
}

TEST(Branches, ByATableEachLaneGoesItsWay) {
  const std::string table =
      "rem.u32 %r1, %r0, 3; mov.u32 %r2, 0;\n"
      "ts: .branchtargets A, B, C;\n"
      "@!%p3 brx.idx %r1, ts;\n"
      "A: add.u32 %r2, %r2, 1;\nB: add.u32 %r2, %r2, 10;\nC: add.u32 %r2, %r2, 100;\n";
  const auto words =
      run_kernel("setp.ge.u32 %p3, %r0, 30;\n" + table + store_per_thread("%r2"), 32, 32);
  const std::uint32_t wanted[] = {111, 110, 100};
  for (std::uint32_t t = 0; t < 32; ++t) EXPECT_EQ(words[t], t < 30 ? wanted[t % 3] : 111) << t;
  EXPECT_THAT(fault_of("mov.u32 %r1, 3; ts: .branchtargets A, B, C; brx.idx %r1, ts; A: B: C:", 1),
              testing::HasSubstr("beyond the list"));
}

TEST(Branches, ATableInAFunctionIsThatOfTheCall) {
  const std::string function =
      ".func (.param .b32 func_retval0) pick(.param .b32 pick_param_0) {\n.reg .b32 %r<4>;\n"
      "ld.param.u32 %r1, [pick_param_0]; mov.u32 %r2, 1;\n"
      "ts: .branchtargets A, B;\nbrx.idx.uni %r1, ts;\nA: mov.u32 %r2, 20;\n"
      "B: st.param.b32 [func_retval0], %r2; ret; }\n";
  const std::string call =
      "{ .param .b32 param0; .param .b32 retval0; st.param.b32 [param0], %r1;\n"
      "call.uni (retval0), pick, (param0); ld.param.b32 %r2, [retval0]; }\n";
  const auto words =
      run_kernel("and.b32 %r1, %r0, 1;" + call +
                     "mov.u32 %r3, %r2;\n"
                     "xor.b32 %r1, %r1, 1;" +
                     call + "mad.lo.u32 %r2, %r3, 100, %r2;" + store_per_thread("%r2"),
                 4, 4, function);
  EXPECT_THAT(words, testing::ElementsAre(2001, 120, 2001, 120));
}

}  // namespace
}  // namespace karat::ptx
