// Exceptions into statuses, JSON objects into fields.
#include "call.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "karat/numerics/base/suggest.hpp"

namespace karat::c {
namespace {

karat_status report(karat_error* error, karat_status status, std::string_view message) noexcept {
  if (error == nullptr) return status;
  error->status = status;
  std::size_t size = std::min(message.size(), sizeof error->message - 1);
  if (size < message.size())
    while (size > 0 && (message[size] & 0xC0) == 0x80) --size;
  std::memcpy(error->message, message.data(), size);
  error->message[size] = '\0';
  return status;
}

karat_status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return KARAT_USAGE;
    case ErrorKind::input_output:
      return KARAT_INPUT_OUTPUT;
    case ErrorKind::internal:
      break;
  }
  return KARAT_INTERNAL;
}

bool whole_between(const files::Json& x, std::int64_t low, std::int64_t high) {
  if (!x.is_number_integer()) return false;
  if (x.is_number_unsigned()) {
    const auto number = x.get<std::uint64_t>();
    return number <= static_cast<std::uint64_t>(high) && static_cast<std::int64_t>(number) >= low;
  }
  return x.get<std::int64_t>() >= low && x.get<std::int64_t>() <= high;
}

}  // namespace

std::function<void(std::size_t, std::size_t)> steps_of(karat_progress progress, void* context) {
  if (progress == nullptr) return {};
  return [=](std::size_t done, std::size_t total) {
    if (progress(done, total, context) != 0) throw Stopped{};
  };
}

karat_status guarded(karat_error* error, const std::function<void()>& body) noexcept {
  try {
    body();
    return report(error, KARAT_OK, "");
  } catch (const Error& failure) {
    return report(error, status_of(failure.kind()), failure.what());
  } catch (const Stopped&) {
    return report(error, KARAT_STOPPED, "karat: stopped by the caller");
  } catch (const std::bad_alloc&) {
    return report(error, KARAT_INTERNAL, "karat: no memory left; compute fewer heads at once");
  } catch (const std::exception& failure) {
    return report(error, KARAT_INTERNAL, failure.what());
  } catch (...) {
    return report(error, KARAT_INTERNAL, "karat: unknown failure; please report it");
  }
}

char* handed_out(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

void require_size(std::size_t given, std::size_t known, const char* what) {
  if (given == known) return;
  throw Error(
      ErrorKind::usage, what,
      "has size " + std::to_string(given) + ", this libkarat knows " + std::to_string(known),
      "set .size to sizeof the struct and compile against this version's karat.h");
}

files::Json object_of(const char* text, const char* what) {
  if (text == nullptr) return files::Json::object();
  files::Json json = files::parse_json(std::string_view(text), what);
  if (!json.is_object()) throw Error(ErrorKind::usage, what, "is no JSON object", "give {...}");
  return json;
}

bool Fields::has(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

files::FieldValue Fields::value(std::string_view name, files::FieldKind kind, std::int64_t low,
                                std::int64_t high) const {
  using files::FieldKind;
  const files::Json& given = object_[std::string(name)];
  std::string wanted = "text";
  switch (kind) {
    case FieldKind::text:
      if (given.is_string()) return given.get<std::string>();
      break;
    case FieldKind::number:
      if (given.is_number() && given.get<double>() >= static_cast<double>(low) &&
          given.get<double>() <= static_cast<double>(high))
        return given.get<double>();
      wanted = "number from " + std::to_string(low) + " to " + std::to_string(high);
      break;
    case FieldKind::flag:
      if (given.is_boolean()) return given.get<bool>();
      wanted = "true or false";
      break;
    case FieldKind::whole:
      if (whole_between(given, low, high)) return given.get<std::int64_t>();
      wanted = "whole number from " + std::to_string(low) + " to " + std::to_string(high);
      break;
    case FieldKind::texts:
      if (given.is_array() &&
          std::all_of(given.begin(), given.end(), [](const auto& x) { return x.is_string(); }))
        return given.get<std::vector<std::string>>();
      wanted = "list of texts";
      break;
    case FieldKind::extent:
      if (given.is_array() && given.size() == 3 &&
          std::all_of(given.begin(), given.end(),
                      [](const auto& x) { return whole_between(x, 1, 1'000'000); }))
        return given.get<std::array<int, 3>>();
      wanted = "list of three whole numbers from 1";
      break;
  }
  throw Error(ErrorKind::usage, named(name), given.dump() + " is no " + wanted, "give a " + wanted);
}

void Fields::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::find(known_, name) != known_.end()) continue;
    throw Error(ErrorKind::usage, named(name), "is not known",
                "did you mean " + numerics::nearest_name(name, known_, [](const std::string& k) {
                  return k;
                }) + "?");
  }
}

}  // namespace karat::c

const char* karat_version(void) { return KARAT_VERSION; }
void karat_free_text(char* text) { std::free(text); }
