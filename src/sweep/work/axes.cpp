// A mixed-radix number names a combination; the last axis counts fastest.
#include "axes.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "../shell.hpp"
#include "karat/files/object_fields.hpp"
#include "karat/numerics/base/split.hpp"

namespace karat::sweep {
namespace {

using files::FieldKind;
using files::FieldValue;
using files::Json;

/// Fields that say what no shard may: the recipe stands beside the cases, threads in the spec.
constexpr std::string_view kElsewhere[] = {"recipe", "threads", "backward", "forward", "do"};
constexpr std::size_t kMostCases = 10'000'000;
/// Fields that hold names of files.
constexpr std::string_view kFiles[] = {"in", "schedule", "mask"};

std::string word_of(const Json& value, char join) {
  if (value.is_string()) return value;
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& each : value) text += (text.empty() ? "" : std::string(1, join)) + each.dump();
  return text;
}

/// "0-9" of a whole number: ten values.
std::vector<Json> spread_out(const Json& value, FieldKind kind) {
  if (kind != FieldKind::whole || !value.is_string()) return {value};
  const std::string text = value;
  std::int64_t first = 0, last = 0;
  const char *at = text.data(), *end = at + text.size();
  auto read = std::from_chars(at, end, first);
  last = first;
  if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '-')
    read = std::from_chars(read.ptr + 1, end, last);
  constexpr std::int64_t kMost = 10'000'000;
  if (read.ec != std::errc{} || read.ptr != end || first < 0 || last < first ||
      last - first > kMost)
    return {value};  // the field refuses the text
  std::vector<Json> numbers;
  for (std::int64_t i = first; i <= last; ++i) numbers.emplace_back(i);
  return numbers;
}

template <typename Request, typename Into>
void add_axes(files::ObjectFields& fields, std::span<const files::RequestField<Request>> rows,
              const Places& places, Into into, std::vector<CaseAxes::Axis>& axes) {
  for (const auto& row : rows) {
    if (std::ranges::find(kElsewhere, row.name) != std::end(kElsewhere) || !fields.has(row.name))
      continue;
    const Json& given = fields.at(row.name);
    const bool listed =
        given.is_array() && (row.kind != FieldKind::extent || given.empty() || given[0].is_array());
    const std::string subject = fields.named(row.name);
    CaseAxes::Axis axis{.field = std::string(row.name),
                        .option = std::string(row.option.empty() ? row.name : row.option),
                        .flag = row.kind == FieldKind::flag};
    std::ranges::replace(axis.option, '_', '-');
    const Json list = listed ? given : Json::array({given});
    for (const Json& entry : list)
      for (Json value : spread_out(entry, row.kind)) {
        if (std::ranges::find(kFiles, row.name) != std::end(kFiles) && value.is_string()) {
          std::string paths;
          for (const std::string& name : numerics::words(value.get<std::string>()))
            paths += (paths.empty() ? "" : ",") + places.file(name);
          value = paths;
        }
        axis.values.push_back(files::field_value(value, subject, row.kind, row.low, row.high));
        axis.words.push_back(word_of(value, ','));
      }
    if (axis.values.empty())
      throw Error(ErrorKind::usage, subject, "has no value", "give one, or leave it out");
    axis.write = [&row, into, subject](cases::CaseRequest& asked, const FieldValue& value) {
      row.write(into(asked), value, subject);
    };
    cases::CaseRequest tried;  // a value that names nothing is refused before anything is planned
    for (const FieldValue& value : axis.values) axis.write(tried, value);
    axes.push_back(std::move(axis));
  }
}

}  // namespace

CaseAxes case_axes(const Json& given, const Places& places) {
  files::ObjectFields fields(given, "golden.cases");
  std::vector<CaseAxes::Axis> axes;
  const auto whole = [](cases::CaseRequest & asked) -> auto& { return asked; };
  const auto workload = [](cases::CaseRequest & asked) -> auto& { return asked.workload; };
  add_axes(fields, cases::case_fields(), places, whole, axes);
  add_axes(fields, cases::workload_fields(), places, workload, axes);
  add_axes(fields, cases::token_fields(), places, workload, axes);
  fields.finish();
  std::size_t count = 1;
  for (const CaseAxes::Axis& axis : axes) {
    if (axis.values.size() > kMostCases / count)
      throw Error(ErrorKind::usage, "golden.cases", "multiply to more than ten million",
                  "give fewer values");
    count *= axis.values.size();
  }
  return CaseAxes(std::move(axes));
}

std::size_t CaseAxes::size() const {
  std::size_t count = 1;
  for (const Axis& axis : axes_) count *= axis.values.size();
  return count;
}

std::vector<std::size_t> CaseAxes::digits(std::size_t number) const {
  std::vector<std::size_t> found(axes_.size());
  for (std::size_t i = axes_.size(); i-- > 0; number /= axes_[i].values.size())
    found[i] = number % axes_[i].values.size();
  return found;
}

std::set<std::string> CaseAxes::files() const {
  std::set<std::string> names;
  for (const Axis& axis : axes_)
    if (std::ranges::find(kFiles, axis.field) != std::end(kFiles))
      for (const std::string& word : axis.words)
        for (const std::string& name : numerics::words(word)) names.insert(name);
  return names;
}

cases::CaseRequest CaseAxes::request(std::size_t number) const {
  cases::CaseRequest asked;
  const auto at = digits(number);
  for (std::size_t i = 0; i < axes_.size(); ++i) axes_[i].write(asked, axes_[i].values[at[i]]);
  return asked;
}

std::string CaseAxes::name(std::size_t number) const {
  std::string text;
  const auto at = digits(number);
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].values.size() == 1) continue;
    std::string word = axes_[i].words[at[i]];
    std::ranges::replace(word, ',', 'x');
    const auto slash = word.rfind('/');
    if (slash != std::string::npos) word.erase(0, slash + 1);
    text += (text.empty() ? "" : ".") + axes_[i].field + "=" + word;
  }
  return text;
}

std::string CaseAxes::options(std::size_t number) const {
  std::string text;
  const auto at = digits(number);
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    const std::string& word = axes_[i].words[at[i]];
    if (!axes_[i].flag)
      text += " --" + axes_[i].option + " " + shell_word(word);
    else if (word == "true")
      text += " --" + axes_[i].option;
  }
  return text;
}

}  // namespace karat::sweep
