// Private: one capture file, read and checked field by field. Every complaint names file and field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::evidence {

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

}  // namespace karat::evidence
