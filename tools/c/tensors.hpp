// Tensors that change sides: handed out by name, or borrowed from the caller.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/case/tensor_source.hpp"
#include "karat/karat.h"

struct karat_tensors {
  explicit karat_tensors(karat::files::TensorFile file);

  std::vector<std::string> names;
  std::vector<karat::files::Tensor> tensors;
  std::string metadata;  ///< JSON
};

namespace karat::c {

/// A handle for the caller. @throws Error(usage) for more than KARAT_MAX_RANK dimensions
karat_tensors* handed_out(files::TensorFile file);

/// The file type a caller's name stands for. @throws Error(usage) for an unknown name
files::DType dtype_of(const char* name);

/// Type and shape of a caller's array. @throws Error(usage) when they are not a tensor's
files::TensorInfo info_of(const karat_array& array, const std::string& name);
std::span<const std::byte> bytes_of(const karat_array& array, const files::TensorInfo& info);

/// The caller's arrays as a candidate, read where they lie; must outlive the source.
std::unique_ptr<cases::TensorSource> source_of(const karat_candidate& candidate);

}  // namespace karat::c
