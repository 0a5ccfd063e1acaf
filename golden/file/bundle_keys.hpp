// The keys and words of a hipDNN bundle, in one place. What RFC 0011 names is the three kinds of
// files and the fields of the meta file; the keys of the graph are karat's reading (open).
#pragma once

#include <string_view>

namespace karat::golden::hipdnn {

// NAME.json
inline constexpr std::string_view kName = "name", kNodes = "nodes", kTensors = "tensors",
                                  kType = "type", kInputs = "inputs", kOutputs = "outputs",
                                  kAttributes = "attributes", kUid = "uid", kDims = "dims",
                                  kStrides = "strides", kDataType = "data_type";
inline constexpr std::string_view kForward = "sdpa_forward", kBackward = "sdpa_backward";
/// The pairs of a mask that recipe and grid do not say, an input of this name and type.
inline constexpr std::string_view kMask = "attn_mask", kBoolean = "boolean";
inline constexpr std::string_view kScale = "attn_scale", kCausal = "causal_mask", kGrid = "grid",
                                  kText = "text_tokens", kRecipe = "recipe";
// NAME.meta.json
inline constexpr std::string_view kFormatVersion = "format_version", kGenerator = "generator",
                                  kReferenceSource = "reference_source",
                                  kReferenceStrategy = "reference_strategy",
                                  kArchitecture = "gpu_architecture", kSeed = "seed",
                                  kForwardSource = "forward_source";
inline constexpr int kVersion = 1;

}  // namespace karat::golden::hipdnn
