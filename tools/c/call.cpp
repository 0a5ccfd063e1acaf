// Exceptions into statuses, JSON objects into fields.
#include "call.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

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
  const auto stopped = std::make_shared<std::atomic<bool>>(false);
  return [=](std::size_t done, std::size_t total) {
    if (*stopped || progress(done, total, context) != 0) {
      *stopped = true;
      throw Stopped{};
    }
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

}  // namespace karat::c

const char* karat_version(void) { return KARAT_VERSION; }
void karat_free_text(char* text) { std::free(text); }
