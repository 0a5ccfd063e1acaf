// Heads small enough for a test: 384 tokens, 32 channels.
#pragma once

#include "karat/capture/generated.hpp"

namespace karat::capture {

inline GeneratedSource small_source() {
  GeneratedSource source;
  source.spec.grid = {4, 8, 12};
  source.spec.head_dim = 32;
  source.spec.layers = 2;
  source.spec.heads = 3;
  source.steps = {5, 40};
  source.layers = {1};
  source.heads = {0, 2};
  source.prompts = 2;
  return source;
}

}  // namespace karat::capture
