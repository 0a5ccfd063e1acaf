// Private: who wrote and who read shared memory last. There is a record for each granule of four
// bytes; lines of granules that were written as a whole have one, and a line says at once whether
// an access of its bytes can meet anything.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace karat::ptx {

class SharedRecord {
 public:
  static constexpr std::size_t kGranule = 4;   ///< bytes
  static constexpr std::size_t kOfLine = 128;  ///< granules

  static constexpr std::uint8_t kLanes = 32;

  struct Access {
    std::uint32_t clock = 0, pc = 0;
  };
  struct Write {
    Access access;
    std::uint16_t writer = 0;
    std::uint16_t copying = 0;  ///< a warp's number plus one: cp.async under way
    bool atomic = false;
    std::uint8_t lane = kLanes;  ///< that wrote; kLanes: several, or nobody knows
  };
  struct Line {
    enum class Kind : std::uint8_t {
      whole,       ///< `last` is every granule's
      one_writer,  ///< `last` has the writer and the newest clock of all
      mixed,
    };
    Write last;
    Kind kind = Kind::whole;
    bool read_from_afar = false;  ///< by a warp of another CTA
    std::uint32_t copying = 0;    ///< granules
    std::uint32_t storing = 0;    ///< ranges of bulk stores under way
  };
  /// Bulk stores under way that read a granule, and the last one's instruction.
  struct Storing {
    std::uint32_t count = 0, pc = 0;
  };
  struct Afar {
    Access access;
    std::uint16_t who = 0;
  };

  /// @param readers  of each CTA
  SharedRecord(std::size_t ctas, std::size_t bytes_of_cta, std::size_t readers)
      : granules_of_cta_((bytes_of_cta + kGranule - 1) / kGranule),
        lines_of_cta_((granules_of_cta_ + kOfLine - 1) / kOfLine),
        lines_(ctas * lines_of_cta_),
        writes_(lines_.size() * kOfLine),
        newest_reads_(readers * lines_.size()),
        reads_(newest_reads_.size()) {}

  static std::size_t most_bytes(std::size_t ctas, std::size_t bytes_of_cta, std::size_t readers) {
    return ctas * (bytes_of_cta / kGranule + kOfLine) *
           (sizeof(Write) + sizeof(Afar) + sizeof(Storing) + readers * sizeof(Access));
  }
  std::size_t granules_of_cta() const { return granules_of_cta_; }
  std::size_t lines_of_cta() const { return lines_of_cta_; }

  Line& line(std::size_t index) { return lines_[index]; }
  const Line& line(std::size_t index) const { return lines_[index]; }
  const Write& write(std::size_t granule) const {
    const Line& line = lines_[granule / kOfLine];
    return line.kind == Line::Kind::whole ? line.last : writes_[granule];
  }
  /// Granules [begin, end) of a line are written.
  void set_write(std::size_t line, std::size_t begin, std::size_t end, const Write& write) {
    Line& in = lines_[line];
    const std::size_t first = line * kOfLine;
    if (begin == first && end == last_of(line) && in.copying == 0) {
      in.kind = Line::Kind::whole;
      in.last = write;
      return;
    }
    split(line);
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint16_t copying = writes_[i].copying;
      writes_[i] = write;
      writes_[i].copying = copying;
    }
    if (in.last.access.clock != 0 && in.last.writer != write.writer) in.kind = Line::Kind::mixed;
    in.last = write;
  }
  /// cp.async writes a granule of a line (`by`: its warp's number plus one), or has (0).
  void set_copying(std::size_t granule, std::uint16_t by) {
    const std::size_t line = granule / kOfLine;
    split(line);
    std::uint16_t& copying = writes_[granule].copying;
    lines_[line].copying += static_cast<std::uint32_t>(by != 0) - (copying != 0);
    copying = by;
  }
  /// The write of a granule counts from a clock on; its writer's newest.
  void set_clock(std::size_t granule, std::uint32_t clock) {
    split(granule / kOfLine);
    writes_[granule].access.clock = clock;
    Line& in = lines_[granule / kOfLine];
    if (in.last.writer == writes_[granule].writer) in.last.access.clock = clock;
  }
  /// Looks again whether a mixed line has one writer.
  void settle(std::size_t line);

  Access read(std::size_t granule, std::size_t reader) const {
    const auto& part = reads_[reader * lines_.size() + granule / kOfLine];
    return part == nullptr ? Access{} : (*part)[granule % kOfLine];
  }
  /// The newest clock of a reader's reads of a line.
  std::uint32_t newest_read(std::size_t line, std::size_t reader) const {
    return newest_reads_[reader * lines_.size() + line];
  }
  /// Clocks of a reader only rise; an older one leaves what is there.
  void set_reads(std::size_t line, std::size_t begin, std::size_t end, std::size_t reader,
                 Access access);

  const Afar& read_from_afar(std::size_t granule) const { return afar_[granule]; }
  void set_read_from_afar(std::size_t granule, const Afar& read) {
    if (afar_.empty()) afar_.resize(writes_.size());
    afar_[granule] = read;
    lines_[granule / kOfLine].read_from_afar = true;
  }

  Storing& storing(std::size_t granule) {
    if (storing_.empty()) storing_.resize(writes_.size());
    return storing_[granule];
  }

 private:
  /// The end of a line's granules, the last line of a CTA may be short.
  std::size_t last_of(std::size_t line) const {
    const bool short_one = line % lines_of_cta_ + 1 == lines_of_cta_;
    return short_one ? line / lines_of_cta_ * lines_of_cta_ * kOfLine + granules_of_cta_
                     : (line + 1) * kOfLine;
  }
  void split(std::size_t line) {
    Line& in = lines_[line];
    if (in.kind != Line::Kind::whole) return;
    in.kind = Line::Kind::one_writer;
    const auto first = writes_.begin() + static_cast<std::ptrdiff_t>(line * kOfLine);
    std::fill(first, first + static_cast<std::ptrdiff_t>(kOfLine), in.last);
  }

  std::size_t granules_of_cta_, lines_of_cta_;
  std::vector<Line> lines_;
  std::vector<Write> writes_;  ///< of lines that are not whole
  std::vector<std::uint32_t> newest_reads_;
  std::vector<std::unique_ptr<std::array<Access, kOfLine>>> reads_;
  std::vector<Afar> afar_;
  std::vector<Storing> storing_;
};

}  // namespace karat::ptx
