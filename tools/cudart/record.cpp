#include "record.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/safetensors.hpp"

namespace karat::cudart {
namespace {

std::atomic<int> recorded{0};

files::Json numbers(ptx::Dimensions d) { return files::Json::array({d.x, d.y, d.z}); }

files::Tensor tensor_of(std::span<const std::byte> bytes) {
  return {files::DType::u8, {bytes.size()}, {bytes.begin(), bytes.end()}};
}

std::string hexadecimal(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte each : bytes) {
    text += kDigits[std::to_integer<unsigned>(each) >> 4];
    text += kDigits[std::to_integer<unsigned>(each) & 15];
  }
  return text;
}

/// An address as a pointer into a block, which reads better than bytes.
files::Json parameter_of(const ptx::Launch& launch, const ptx::BytesArgument& argument) {
  std::uint64_t value = 0;
  if (argument.bytes.size() == sizeof value) {
    std::memcpy(&value, argument.bytes.data(), sizeof value);
    for (const ptx::LaunchMemory& each : launch.memory)
      if (value - each.address < each.bytes.size())
        return {{"pointer", each.name}, {"offset", value - each.address}};
  }
  return {{"bytes", hexadecimal(argument.bytes)}};
}

}  // namespace

Recording::Recording(const std::string& folder, const ptx::Launch& launch, const std::string& text,
                     std::size_t number, Mode mode) {
  files::make_folder(folder);
  char name[32];
  std::snprintf(name, sizeof name, "launch_%04d", ++recorded);
  path_ = (std::filesystem::path(folder) / name).string();
  module_ = "module_" + std::to_string(number) + ".ptx";
  files::write_file(std::filesystem::path(folder) / module_, text);
  files::Tensors tensors;
  for (const ptx::LaunchMemory& each : launch.memory) {
    if (mode == Mode::both) before_.emplace_back(each.bytes.begin(), each.bytes.end());
    tensors.emplace(each.name, tensor_of(each.bytes));
  }
  files::write_safetensors(path_ + ".safetensors", tensors);
  write_json(launch, std::vector<bool>(launch.memory.size(), true));
}

void Recording::finish(const ptx::Launch& launch) {
  files::Tensors changed;
  std::vector<bool> outputs;
  for (std::size_t i = 0; i < launch.memory.size(); ++i) {
    const ptx::LaunchMemory& each = launch.memory[i];
    outputs.push_back(!std::ranges::equal(each.bytes, before_[i]));
    if (outputs.back()) changed.emplace(each.name, tensor_of(each.bytes));
  }
  files::write_safetensors(path_ + ".after.safetensors", changed);
  write_json(launch, outputs);
}

void Recording::write_json(const ptx::Launch& launch, const std::vector<bool>& outputs) const {
  const std::string stem = std::filesystem::path(path_).filename().string();
  files::Json json = {{"schema", "karat.launch"},
                      {"version", 1},
                      {"ptx", module_},
                      {"kernel", launch.kernel},
                      {"grid", numbers(launch.grid)},
                      {"block", numbers(launch.block)},
                      {"cluster", numbers(launch.cluster)},
                      {"dynamic_shared", launch.dynamic_shared},
                      {"fuse", launch.fuse == ptx::Fuse::ptxas ? "ptxas" : "none"}};
  json["tensors"] = files::Json::object();
  for (std::size_t i = 0; i < launch.memory.size(); ++i) {
    const ptx::LaunchMemory& each = launch.memory[i];
    files::Json tensor = {{"file", stem + ".safetensors"}, {"address", each.address}};
    if (!each.variable.empty()) tensor["variable"] = each.variable;
    if (outputs[i]) tensor["output"] = true;
    json["tensors"][each.name] = std::move(tensor);
  }
  json["parameters"] = files::Json::array();
  for (const ptx::Argument& each : launch.arguments)
    json["parameters"].push_back(parameter_of(launch, std::get<ptx::BytesArgument>(each)));
  files::write_file(path_ + ".json", json.dump(2) + "\n");
}

}  // namespace karat::cudart
