#include "compiled.hpp"

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "karat/files/paths.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::kernels {
namespace {

template <typename T>
ptx::BytesArgument number(T value) {
  ptx::BytesArgument argument;
  argument.bytes.resize(sizeof value);
  std::memcpy(argument.bytes.data(), &value, sizeof value);
  return argument;
}

/// The map, i32 shape[2], i64 strides[2].
void add_descriptor(ptx::Launch& launch, const std::string& name, const files::Json& described) {
  const files::Shape& shape = launch.tensors.at(name).value.shape;
  if (shape.size() != 2) throw std::invalid_argument(name + " has no two dimensions");
  launch.arguments.push_back(
      ptx::TensorMapArgument{.tensor = name,
                             .shape = {shape[0], shape[1]},
                             .box = described.at("box").get<std::vector<std::uint32_t>>(),
                             .swizzle = described.at("swizzle").get<std::string>()});
  for (const std::size_t each : shape)
    launch.arguments.push_back(number(static_cast<std::int32_t>(each)));
  launch.arguments.push_back(number(static_cast<std::int64_t>(shape[1])));
  launch.arguments.push_back(number(std::int64_t{1}));
}

template <typename T>
ptx::LaunchTensor tensor(files::DType type, std::vector<std::size_t> shape,
                         const std::vector<T>& values) {
  return {files::make_tensor(type, std::move(shape), values)};
}

}  // namespace

std::filesystem::path compiled_folder() {
  return std::filesystem::path(KARAT_SOURCE_DIR) / "tests" / "data" / "kernels" / "triton";
}

ptx::Launch compiled_launch(const std::string& name, ptx::Dimensions grid, Arguments arguments) {
  const files::Json about = files::read_json(compiled_folder() / (name + ".json"));
  ptx::Launch launch{.ptx = files::read_text(compiled_folder() / (name + ".ptx")),
                     .file = name + ".ptx",
                     .grid = grid};
  launch.block.x = about.at("block").at(0).get<std::uint32_t>();
  launch.dynamic_shared = about.at("dynamic_shared").get<std::uint32_t>();
  for (const files::Json& each : about.at("arguments")) {
    const auto argument = each.at("name").get<std::string>();
    Given& given = arguments.at(argument);
    if (auto* whole = std::get_if<std::int32_t>(&given)) {
      launch.arguments.push_back(number(*whole));
    } else if (auto* real = std::get_if<float>(&given)) {
      launch.arguments.push_back(number(*real));
    } else {
      launch.tensors[argument] = std::move(std::get<ptx::LaunchTensor>(given));
      if (each.at("type") == "tensordesc")
        add_descriptor(launch, argument, each);
      else
        launch.arguments.push_back(ptx::PointerArgument{argument});
    }
  }
  const auto scratch = about.at("global_scratch").get<std::size_t>();
  if (scratch > 0)
    launch.tensors["scratch"] = output(files::DType::u8, {scratch * grid.x * grid.y * grid.z});
  launch.arguments.push_back(ptx::PointerArgument{scratch > 0 ? "scratch" : ""});
  launch.arguments.push_back(ptx::PointerArgument{});  // for profilers
  return launch;
}

ptx::LaunchTensor codes(std::vector<std::size_t> shape, const std::vector<std::uint8_t>& e4m3) {
  return tensor(files::DType::f8_e4m3, std::move(shape), e4m3);
}

ptx::LaunchTensor bf16(std::vector<std::size_t> shape, const std::vector<float>& values) {
  std::vector<std::uint16_t> rounded(values.size());
  numerics::encode(values, rounded, numerics::FormatId::bf16);
  return tensor(files::DType::bf16, std::move(shape), rounded);
}

ptx::LaunchTensor numbers(std::vector<std::size_t> shape, const std::vector<float>& values) {
  return tensor(files::DType::f32, std::move(shape), values);
}

ptx::LaunchTensor integers(const std::vector<std::int32_t>& values) {
  return tensor(files::DType::i32, {values.size()}, values);
}

ptx::LaunchTensor output(files::DType type, std::vector<std::size_t> shape) {
  return {files::make_tensor(type, std::move(shape)), true};
}

}  // namespace karat::kernels
