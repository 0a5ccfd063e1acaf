// Calls of karat.h from Python: without the interpreter's lock, errors as exceptions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "karat/karat.h"

namespace karat_python {

namespace py = pybind11;

/// The functions of karat._core, one call a subject.
void bind_attention(py::module_& module);
void bind_files(py::module_& module);
void bind_numerics(py::module_& module);

using Text = std::optional<std::string>;
inline const char* pointer(const Text& text) { return text ? text->c_str() : nullptr; }

/// The exception of karat._errors for a status.
[[noreturn]] void raise(const karat_error& error);

/// Calls without the interpreter's lock.
template <typename Call>
void run(Call call) {
  karat_error error{};
  {
    const py::gil_scoped_release unlocked;
    call(&error);
  }
  if (error.status != KARAT_OK) raise(error);
}

/// Asks Python for pending signals while the library works: what a handler raises (Ctrl-C:
/// KeyboardInterrupt) stops the call. Only the calling thread asks, a few times a second; Python
/// runs handlers in its main thread alone, so in any other there is nothing to be told.
class Watch {
 public:
  static int poll(std::size_t, std::size_t, void* context) noexcept {
    return static_cast<Watch*>(context)->stop() ? 1 : 0;
  }
  /// With the interpreter's lock. @throws what a handler raised: it explains a failure that it is
  /// the cause of, as when Ctrl-C ends the children that write files too
  void finish(karat_status status) {
    if (raised_) throw py::error_already_set(std::move(*raised_));
    if (status != KARAT_OK && PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kEvery{50};

  bool stop() {
    if (stopped_) return true;
    if (std::this_thread::get_id() != caller_ || Clock::now() - asked_ < kEvery) return false;
    asked_ = Clock::now();
    const py::gil_scoped_acquire locked;
    if (PyErr_CheckSignals() == 0) return false;
    raised_.emplace();  // takes the exception over
    stopped_ = true;
    return true;
  }

  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point asked_ = Clock::now();
  std::optional<py::error_already_set> raised_;
  std::atomic<bool> stopped_ = false;
};

/// run() for calls that take a progress function and its context.
template <typename Call>
void run_watched(Call call) {
  Watch watch;
  karat_error error{};
  {
    const py::gil_scoped_release unlocked;
    call(&Watch::poll, &watch, &error);
  }
  watch.finish(error.status);
  if (error.status != KARAT_OK) raise(error);
}

/// A text of the library as Python's.
std::string owned(char* text);

/// What a function of karat.h hands out behind its other arguments.
template <typename Result, typename... Parameters, typename... Arguments>
Result* result_of(karat_status (*function)(Parameters...), Arguments... arguments) {
  Result* made = nullptr;
  run([&](karat_error* error) { function(arguments..., &made, error); });
  return made;
}
/// Its text.
template <typename... Parameters, typename... Arguments>
std::string text_of(karat_status (*function)(Parameters...), Arguments... arguments) {
  return owned(result_of<char>(function, arguments...));
}

}  // namespace karat_python
