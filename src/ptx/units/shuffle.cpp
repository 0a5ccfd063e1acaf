// Exchange between lanes.
#include "units/shuffle.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "units/opcode.hpp"

namespace karat::ptx::units {

ShuffleMode shuffle_mode(std::string_view name) {
  if (name == "idx") return ShuffleMode::idx;
  if (name == "bfly") return ShuffleMode::bfly;
  if (name == "up") return ShuffleMode::up;
  if (name == "down") return ShuffleMode::down;
  throw Error(ErrorKind::usage, "shfl", "no mode '" + std::string(name) + "'",
              "PTX has idx, bfly, up and down");
}

ShuffleSource shuffle_source(ShuffleMode mode, int lane, std::uint32_t b, std::uint32_t c) {
  const int offset = static_cast<int>(b & 31), clamp = static_cast<int>(c & 31);
  const int segment = static_cast<int>((c >> 8) & 31);
  const int smallest = lane & segment, largest = smallest | (clamp & ~segment & 31);
  int source = 0;
  switch (mode) {
    case ShuffleMode::idx:
      source = smallest | (offset & ~segment & 31);
      break;
    case ShuffleMode::bfly:
      source = lane ^ offset;
      break;
    case ShuffleMode::up:
      source = lane - offset;
      break;
    case ShuffleMode::down:
      source = lane + offset;
      break;
  }
  const bool in_range = mode == ShuffleMode::up ? source >= largest : source <= largest;
  return in_range ? ShuffleSource{source, true} : ShuffleSource{lane, false};
}

std::uint32_t shuffle(ShuffleMode mode, const std::uint32_t* a, const std::uint32_t* b,
                      const std::uint32_t* c, std::uint32_t* d) {
  std::uint32_t predicate = 0;
  std::array<std::uint32_t, kLanes> result;
  for (int lane = 0; lane < kLanes; ++lane) {
    const ShuffleSource source = shuffle_source(mode, lane, b[lane], c[lane]);
    result[lane] = a[source.lane];
    predicate |= std::uint32_t{source.in_range} << lane;
  }
  std::copy(result.begin(), result.end(), d);
  return predicate;
}

bool vote_all(std::uint32_t members, std::uint32_t predicate) {
  return (members & ~predicate) == 0;
}
bool vote_any(std::uint32_t members, std::uint32_t predicate) { return (members & predicate) != 0; }
bool vote_uni(std::uint32_t members, std::uint32_t predicate) {
  return vote_all(members, predicate) || !vote_any(members, predicate);
}
std::uint32_t vote_ballot(std::uint32_t members, std::uint32_t predicate) {
  return members & predicate;
}

namespace {

template <typename Word>
void match_any_of(std::uint32_t members, const Word* a, std::uint32_t* d) {
  std::array<std::uint32_t, kLanes> result = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    if (((members >> lane) & 1) == 0) continue;
    for (int other = 0; other < kLanes; ++other) {
      result[lane] |= std::uint32_t{a[other] == a[lane]} << other;
    }
    result[lane] &= members;
  }
  std::copy(result.begin(), result.end(), d);
}

template <typename Word>
std::uint32_t match_all_of(std::uint32_t members, const Word* a) {
  if (members == 0) return 0;
  const Word first = a[std::countr_zero(members)];
  for (int lane = 0; lane < kLanes; ++lane) {
    if (((members >> lane) & 1) != 0 && a[lane] != first) return 0;
  }
  return members;
}

/// f(f(a, b), c) ... over the members in order of lanes.
template <typename T, typename Combine>
std::uint32_t fold(std::uint32_t members, const std::uint32_t* a, Combine combine) {
  if (members == 0) return 0;
  int lane = std::countr_zero(members);
  T sum = std::bit_cast<T>(a[lane]);
  for (++lane; lane < kLanes; ++lane) {
    if ((members >> lane) & 1) sum = combine(sum, std::bit_cast<T>(a[lane]));
  }
  return std::bit_cast<std::uint32_t>(sum);
}

enum class Extreme { min, max };
enum class Magnitude { no, yes };
enum class NanWins { no, yes };

/// One NaN loses unless .NaN is given; -0 is below +0.
template <Extreme kExtreme, Magnitude kMagnitude, NanWins kNan>
std::uint32_t redux_f32(std::uint32_t members, const std::uint32_t* a) {
  constexpr std::uint32_t kCanonical = 0x7FFFFFFF;
  const auto number = [](std::uint32_t x) { return (x & 0x7FFFFFFF) <= 0x7F800000; };
  const auto place = [](std::uint32_t x) {  // on the number line
    return static_cast<std::int32_t>(x ^ ((x >> 31) != 0 ? 0x7FFFFFFFu : 0u));
  };
  std::uint32_t result = kCanonical;
  bool any = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (((members >> lane) & 1) == 0) continue;
    const std::uint32_t x = kMagnitude == Magnitude::yes ? a[lane] & 0x7FFFFFFF : a[lane];
    if (!number(x)) {
      if (kNan == NanWins::yes) return kCanonical;
      continue;
    }
    const bool better =
        kExtreme == Extreme::min ? place(x) < place(result) : place(x) > place(result);
    if (!any || better) result = x;
    any = true;
  }
  return result;
}

