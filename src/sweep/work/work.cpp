// Which work a kind is, and the work that is none.
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "karat/files/object_fields.hpp"
#include "karat/files/sha256.hpp"
#include "karat/report/text.hpp"
#include "works.hpp"

namespace karat::sweep {
namespace {

namespace request = files::request;

struct TrialRequest {
  int shards = 1000;
  double milliseconds = 0;
};
constexpr files::RequestField<TrialRequest> kTrialFields[] = {
    request::whole<&TrialRequest::shards>("shards", "how many", 1, 10'000'000),
    request::number<&TrialRequest::milliseconds>("milliseconds", "each waits", 0, 3'600'000)};

class Trial final : public Work {
 public:
  explicit Trial(const TrialRequest& asked) : asked_(asked) {}
  std::string_view ending() const override { return ".json"; }
  std::size_t size() const override { return static_cast<std::size_t>(asked_.shards); }
  std::string name(std::size_t shard) const override { return report::print("t%07zu", shard); }
  Cost cost(std::size_t) const override {
    return {.multiply_adds = 0, .seconds = asked_.milliseconds / 1000, .bytes = 20};
  }
  std::string command(std::size_t) const override {
    return report::print("sleep %g", asked_.milliseconds / 1000);
  }
  std::string identity() const override { return {}; }
  Made make(std::size_t shard, const std::filesystem::path&, const ShardOptions& options) override {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double, std::milli>(asked_.milliseconds);
    while (Clock::now() < end) {
      if (options.tick) options.tick();
      std::this_thread::sleep_for(std::min<Clock::duration>(
          std::chrono::milliseconds(5),
          std::chrono::duration_cast<Clock::duration>(end - Clock::now())));
    }
    return made_of("{\"shard\": " + std::to_string(shard) + "}\n");
  }

 private:
  TrialRequest asked_;
};

}  // namespace

std::unique_ptr<Work> trial_work(const Spec& spec) {
  TrialRequest asked;
  files::ObjectFields fields(files::Json::parse(spec.text), "trial");
  fields.read(std::span<const files::RequestField<TrialRequest>>(kTrialFields), asked);
  fields.finish();
  return std::make_unique<Trial>(asked);
}

std::unique_ptr<Work> work_of(const Spec& spec, const Places& places) {
  switch (spec.kind) {
    case Kind::golden:
      return golden_work(spec, places);
    case Kind::study:
      return study_work(spec, places);
    case Kind::check:
    case Kind::diagnose:
      return judge_work(spec, places);
    case Kind::trial:
      break;
  }
  return trial_work(spec);
}

Made made_of(std::string text) {
  Made made;
  made.sha256 = files::sha256_hex(std::as_bytes(std::span(text)));
  made.bytes = text.size();
  made.text = std::move(text);
  return made;
}

std::string as_name(std::string text) {
  for (char& c : text)
    if (!(std::isalnum(static_cast<unsigned char>(c)) != 0 ||
          std::string_view("._-+=:@").find(c) != std::string_view::npos))
      c = '_';
  return text;
}

}  // namespace karat::sweep
