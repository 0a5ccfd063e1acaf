#include "errors.hpp"

#include <atomic>
#include <cstdio>
#include <new>

#include "karat/numerics/base/error.hpp"

namespace karat::cudart {
namespace {

struct Row {
  int code;
  const char* name;
  const char* text;
};

constexpr Row kRows[] = {
    {kSuccess, "cudaSuccess", "no error"},
    {kInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {kMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {kInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {kInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {kInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {kInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {kMissingConfiguration, "cudaErrorMissingConfiguration",
     "__global__ function call is not configured"},
    {kInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {kInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {kNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {kInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {kInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {kSymbolNotFound, "cudaErrorSymbolNotFound", "named symbol not found"},
    {kNotReady, "cudaErrorNotReady", "device not ready"},
    {kLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {kLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {kNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {kStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {kInvalidClusterSize, "cudaErrorInvalidClusterSize", "cluster misconfiguration"},
    {kUnknown, "cudaErrorUnknown", "unknown error"},
};

const Row* row_of(int code) {
  for (const Row& row : kRows)
    if (row.code == code) return &row;
  return nullptr;
}

thread_local int last = kSuccess;
std::atomic<bool> device_lost{false};

int code_of(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::usage:
      return kInvalidValue;
    case ErrorKind::input_output:
      return kInvalidPtx;
    case ErrorKind::internal:
      break;
  }
  return kUnknown;
}

}  // namespace

const char* error_name(int code) {
  const Row* const row = row_of(code);
  return row != nullptr ? row->name : "unrecognized error code";
}
const char* error_text(int code) {
  const Row* const row = row_of(code);
  return row != nullptr ? row->text : "unrecognized error code";
}

int failed(int code) {
  if (code != kSuccess) last = code;
  return code;
}

int failed(int code, const char* function, const char* why) {
  std::fprintf(stderr, "karat: %s: %s\n", function, why);
  return failed(code);
}

int call(const char* function, const std::function<int()>& work) {
  if (device_lost) return failed(kLaunchFailure);
  try {
    return failed(work());
  } catch (const Error& error) {
    return failed(code_of(error), function, error.what());
  } catch (const std::bad_alloc&) {
    return failed(kMemoryAllocation, function, "there is not enough memory");
  } catch (const std::exception& error) {
    return failed(kUnknown, function, error.what());
  }
}

void set_device_lost() { device_lost = true; }

int take_last_error() {
  const int code = last_error();
  last = kSuccess;
  return code;
}
int last_error() { return device_lost ? kLaunchFailure : last; }

}  // namespace karat::cudart
