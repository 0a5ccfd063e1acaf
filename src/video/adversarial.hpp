// Adversarial basics: one function per kind fills the row of one token and tensor.
#pragma once

#include <cstdint>
#include <span>

#include "karat/video/workload.hpp"
#include "streams.hpp"

namespace karat::video {

/// The rows of a token, in f32 before the rounding to BF16. @pre spec.kind is not
/// WorkloadKind::video
void adversarial_rows(const WorkloadSpec& spec, int batch, int head, std::int64_t token,
                      std::span<float> q, std::span<float> k, std::span<float> v);

/// A text token beside an adversarial video: N(0,1).
void text_rows(const WorkloadSpec& spec, int batch, int head, std::int64_t token,
               std::span<float> q, std::span<float> k, std::span<float> v);

}  // namespace karat::video
