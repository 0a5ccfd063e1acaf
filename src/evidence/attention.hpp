// Private: the captured attention kernel, stage by stage, each stage from those before it.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/evidence/inputs.hpp"
#include "models.hpp"

namespace karat::evidence {

/// What the kernel writes, row-major.
struct Stages {
  std::vector<float> scales;                            ///< of q, k and v
  std::vector<std::uint8_t> q_codes, k_codes, v_codes;  ///< rows, or keys, x channels
  std::vector<float> a, s;                              ///< rows x keys
  std::vector<float> m, alpha;                          ///< blocks x rows
  std::vector<float> p;                                 ///< rows x keys
  std::vector<std::uint8_t> p_codes;                    ///< rows x keys
  std::vector<float> l, r;                              ///< rows
  std::vector<float> o;                                 ///< rows x channels
  std::vector<std::uint16_t> out;                       ///< rows x channels, bf16
};

/// Calls visit(name, member, rows, columns) for every stage, in the kernel's order.
template <typename Visit>
void for_each_stage(const Visit& visit) {
  constexpr std::size_t rows = kAttentionRows, keys = kAttentionKeys, blocks = kAttentionBlocks,
                        channels = kAttentionChannels, one = 1;
  visit("scales", &Stages::scales, one, std::size_t{3});
  visit("q_codes", &Stages::q_codes, rows, channels);
  visit("k_codes", &Stages::k_codes, keys, channels);
  visit("v_codes", &Stages::v_codes, keys, channels);
  visit("a", &Stages::a, rows, keys);
  visit("s", &Stages::s, rows, keys);
  visit("m", &Stages::m, blocks, rows);
  visit("alpha", &Stages::alpha, blocks, rows);
  visit("p", &Stages::p, rows, keys);
  visit("p_codes", &Stages::p_codes, rows, keys);
  visit("l", &Stages::l, rows, one);
  visit("r", &Stages::r, rows, one);
  visit("o", &Stages::o, rows, channels);
  visit("out", &Stages::out, rows, channels);
}

/// Every stage of `to` from those before it in `from`, operands from the seed. With `from` the same
/// object this is the whole kernel. Stages whose function is empty stay as they are.
void compute(Stages& to, const Stages& from, std::uint64_t seed, const Function& ex2,
             const Function& rcp);

}  // namespace karat::evidence
