// Streams and events. Everything has happened when a call returns, so that streams have nothing to
// wait for; events keep the host's time.
#include <chrono>
#include <memory>
#include <mutex>
#include <set>

#include "abi.hpp"
#include "errors.hpp"

using namespace karat::cudart;

namespace {

struct Stream {
  unsigned flags = 0;
  int priority = 0;
};

struct Event {
  bool recorded = false;
  std::chrono::steady_clock::time_point at;
};

/// The handles of one kind that are in use.
template <typename T>
class Handles {
 public:
  int create(Handle* out, T value) {
    const std::lock_guard lock(guard_);
    *out = *all_.insert(new T(value)).first;
    return kSuccess;
  }
  int destroy(Handle handle) {
    const std::lock_guard lock(guard_);
    if (all_.erase(static_cast<T*>(handle)) == 0) return failed(kInvalidResourceHandle);
    delete static_cast<T*>(handle);
    return kSuccess;
  }
  /// Null for none of ours.
  T* find(Handle handle) {
    const std::lock_guard lock(guard_);
    const auto found = all_.find(static_cast<T*>(handle));
    return found == all_.end() ? nullptr : *found;
  }

 private:
  std::mutex guard_;
  std::set<T*> all_;
};

Handles<Stream>& streams() {
  static auto* const all = new Handles<Stream>;
  return *all;
}
Handles<Event>& events() {
  static auto* const all = new Handles<Event>;
  return *all;
}

/// The default streams are 0, 1 (legacy) and 2 (per thread).
bool is_stream(Handle stream) {
  return reinterpret_cast<std::uintptr_t>(stream) <= 2 || streams().find(stream) != nullptr;
}

int known_stream(const char* function, Handle stream) {
  return call(function, [&] { return is_stream(stream) ? kSuccess : kInvalidResourceHandle; });
}

int known_event(const char* function, Handle event) {
  return call(function,
              [&] { return events().find(event) != nullptr ? kSuccess : kInvalidResourceHandle; });
}

}  // namespace

extern "C" {

int cudaStreamCreateWithPriority(Handle* stream, unsigned flags, int priority) {
  return streams().create(stream, {flags, priority});
}
int cudaStreamCreateWithFlags(Handle* stream, unsigned flags) {
  return streams().create(stream, {flags, 0});
}
int cudaStreamCreate(Handle* stream) { return streams().create(stream, {}); }
int cudaStreamDestroy(Handle stream) { return streams().destroy(stream); }
int cudaStreamSynchronize(Handle stream) { return known_stream("cudaStreamSynchronize", stream); }
int cudaStreamSynchronize_ptsz(Handle stream) { return cudaStreamSynchronize(stream); }
int cudaStreamQuery(Handle stream) { return known_stream("cudaStreamQuery", stream); }
int cudaStreamGetFlags(Handle stream, unsigned* flags) {
  const Stream* const found = streams().find(stream);
  *flags = found != nullptr ? found->flags : 0;
  return failed(is_stream(stream) ? kSuccess : kInvalidResourceHandle);
}
int cudaStreamGetPriority(Handle stream, int* priority) {
  const Stream* const found = streams().find(stream);
  *priority = found != nullptr ? found->priority : 0;
  return failed(is_stream(stream) ? kSuccess : kInvalidResourceHandle);
}
int cudaStreamGetDevice(Handle, int* device) { return *device = 0, kSuccess; }
int cudaStreamGetId(Handle stream, unsigned long long* id) {
  return *id = reinterpret_cast<std::uintptr_t>(stream), kSuccess;
}
int cudaStreamWaitEvent(Handle stream, Handle event, unsigned) {
  const int code = known_event("cudaStreamWaitEvent", event);
  return code != kSuccess ? code : known_stream("cudaStreamWaitEvent", stream);
}
int cudaStreamSetAttribute(Handle, int, const void*) { return kSuccess; }
int cudaStreamGetAttribute(Handle, int, void*) { return failed(kNotSupported); }
int cudaStreamCopyAttributes(Handle, Handle) { return kSuccess; }
int cudaStreamAttachMemAsync(Handle, void*, std::size_t, unsigned) { return kSuccess; }
int cudaLaunchHostFunc(Handle, void (*function)(void*), void* data) {
  function(data);
  return kSuccess;
}
int cudaStreamAddCallback(Handle stream, void (*function)(Handle, int, void*), void* data,
                          unsigned) {
  function(stream, kSuccess, data);
  return kSuccess;
}

// Graphs are not supported: no stream ever captures.
int cudaStreamBeginCapture(Handle, int) {
  return failed(kNotSupported, "cudaStreamBeginCapture", "graphs are not supported");
}
int cudaStreamEndCapture(Handle, Handle*) { return failed(kNotSupported); }
int cudaStreamIsCapturing(Handle, int* status) { return *status = 0, kSuccess; }
int cudaStreamGetCaptureInfo(Handle, int* status, ...) { return *status = 0, kSuccess; }
int cudaStreamGetCaptureInfo_v2(Handle, int* status, ...) { return *status = 0, kSuccess; }
int cudaStreamGetCaptureInfo_v3(Handle, int* status, ...) { return *status = 0, kSuccess; }
int cudaThreadExchangeStreamCaptureMode(int*) { return kSuccess; }

int cudaEventCreateWithFlags(Handle* event, unsigned) { return events().create(event, {}); }
int cudaEventCreate(Handle* event) { return events().create(event, {}); }
int cudaEventDestroy(Handle event) { return events().destroy(event); }
int cudaEventRecord(Handle event, Handle stream) {
  return call("cudaEventRecord", [&] {
    Event* const found = events().find(event);
    if (found == nullptr || !is_stream(stream)) return int{kInvalidResourceHandle};
    *found = {true, std::chrono::steady_clock::now()};
    return int{kSuccess};
  });
}
int cudaEventRecord_ptsz(Handle event, Handle stream) { return cudaEventRecord(event, stream); }
int cudaEventRecordWithFlags(Handle event, Handle stream, unsigned) {
  return cudaEventRecord(event, stream);
}
int cudaEventSynchronize(Handle event) { return known_event("cudaEventSynchronize", event); }
int cudaEventQuery(Handle event) { return known_event("cudaEventQuery", event); }
/// Milliseconds of this run on the CPU: a GPU's time cannot be learnt from it.
int cudaEventElapsedTime(float* milliseconds, Handle begin, Handle end) {
  const Event *const first = events().find(begin), *const last = events().find(end);
  if (first == nullptr || last == nullptr || !first->recorded || !last->recorded)
    return failed(kInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
  return kSuccess;
}
int cudaEventElapsedTime_v2(float* milliseconds, Handle begin, Handle end) {
  return cudaEventElapsedTime(milliseconds, begin, end);
}

}  // extern "C"
