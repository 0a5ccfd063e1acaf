// What every capture program shares: options, CUDA errors, and the files it writes.
// A capture file is a safetensors file: named little-endian arrays and free text as metadata.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace karat::capture {

[[noreturn]] inline void fail(const std::string& subject, const std::string& problem) {
  std::fprintf(stderr, "%s: %s\n", subject.c_str(), problem.c_str());
  std::exit(3);
}

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(what, cudaGetErrorString(status));
}

/// After a kernel launch: waits for it and reports what went wrong.
inline void finish(const char* kernel) {
  check(cudaGetLastError(), kernel);
  check(cudaDeviceSynchronize(), kernel);
}

/// Memory on the device, zeroed.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
    check(cudaMemset(data_, 0, count * sizeof(T)), "cudaMemset");
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    check(cudaMemcpy(data_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "upload");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> download() const {
    std::vector<T> host(count_);
    check(cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return host;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// Named arrays on their way to a file.
class CaptureFile {
 public:
  explicit CaptureFile(std::map<std::string, std::string> metadata)
      : metadata_(std::move(metadata)) {
    metadata_["schema"] = "karat-capture/1";
  }

  template <typename T>
  void add(const std::string& name, std::vector<std::size_t> shape, const std::vector<T>& values) {
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    arrays_[name] = {type_name<T>(), std::move(shape), {bytes, bytes + values.size() * sizeof(T)}};
  }

  void write(const std::string& path) const {
    std::string header = "{\"__metadata__\":{";
    for (const auto& [key, text] : metadata_)
      header += (header.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(text);
    header += "}";
    std::size_t offset = 0;
    // Widest elements first, as readers that map the file want them aligned.
    for (std::size_t size : {8, 4, 2, 1})
      for (const auto& [name, array] : arrays_)
        if (array.element_size() == size) header += described(name, array, offset);
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::ofstream out(path, std::ios::binary);
    const std::uint64_t length = header.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << header;
    for (std::size_t size : {8, 4, 2, 1})
      for (const auto& [name, array] : arrays_)
        if (array.element_size() == size)
          out.write(array.bytes.data(), static_cast<std::streamsize>(array.bytes.size()));
    if (!out.flush()) fail(path, "cannot be written");
  }

 private:
  struct Array {
    std::string type;
    std::vector<std::size_t> shape;
    std::vector<char> bytes;
    std::size_t element_size() const {
      return type == "U64" ? 8 : type == "U32" || type == "F32" ? 4 : type == "U16" ? 2 : 1;
    }
  };
  template <typename T>
  static std::string type_name() {
    if constexpr (std::is_same_v<T, float>) return "F32";
    return "U" + std::to_string(8 * sizeof(T));
  }
  static std::string quoted(const std::string& text) { return "\"" + text + "\""; }
  static std::string described(const std::string& name, const Array& array, std::size_t& offset) {
    std::string text = "," + quoted(name) + ":{\"dtype\":" + quoted(array.type) + ",\"shape\":[";
    for (std::size_t i = 0; i < array.shape.size(); ++i)
      text += (i ? "," : "") + std::to_string(array.shape[i]);
    text += "],\"data_offsets\":[" + std::to_string(offset) + ",";
    offset += array.bytes.size();
    return text + std::to_string(offset) + "]}";
  }

  std::map<std::string, std::string> metadata_;
  std::map<std::string, Array> arrays_;
};

/// Command line of a capture program: OUT [SEED].
struct Options {
  std::string out;
  std::uint64_t seed = 1;
};

inline Options parse_options(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s OUT [SEED]\n", argv[0]);
    std::exit(2);
  }
  Options options{argv[1]};
  if (argc == 3) options.seed = std::strtoull(argv[2], nullptr, 10);
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "device 0");
  if (device.major != 9) fail(device.name, "is no Hopper GPU (compute capability 9.0)");
  return options;
}

}  // namespace karat::capture
