// A head as a compiled kernel is given it, and what the recipe says of it.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/ptx/run.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::kernels {

struct Values {
  std::vector<float> q, k, v;
  attention::HeadInput input() const { return {q, k, v}; }
};

/// Normal values; every seventh token of q and k is `outliers` times as large.
inline Values random_values(std::size_t tokens, std::size_t channels, unsigned seed,
                            float outliers = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Values head;
  for (auto* x : {&head.q, &head.k, &head.v})
    for (std::size_t i = 0; i < tokens * channels; ++i)
      x->push_back(normal(random) * (x != &head.v && i / channels % 7 == 3 ? outliers : 1));
  return head;
}

/// channels x positions of positions x channels.
inline std::vector<std::uint8_t> transposed(const std::vector<std::uint8_t>& codes,
                                            std::size_t channels) {
  const std::size_t rows = codes.size() / channels;
  std::vector<std::uint8_t> turned(codes.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < channels; ++j) turned[j * rows + i] = codes[i * channels + j];
  return turned;
}

/// How many differ in their bits; zeros of either sign are equal.
inline std::size_t count_differing(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  std::size_t differing = 0;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    differing +=
        a[i] != b[i] && std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]);
  return differing;
}

inline std::vector<float> to_bf16(std::span<const float> x) {
  std::vector<float> rounded;
  for (const float each : x)
    rounded.push_back(numerics::decode(numerics::encode(each, numerics::FormatId::bf16),
                                       numerics::FormatId::bf16));
  return rounded;
}

template <typename T>
ptx::BytesArgument scalar(T value) {
  ptx::BytesArgument argument;
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  argument.bytes.assign(bytes, bytes + sizeof value);
  return argument;
}

/// An edit of a recipe that a comparison must notice.
struct Edit {
  std::string name;
  void (*apply)(recipe::Recipe&);
};

}  // namespace karat::kernels
