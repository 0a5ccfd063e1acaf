#include "modules.hpp"

#include <algorithm>
#include <new>

#include "fatbin.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cudart {
namespace {

std::recursive_mutex loading;

}  // namespace

void Image::load() {
  const std::lock_guard lock(loading);
  if (module_ != nullptr) return;
  const std::string subject = "image " + std::to_string(number_);
  if (wrapper_.magic != kWrapperMagic || wrapper_.data == nullptr)
    throw Error(ErrorKind::input_output, subject, "what was registered is no fat binary");
  const FatBinary binary = read_fat_binary({wrapper_.data, fat_binary_bytes(wrapper_.data)});
  const PtxImage* const image = image_for_hopper(binary);
  if (image == nullptr)
    throw Error(ErrorKind::input_output, subject,
                "the program holds no PTX that sm_90a runs, " +
                    std::to_string(binary.images.size()) + " other PTX images and " +
                    std::to_string(binary.machine_code) + " of machine code",
                "compile with -gencode arch=compute_90a,code=[compute_90a,sm_90a], without -rdc");
  text_ = image->text;
  auto module = ptx::load_module(text_, "module_" + std::to_string(number_) + ".ptx");
  kernels_ = ptx::kernels_of(*module);
  for (const ptx::VariableInfo& each : ptx::variables_of(*module)) {
    const auto block = blocks().allocate(each.bytes, Block::Kind::variable, each.name);
    if (!block) throw std::bad_alloc();
    variables_.emplace(each.name, *block);
  }
  const auto address = [&](std::string_view name) {
    return variables_.at(std::string(name)).address();
  };
  for (const auto& [name, block] : variables_) {
    const auto bytes = ptx::initial_bytes(*module, name, address);
    std::copy(bytes.begin(), bytes.end(), block.bytes.begin());
  }
  module_ = std::move(module);
}

const std::shared_ptr<const ptx::LoadedModule>& Image::module() {
  load();
  return module_;
}

const std::string& Image::text() {
  load();
  return text_;
}

std::optional<Block> Image::variable(const std::string& name) {
  load();
  const auto found = variables_.find(name);
  if (found == variables_.end()) return std::nullopt;
  return found->second;
}

const std::map<std::string, Block>& Image::variables() {
  load();
  return variables_;
}

const ptx::KernelInfo* Image::kernel(const std::string& name) {
  load();
  for (const ptx::KernelInfo& each : kernels_)
    if (each.name == name) return &each;
  return nullptr;
}

Image* Registry::add(const FatBinaryWrapper& wrapper) {
  const std::lock_guard lock(guard_);
  images_.push_back(std::make_unique<Image>(wrapper, images_.size()));
  return images_.back().get();
}

void Registry::add_kernel(const void* host, Image* image, const char* name) {
  const std::lock_guard lock(guard_);
  kernels_[host] = {.image = image, .name = name};
}

void Registry::add_symbol(const void* host, Image* image, const char* name, std::size_t bytes) {
  const std::lock_guard lock(guard_);
  symbols_[host] = {image, name, bytes};
}

Kernel* Registry::kernel(const void* host) {
  const std::lock_guard lock(guard_);
  const auto found = kernels_.find(host);
  return found == kernels_.end() ? nullptr : &found->second;
}

Symbol* Registry::symbol(const void* host) {
  const std::lock_guard lock(guard_);
  const auto found = symbols_.find(host);
  return found == symbols_.end() ? nullptr : &found->second;
}

std::vector<Image*> Registry::images() const {
  const std::lock_guard lock(guard_);
  std::vector<Image*> list;
  for (const auto& each : images_) list.push_back(each.get());
  return list;
}

Registry& registry() {
  static Registry* const all = new Registry;
  return *all;
}

}  // namespace karat::cudart
