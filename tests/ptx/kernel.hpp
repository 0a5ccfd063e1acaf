// A few lines of PTX as a kernel: its parameter is a buffer of 32-bit words, its body is the
// test's.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/ptx/run.hpp"

namespace karat::ptx {

/// Registers %r0 to %r31, %rs, %rd, %f, %fd, %p likewise; %rd0 is the buffer's address, %r0 the
/// thread's number in its CTA.
inline std::string kernel_text(const std::string& body, const std::string& outside = "") {
  return ".version 8.0 .target sm_90a\n.address_size 64\n" + outside +
         ".visible .entry k(.param .u64 buffer) {\n"
         ".reg .b32 %r<32>; .reg .b16 %rs<32>; .reg .b64 %rd<32>; .reg .f32 %f<32>;\n"
         ".reg .f64 %fd<32>; .reg .pred %p<32>;\n"
         "ld.param.u64 %rd0, [buffer]; mov.u32 %r0, %tid.x;\n" +
         body + "\n}\n";
}

/// One CTA of `threads`; the buffer has `words` words, 0 unless `initial` says.
inline Launch launch_of(const std::string& body, std::uint32_t threads, std::size_t words,
                        const std::string& outside = "") {
  Launch launch{.ptx = kernel_text(body, outside), .file = "k.ptx", .block = {threads, 1, 1}};
  launch.tensors["buffer"] = {files::make_tensor(files::DType::u32, {words}), true};
  launch.arguments = {PointerArgument{"buffer"}};
  launch.limit = 1'000'000;
  launch.threads = 1;
  return launch;
}

inline std::vector<std::uint32_t> words_of(const Outcome& outcome) {
  const auto words = outcome.outputs.at("buffer").as<std::uint32_t>();
  return {words.begin(), words.end()};
}

/// The buffer after a run without a fault.
inline std::vector<std::uint32_t> run_kernel(const std::string& body, std::uint32_t threads,
                                             std::size_t words, const std::string& outside = "") {
  const Outcome outcome = run(launch_of(body, threads, words, outside));
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return words_of(outcome);
}

/// What the run says is wrong with the kernel.
inline std::string fault_of(const std::string& body, std::uint32_t threads,
                            const std::string& outside = "") {
  return run(launch_of(body, threads, 64, outside)).fault.value_or("no fault");
}

/// What decoding says.
inline std::string refusal_of(const Launch& launch) {
  try {
    run(launch);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output) << error.what();
    return error.what();
  }
  return "accepted";
}

/// mad.wide.u32 %rd1, thread, 4, buffer; st the register.
inline std::string store_per_thread(const std::string& reg) {
  return "mad.wide.u32 %rd31, %r0, 4, %rd0; st.global.b32 [%rd31], " + reg + ";";
}

}  // namespace karat::ptx
