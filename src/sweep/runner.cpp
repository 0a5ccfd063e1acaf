// One runner's way through a plan.
#include "karat/sweep/runner.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "karat/files/paths.hpp"
#include "karat/files/system_error.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/log.hpp"
#include "publisher.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kBeatsPerLease = 4;
constexpr double kQuick = 0.05;  // seconds of a shard for which results may wait

/// Touches the runner's file until it goes out of scope.
class Heart {
 public:
  Heart(const Claims& claims, Seconds every)
      : thread_([this, &claims, every](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          while (!changed_.wait_for(lock, stop, every, [] { return false; }) &&
                 !stop.stop_requested())
            claims.beat();
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it is joined before what it waits on goes
};

/// Whether the system refused something in a folder: no fault of what was to be written there.
bool is_about(const files::SystemError& error, const fs::path& folder) {
  return error.subject().starts_with((folder / "").string());
}

/// A reason in which files that a runner writes under names of its own are called by the result's:
/// equal failures, equal words.
std::string named_by_result(std::string reason, const fs::path& result) {
  const std::string begin = (result.parent_path() / ".").string(), ending = ".part";
  for (auto at = reason.find(begin); at != std::string::npos; at = reason.find(begin, at + 1)) {
    const auto end = std::min(reason.find(": ", at), reason.size());
    const auto last = reason.rfind(ending, end);
    if (last == std::string::npos || last < at) continue;
    reason.replace(at, last + ending.size() - at, result.filename().string());
  }
  return reason;
}

class Running {
 public:
  Running(const Plan& plan, const RunOptions& options)
      : plan_(plan),
        options_(options),
        claims_(plan.folder(), this_runner(), Seconds(plan.spec().lease), options.clock),
        heart_(claims_, Seconds(plan.spec().lease / kBeatsPerLease)),
        publisher_(plan, claims_),
        done_(plan.done()),
        failed_(plan.size(), 0),
        seen_(plan.size(), 0) {
    for (const Failure& failure : list_failures(plan)) failed_[failure.shard] = 1;
  }

  RunReport report() {
    const auto begin = Clock::now();
    if (options_.deal) {
      const auto order = order_of_all();
      progress_.total = order.size();
      while (const auto place = options_.deal())
        if (*place < order.size()) attempt(order[*place]);
    } else {
      const auto order = order_of_share();
      progress_.total = order.size();
      for (const std::size_t shard : order) attempt(shard);
    }
    publisher_.flush();
    tend_held();
    report_.made = publisher_.published();
    report_.repeated = publisher_.repeated();
    report_.held = held_.size();
    report_failures();
    tidy();
    report_.seconds = Seconds(Clock::now() - begin).count();
    return report_;
  }

 private:
  std::vector<std::size_t> order_of_all() const {
    auto order = plan_.by_cost();
    if (!options_.only.empty())
      std::erase_if(order, [&](std::size_t shard) {
        return std::ranges::find(options_.only, shard) == options_.only.end();
      });
    return order;
  }

  std::vector<std::size_t> order_of_share() const {
    const auto all = order_of_all();
    const auto [index, count] = options_.share;
    std::vector<std::size_t> order;
    for (std::size_t i = index; i < all.size(); i += count) order.push_back(all[i]);
    if (options_.beyond == Beyond::help)
      for (std::size_t i = 0; i < all.size(); ++i)
        if (i % count != index) order.push_back(all[i]);
    return order;
  }

  void advance() {
    ++progress_.done;
    if (options_.progress) options_.progress(progress_);
  }
  void tick() const {
    if (options_.tick) options_.tick();
  }

  bool is_done(std::size_t shard) {
    if (!done_[shard]) done_[shard] = files::standing(plan_.result(shard)) == files::Standing::file;
    return done_[shard] != 0;
  }
  bool is_failed(std::size_t shard) {
    if (!failed_[shard])
      failed_[shard] = files::standing(plan_.failure(shard)) == files::Standing::file;
    return failed_[shard] != 0;
  }
  /// Done or failed: nothing is left to do at it.
  bool is_over(std::size_t shard) {
    if (failed_[shard]) return true;
    if (!done_[shard]) return false;
    ++report_.found;
    return true;
  }

  /// One shard, if nobody has it.
  void attempt(std::size_t shard) {
    tick();
    seen_[shard] = 1;
    if (is_over(shard)) return advance();
    if (publisher_.due() || (publisher_.waiting() && plan_.cost(shard).seconds > kQuick))
      publisher_.flush();
    if (!claims_.claim(shard)) {
      claims_.look(shard);
      held_.push_back(shard);
      return;
    }
    work_at(shard);
  }

  /// A shard that was claimed here. Another runner may have finished it just before.
  void work_at(std::size_t shard) {
    if (is_failed(shard) || is_done(shard)) {
      claims_.release(shard);
      report_.found += done_[shard] && !failed_[shard];
      return advance();
    }
    const auto begin = Clock::now();
    try {
      if (!work_) work_ = plan_.work();
    } catch (...) {
      claims_.release(shard);
      throw;
    }
    Made made;
    std::string reason;
    try {
      made = work_->make(shard, publisher_.temporary(shard),
                         {.threads = options_.threads > 0 ? options_.threads : plan_.spec().threads,
                          .tick = options_.tick});
    } catch (const files::SystemError& error) {
      if (is_about(error, plan_.result(shard).parent_path()) && !is_done(shard))
        stop_without_room(shard, error);
      reason = error.what();
    } catch (const Error& error) {
      reason = error.what();
    } catch (const std::bad_alloc&) {
      reason = "memory: not enough for this shard; give it a machine with more, or fewer threads";
    } catch (const std::exception& error) {
      reason = std::string("internal: ") + error.what() + "; please report this";
    }
    if (!reason.empty()) {
      fail(shard, named_by_result(std::move(reason), plan_.result(shard)));
    } else {
      publisher_.add(shard, made, Seconds(Clock::now() - begin).count());
      done_[shard] = 1;
      if (publisher_.due()) publisher_.flush();
    }
    advance();
  }

  /// A full disk, a quota, a folder that went away: the run ends, and no shard fails.
  [[noreturn]] void stop_without_room(std::size_t shard, const files::SystemError& error) {
    tick();
    try {
      publisher_.flush();  // what is finished and waits: its bytes are on the disk already
    } catch (const Error&) {
      // computed again, as after a kill
    }
    throw Error(ErrorKind::input_output, plan_.folder().string(),
                std::string(plan_.name(shard)) +
                    " cannot be written: " + std::generic_category().message(error.code()),
                "nothing is lost: free the disk or mend the folder, and run again");
  }

  void fail(std::size_t shard, const std::string& reason) {
    tick();  // an interrupt makes helpers fail: no fault of the shard
    // While this runner stood still, others may have finished, and removed what it had half
    // written.
    if (is_done(shard)) {
      claims_.release(shard);
      ++report_.found;
      return;
    }
    try {
      write_failure(plan_, {.shard = shard,
                            .reason = reason,
                            .runner = claims_.runner().id,
                            .host = claims_.runner().host});
    } catch (const files::SystemError& error) {
      throw Error(
          ErrorKind::input_output, plan_.folder().string(),
          std::string(plan_.name(shard)) + " fails (" + reason +
              "), which cannot be recorded: " + std::generic_category().message(error.code()),
          "nothing is lost: free the disk or mend the folder, and run again");
    }
    failed_[shard] = 1;
    claims_.release(shard);
  }

  /// Shards of others: done meanwhile, given back, silent, or held by somebody who lives.
  void tend_held() {
    const Seconds pause = std::clamp(Seconds(plan_.spec().lease / 16), Seconds(0.01), Seconds(1));
    while (!held_.empty()) {
      tick();
      std::vector<std::size_t> still;
      bool somebody_lives = false;
      for (const std::size_t shard : held_) {
        if (is_done(shard) || is_failed(shard)) {
          report_.found += done_[shard] && !failed_[shard];
          advance();
          continue;
        }
        switch (claims_.look(shard)) {
          case Claims::Look::free:
            if (claims_.claim(shard)) {
              work_at(shard);
              continue;
            }
            break;
          case Claims::Look::silent:
            if (take_over(shard)) continue;
            break;
          case Claims::Look::alive:
            somebody_lives = true;
            break;
          case Claims::Look::unknown:
            break;
        }
        still.push_back(shard);
      }
      publisher_.flush();
      held_ = std::move(still);
      const bool all_live = somebody_lives && std::ranges::all_of(held_, [&](std::size_t shard) {
                              return claims_.look(shard) == Claims::Look::alive;
                            });
      if (held_.empty() || (all_live && options_.at_the_end == AtTheEnd::leave)) return;
      std::this_thread::sleep_for(pause);
    }
  }

  /// True: the shard needs no more looking at.
  bool take_over(std::size_t shard) {
    if (!claims_.take_over(shard)) return false;
    ++report_.taken;
    if (claims_.taken(shard) >= plan_.spec().attempts) {
      // As many as may, not as many as did: the reason is the same whoever counts.
      fail(shard, std::to_string(plan_.spec().attempts) +
                      " runners fell silent at it; look for a crash, a lack of "
                      "memory or a lease that is too short");
      advance();
      return true;
    }
    work_at(shard);
    return true;
  }

  void report_failures() {
    for (const Failure& failure : list_failures(plan_))
      if (seen_[failure.shard]) report_.failed.push_back({failure.shard, failure.reason});
  }

  /// Removes what killed runners left, once nothing is left to do.
  void tidy() {
    const auto done = plan_.done();
    for (std::size_t shard = 0; shard < plan_.size(); ++shard)
      if (!done[shard]) return;
    claims_.tidy(plan_.inside("claims"));
    claims_.tidy(plan_.inside("results"));
  }

  const Plan& plan_;
  const RunOptions& options_;
  Claims claims_;
  Heart heart_;
  Publisher publisher_;
  std::vector<char> done_, failed_, seen_;
  std::vector<std::size_t> held_;
  std::unique_ptr<Work> work_;
  RunProgress progress_;
  RunReport report_;
};

}  // namespace

RunReport run(const Plan& plan, const RunOptions& options) {
  return Running(plan, options).report();
}

}  // namespace karat::sweep
