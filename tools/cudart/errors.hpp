// cudaError_t: codes, names, texts; the last error of a thread, and the one that stays.
#pragma once

#include <functional>

namespace karat::cudart {

/// Values of cudaError_t that this runtime returns.
enum Code : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kMemoryAllocation = 2,
  kInvalidConfiguration = 9,
  kInvalidSymbol = 13,
  kInvalidDevicePointer = 17,
  kInvalidMemcpyDirection = 21,
  kMissingConfiguration = 52,
  kInvalidDeviceFunction = 98,
  kInvalidDevice = 101,
  kNoKernelImageForDevice = 209,
  kInvalidPtx = 218,
  kInvalidResourceHandle = 400,
  kSymbolNotFound = 500,
  kNotReady = 600,
  kLaunchOutOfResources = 701,
  kLaunchFailure = 719,
  kNotSupported = 801,
  kStreamCaptureUnsupported = 900,
  kInvalidClusterSize = 912,
  kUnknown = 999,
};

/// "cudaErrorInvalidValue", and what the CUDA runtime says of it.
const char* error_name(int code);
const char* error_text(int code);

/// Makes a code the thread's last error unless it is a success. @return it
int failed(int code);
/// The same with a line on stderr that says why.
int failed(int code, const char* function, const char* why);

/// Runs what a function of the runtime does. After a kernel's fault every call fails, as on a
/// device. An Error becomes a line on stderr and a code.
int call(const char* function, const std::function<int()>& work);

/// A kernel was at fault: what stays until the program ends.
void set_device_lost();

/// cudaGetLastError(), cudaPeekAtLastError()
int take_last_error();
int last_error();

}  // namespace karat::cudart
