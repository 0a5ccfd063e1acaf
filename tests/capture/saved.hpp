// A folder of saved tensors that hold what the generator makes.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "karat/capture/folder.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"
#include "small_source.hpp"

namespace karat::capture {

using files::DType;

class Captures : public testing::Test {
 protected:
  std::unique_ptr<Source> generated = generated_source(small_source());
  std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("karat_capture_" + std::to_string(::getpid()));
  files::Tensors tensors;
  files::Metadata metadata{
      {"grid", "4,8,12"}, {"steps", "50"}, {"model", "wan2.1-1.3b"}, {"tile", "2,4,4"}};

  void SetUp() override {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    for (const Job& job : generated->facts().jobs)
      for (const video::Branch branch : generated->facts().branches) {
        const cases::HeadValues values = generated->values(cell_of(job, branch), 1);
        const files::Shape shape{values.q.size() / 32, 32};
        tensors[name(job, branch, "q")] = make_tensor(DType::f32, shape, values.q);
        tensors[name(job, branch, "k")] = make_tensor(DType::f32, shape, values.k);
        tensors[name(job, branch, "v")] = make_tensor(DType::f32, shape, values.v);
      }
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  static std::string name(const Job& job, video::Branch branch, const std::string& tensor) {
    return "p0" + std::to_string(job.prompt) + ".s" + std::to_string(job.step) + ".l" +
           std::to_string(job.layer) + ".h" + std::to_string(job.head) +
           (branch == video::Branch::conditional ? ".cond." : ".uncond.") + tensor;
  }
  std::unique_ptr<Source> opened() {
    files::write_safetensors(folder / "all.safetensors", tensors, metadata);
    return folder_source(folder);
  }
  void expect_error(const std::string& words) {
    try {
      const auto source = opened();
      for (const Job& job : source->facts().jobs)
        for (const video::Branch branch : source->facts().branches)
          source->values(cell_of(job, branch), 1);
      FAIL() << "no error about " << words;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
    }
  }
};

}  // namespace karat::capture
