// What every function of the C interface has in common: no exception leaves, texts change owners.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/files/object_fields.hpp"
#include "karat/karat.h"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/recipe.hpp"

struct karat_recipe {
  karat::recipe::Recipe recipe;
};

namespace karat::c {

/// Thrown when the caller's progress function asks to stop.
struct Stopped {};

/// The caller's progress function as the library wants it: throws Stopped when it asks to stop, and
/// from then on, so that other threads stop too. Empty where there is none.
std::function<void(std::size_t, std::size_t)> steps_of(karat_progress progress, void* context);

/// Runs `body`; whatever it throws becomes a status and a message.
karat_status guarded(karat_error* error, const std::function<void()>& body) noexcept;

/// A copy the caller frees by karat_free_text().
char* handed_out(std::string_view text);

/// @throws Error(usage) naming `what` when the pointer is null
template <typename T>
T* required(T* pointer, const char* what) {
  if (pointer == nullptr) throw Error(ErrorKind::usage, what, "is NULL", "give one");
  return pointer;
}
/// @throws Error(usage) unless a struct's `size` is the one compiled here
void require_size(std::size_t given, std::size_t known, const char* what);

/// A JSON object from a caller: NULL is an empty one.
files::Json object_of(const char* text, const char* what);

/// The fields of a JSON object from a caller.
class Fields : public files::ObjectFields {
 public:
  Fields(const char* text, const char* subject)
      : files::ObjectFields(object_of(text, subject), subject) {}
};

}  // namespace karat::c
