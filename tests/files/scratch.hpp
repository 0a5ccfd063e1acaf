// What the file tests share: a folder that removes itself, whole-file helpers, a tensor of every
// type, and running the Debian Python interpreter as an independent reader and writer.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::files::test {

class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path operator/(std::string_view name) const { return folder_ / name; }
  /// Names in the folder, sorted; hidden ones too.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path folder_;
};

using Bytes = std::vector<std::byte>;

Bytes read_bytes(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes);
Bytes to_bytes(std::string_view text);

/// One tensor of every type, named after it, plus a scalar, an empty and a 5-D one; the bytes walk
/// through all codes (booleans hold 0 and 1), so NaN and infinities are among them.
Tensors one_of_everything();

/// Message of the Error(input_output) that `action` throws; a failure if it throws none.
std::string input_error(const std::function<void()>& action);

/// Calls `attempt` on every proper prefix of `file` and on every file that differs in one byte (one
/// flipped bit of each byte and the byte inverted). `attempt` may only throw Error(input_output).
void for_each_corruption(const Bytes& file, const std::function<void(const Bytes&)>& attempt);

/// Runs a Python script with arguments sys.argv[1:]; what it printed. Fails the test if it fails.
std::string python(const std::string& script, const std::vector<std::string>& arguments);

}  // namespace karat::files::test
