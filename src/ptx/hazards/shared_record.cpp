#include "hazards/shared_record.hpp"

#include <algorithm>

namespace karat::ptx {

void SharedRecord::settle(std::size_t line) {
  Line& in = lines_[line];
  const Write* newest = nullptr;
  for (std::size_t i = line * kOfLine; i < last_of(line); ++i) {
    const Write& each = writes_[i];
    if (each.access.clock == 0) continue;
    if (newest != nullptr && newest->writer != each.writer) return;
    if (newest == nullptr || each.access.clock > newest->access.clock) newest = &each;
  }
  in.kind = Line::Kind::one_writer;
  in.last = newest == nullptr ? Write{} : *newest;
}

void SharedRecord::set_reads(std::size_t line, std::size_t begin, std::size_t end,
                             std::size_t reader, Access access) {
  const std::size_t at = reader * lines_.size() + line;
  auto& part = reads_[at];
  if (part == nullptr) part = std::make_unique<std::array<Access, kOfLine>>();
  newest_reads_[at] = std::max(newest_reads_[at], access.clock);
  for (std::size_t i = begin; i < end; ++i)
    if (access.clock >= (*part)[i % kOfLine].clock) (*part)[i % kOfLine] = access;
}

}  // namespace karat::ptx