template <Extreme kExtreme>
ReduxRun redux_f32_of(bool magnitude, bool nan) {
  if (magnitude) {
    return nan ? redux_f32<kExtreme, Magnitude::yes, NanWins::yes>
               : redux_f32<kExtreme, Magnitude::yes, NanWins::no>;
  }
  return nan ? redux_f32<kExtreme, Magnitude::no, NanWins::yes>
             : redux_f32<kExtreme, Magnitude::no, NanWins::no>;
}

template <typename T>
std::uint32_t smallest(std::uint32_t members, const std::uint32_t* a) {
  return fold<T>(members, a, [](T x, T y) { return x < y ? x : y; });
}
template <typename T>
std::uint32_t largest(std::uint32_t members, const std::uint32_t* a) {
  return fold<T>(members, a, [](T x, T y) { return x < y ? y : x; });
}

using Word = std::uint32_t;

}  // namespace

void match_any(std::uint32_t members, const std::uint32_t* a, std::uint32_t* d) {
  match_any_of(members, a, d);
}
void match_any(std::uint32_t members, const std::uint64_t* a, std::uint32_t* d) {
  match_any_of(members, a, d);
}
std::uint32_t match_all(std::uint32_t members, const std::uint32_t* a) {
  return match_all_of(members, a);
}
std::uint32_t match_all(std::uint32_t members, const std::uint64_t* a) {
  return match_all_of(members, a);
}

ReduxRun redux_op(std::string_view text) {
  Opcode opcode(text);
  if (opcode.base() != "redux") opcode.refuse("no redux");
  opcode.take("sync");
  const std::string_view type = opcode.take_last();
  const bool magnitude = opcode.take("abs"), nan = opcode.take("NaN");
  const std::string_view operation = opcode.take_first();
  opcode.expect_nothing_left();
  const bool integer = type == "u32" || type == "s32";
  if (type == "f32" && operation == "min") return redux_f32_of<Extreme::min>(magnitude, nan);
  if (type == "f32" && operation == "max") return redux_f32_of<Extreme::max>(magnitude, nan);
  if (magnitude || nan) opcode.refuse(".abs and .NaN belong to f32");
  if (integer && operation == "add") {
    return [](Word m, const Word* a) {
      return fold<Word>(m, a, [](Word x, Word y) { return x + y; });
    };
  }
  if (operation == "min" && integer) return type == "s32" ? smallest<std::int32_t> : smallest<Word>;
  if (operation == "max" && integer) return type == "s32" ? largest<std::int32_t> : largest<Word>;
  if (type == "b32" && operation == "and") {
    return [](Word m, const Word* a) {
      return fold<Word>(m, a, [](Word x, Word y) { return x & y; });
    };
  }
  if (type == "b32" && operation == "or") {
    return [](Word m, const Word* a) {
      return fold<Word>(m, a, [](Word x, Word y) { return x | y; });
    };
  }
  if (type == "b32" && operation == "xor") {
    return [](Word m, const Word* a) {
      return fold<Word>(m, a, [](Word x, Word y) { return x ^ y; });
    };
  }
  opcode.refuse("no such reduction");
}

int elect(std::uint32_t members) { return std::countr_zero(members); }

}  // namespace karat::ptx::units
