#include "settings.hpp"

#include <cstdlib>
#include <limits>

#include "karat/numerics/base/choice.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cudart {
namespace {

using numerics::Named;

constexpr Named<Mode> kModes[] = {
    {"run", Mode::run}, {"record", Mode::record}, {"both", Mode::both}};
constexpr Named<ptx::Fuse> kFuses[] = {{"none", ptx::Fuse::none}, {"ptxas", ptx::Fuse::ptxas}};
constexpr Named<ptx::HazardSearch> kHazards[] = {{"off", ptx::HazardSearch::off},
                                                 {"on", ptx::HazardSearch::on}};

std::string text_of(const char* name, const char* otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr && *text != '\0' ? text : otherwise;
}

std::uint64_t number_of(const char* name, std::uint64_t otherwise, std::uint64_t most) {
  const std::string text = text_of(name, "");
  if (text.empty()) return otherwise;
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  if (digits && text.size() < 20) {
    const std::uint64_t value = std::strtoull(text.c_str(), nullptr, 10);
    if (value <= most) return value;
  }
  throw Error(ErrorKind::usage, name,
              "\"" + text + "\" is no whole number up to " + std::to_string(most));
}

Settings read() {
  Settings all;
  all.mode = numerics::parse_choice(text_of("KARAT_CUDART", "run"), "KARAT_CUDART", kModes);
  all.folder = text_of("KARAT_CUDART_FOLDER", "");
  if (all.mode != Mode::run && all.folder.empty())
    throw Error(ErrorKind::usage, "KARAT_CUDART_FOLDER", "it is not set",
                "name a folder for the recorded launches");
  all.report = text_of("KARAT_CUDART_REPORT", "");
  all.fuse =
      numerics::parse_choice(text_of("KARAT_CUDART_FUSE", "ptxas"), "KARAT_CUDART_FUSE", kFuses);
  all.hazards = numerics::parse_choice(text_of("KARAT_CUDART_HAZARDS", "off"),
                                       "KARAT_CUDART_HAZARDS", kHazards);
  all.schedule =
      ptx::schedule_named(text_of("KARAT_CUDART_SCHEDULE", "eager"), "KARAT_CUDART_SCHEDULE");
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  all.seed = number_of("KARAT_CUDART_SEED", 0, kMost);
  all.limit = number_of("KARAT_CUDART_LIMIT", all.limit, kMost);
  all.threads = static_cast<int>(number_of("KARAT_CUDART_THREADS", 0, 1024));
  return all;
}

}  // namespace

const Settings& settings() {
  static const Settings all = read();
  return all;
}

}  // namespace karat::cudart
