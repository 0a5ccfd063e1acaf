// Places in a model where attention is looked at.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

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

/// "p0.s12.l3.h4.cond", whose numbers have no zeros in front.
std::string name_of(const Cell& cell);
/// "p0.s12.l3.h4"
std::string name_of(const Job& job);
/// Reads what name_of(Cell) writes; zeros in front are welcome.
/// @throws Error(usage) about `subject` for anything else
Cell parse_cell(std::string_view text, const std::string& subject);

}  // namespace karat::capture
