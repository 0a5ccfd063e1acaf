// A small discrete-event engine: processes are coroutines, shared hardware is a unit that serves
// one request after another, and barriers are counters that only grow. Private to the hopper layer.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <queue>
#include <string_view>
#include <utility>
#include <vector>

namespace karat::hopper {

class Engine;

/// One actor of the simulation (a warpgroup, a TMA load, the tensor core). The engine owns the
/// frame.
struct Process {
  struct promise_type {
    std::exception_ptr failure;
    Process get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { failure = std::current_exception(); }
  };
  std::coroutine_handle<promise_type> handle;
};

/// Runs processes in order of simulated time (clocks); events of equal time run in the order in
/// which they were scheduled, so a run is a function of its input alone.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    for (auto handle : owned_) handle.destroy();
  }

  double now() const { return now_; }

  /// Adds a process that starts now.
  void spawn(Process process) {
    owned_.push_back(process.handle);
    wake(process.handle, now_);
  }

  void wake(std::coroutine_handle<> handle, double time) {
    events_.push({time, sequence_++, handle});
  }

  /// co_await engine.until(t): continues at max(now, t).
  auto until(double time) {
    struct Awaiter {
      Engine& engine;
      double time;
      bool await_ready() const { return time <= engine.now_; }
      void await_suspend(std::coroutine_handle<> handle) { engine.wake(handle, time); }
      void await_resume() const {}
    };
    return Awaiter{*this, time};
  }
  auto delay(double clocks) { return until(now_ + clocks); }

  /// Runs until nothing is left to do. Returns the number of events.
  std::uint64_t run() {
    std::uint64_t count = 0;
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      event.handle.resume();
      ++count;
    }
    for (auto handle : owned_) {
      if (handle.promise().failure) std::rethrow_exception(handle.promise().failure);
    }
    return count;
  }

  /// True when every process came to its end: false after run() means they wait for each other.
  bool finished() const {
    for (auto handle : owned_) {
      if (!handle.done()) return false;
    }
    return true;
  }

 private:
  struct Event {
    double time;
    std::uint64_t sequence;
    std::coroutine_handle<> handle;
    bool operator<(const Event& other) const {
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };
  double now_ = 0;
  std::uint64_t sequence_ = 0;
  std::priority_queue<Event> events_;
  std::vector<std::coroutine_handle<Process::promise_type>> owned_;
};

/// A barrier as a counter that only grows: co_await count.reaches(n) continues once add() has
/// brought it to n. Full and empty barriers, turns and completions are all of this kind.
class Count {
 public:
  explicit Count(Engine& engine) : engine_(engine) {}

  void add(std::int64_t n = 1) {
    value_ += n;
    for (std::size_t i = 0; i < waiting_.size();) {
      if (waiting_[i].first <= value_) {
        engine_.wake(waiting_[i].second, engine_.now());
        waiting_[i] = waiting_.back();
        waiting_.pop_back();
      } else {
        ++i;
      }
    }
  }

  auto reaches(std::int64_t n) {
    struct Awaiter {
      Count& count;
      std::int64_t n;
      bool await_ready() const { return count.value_ >= n; }
      void await_suspend(std::coroutine_handle<> handle) { count.waiting_.push_back({n, handle}); }
      void await_resume() const {}
    };
    return Awaiter{*this, n};
  }

 private:
  Engine& engine_;
  std::int64_t value_ = 0;
  std::vector<std::pair<std::int64_t, std::coroutine_handle<>>> waiting_;
};

}  // namespace karat::hopper
