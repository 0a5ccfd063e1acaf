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

Fields::Fields(files::Json object, std::string subject)
    : object_(std::move(object)), subject_(std::move(subject)) {}

const files::Json* Fields::find(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::fail(std::string_view name, const std::string& wanted) const {
  throw Error(ErrorKind::usage, named(name), object_[std::string(name)].dump() + " is no " + wanted,
              "give a " + wanted);
}

bool Fields::has(std::string_view name) { return find(name) != nullptr; }

std::string Fields::text(std::string_view name, std::string_view otherwise) {
  const files::Json* value = find(name);
  if (value == nullptr) return std::string(otherwise);
  if (!value->is_string()) fail(name, "text");
  return value->get<std::string>();
}

double Fields::number(std::string_view name, double otherwise) {
  const files::Json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) fail(name, "number");
  return value->get<double>();
}

std::int64_t Fields::whole(std::string_view name, std::int64_t otherwise, std::int64_t low,
                           std::int64_t high) {
  const files::Json* value = find(name);
  if (value == nullptr) return otherwise;
  const std::string wanted =
      "whole number from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value->is_number_integer()) fail(name, wanted);
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(high))
    fail(name, wanted);
  const auto number = value->get<std::int64_t>();
  if (number < low || number > high) fail(name, wanted);
  return number;
}

bool Fields::flag(std::string_view name) {
  const files::Json* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) fail(name, "true or false");
  return value->get<bool>();
}

std::vector<std::string> Fields::texts(std::string_view name) {
  const files::Json* value = find(name);
  std::vector<std::string> list;
  if (value == nullptr) return list;
  if (!value->is_array()) fail(name, "list of texts");
  for (const files::Json& each : *value) {
    if (!each.is_string()) fail(name, "list of texts");
    list.push_back(each.get<std::string>());
  }
  return list;
}

video::Extent3 Fields::extent(std::string_view name) {
  const files::Json* value = find(name);
  const auto extent_of = [&](std::size_t i) {
    const files::Json& each = (*value)[i];
    if (!each.is_number_integer() || each.get<std::int64_t>() < 1 ||
        each.get<std::int64_t>() > 1'000'000)
      fail(name, "list of three whole numbers from 1");
    return each.get<int>();
  };
  if (value == nullptr || !value->is_array() || value->size() != 3)
    fail(name, "list of three whole numbers from 1");
  return {extent_of(0), extent_of(1), extent_of(2)};
}

files::FieldValue Fields::value(std::string_view name, files::FieldKind kind, std::int64_t low,
                                std::int64_t high) {
  switch (kind) {
    case files::FieldKind::text:
      return text(name, "");
    case files::FieldKind::whole:
      return whole(name, low, low, high);
    case files::FieldKind::number: {
      const double value = number(name, static_cast<double>(low));
      if (!(value >= static_cast<double>(low) && value <= static_cast<double>(high)))
        fail(name, "number from " + std::to_string(low) + " to " + std::to_string(high));
      return value;
    }
    case files::FieldKind::flag:
      return flag(name);
    case files::FieldKind::texts:
      return texts(name);
    case files::FieldKind::extent:
      break;
  }
  const video::Extent3 size = extent(name);
  return std::array{size.t, size.h, size.w};
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
