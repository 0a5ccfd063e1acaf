// Places in a model where attention is looked at.
#pragma once

#include <compare>
#include <cstdint>

#include "karat/video/denoising.hpp"

namespace karat::capture {

/// What both branches of one (prompt, step, layer, head) share. Everything counts from 0; `prompt`
/// is the number of a prompt or, on generated workloads, of a seed.
struct Job {
  std::int32_t prompt = 0, step = 0, layer = 0, head = 0;
  friend auto operator<=>(const Job&, const Job&) = default;
};

/// One attention head of one forward.
struct Cell {
  std::int32_t prompt = 0, step = 0, layer = 0, head = 0;
  video::Branch branch = video::Branch::conditional;
  friend auto operator<=>(const Cell&, const Cell&) = default;
};

inline Cell cell_of(const Job& job, video::Branch branch) {
  return {job.prompt, job.step, job.layer, job.head, branch};
}

}  // namespace karat::capture
