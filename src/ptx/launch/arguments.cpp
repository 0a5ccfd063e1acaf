#include "launch/arguments.hpp"

#include <cstring>

#include "karat/numerics/base/choice.hpp"
#include "units/tensor_map.hpp"

namespace karat::ptx {
namespace {

using numerics::Named;
using units::TensorSwizzle;
using units::TensorType;

constexpr Named<TensorSwizzle> kSwizzles[] = {{"none", TensorSwizzle::none},
                                              {"32B", TensorSwizzle::bytes32},
                                              {"64B", TensorSwizzle::bytes64},
                                              {"128B", TensorSwizzle::bytes128}};
constexpr Named<units::OutOfBounds> kFills[] = {{"zero", units::OutOfBounds::zero},
                                                {"nan", units::OutOfBounds::nan}};
/// The types of tensor maps, and those of tensors that are moved as one of them.
constexpr Named<TensorType> kTypes[] = {{"u8", TensorType::u8},
                                        {"u16", TensorType::u16},
                                        {"u32", TensorType::u32},
                                        {"i32", TensorType::s32},
                                        {"u64", TensorType::u64},
                                        {"i64", TensorType::s64},
                                        {"f16", TensorType::f16},
                                        {"f32", TensorType::f32},
                                        {"f64", TensorType::f64},
                                        {"bf16", TensorType::bf16},
                                        {"tf32", TensorType::tf32},
                                        {"f32_ftz", TensorType::f32_ftz},
                                        {"tf32_ftz", TensorType::tf32_ftz},
                                        {"i8", TensorType::u8},
                                        {"i16", TensorType::u16},
                                        {"e4m3", TensorType::u8},
                                        {"e5m2", TensorType::u8},
                                        {"e8m0", TensorType::u8},
                                        {"bool", TensorType::u8}};

class Builder {
 public:
  Builder(const Launch& launch, const TensorAddresses& addresses)
      : launch_(launch), addresses_(addresses) {}

  std::vector<std::byte> operator()(const PointerArgument& pointer) const {
    const std::uint64_t address =
        pointer.tensor.empty() ? 0 : address_of(pointer.tensor) + pointer.offset;
    std::vector<std::byte> bytes(sizeof address);
    std::memcpy(bytes.data(), &address, sizeof address);
    return bytes;
  }

  std::vector<std::byte> operator()(const TensorMapArgument& argument) const {
    const units::TensorMapImage image = units::encode(map_of(argument));
    return {image.begin(), image.end()};
  }

  std::vector<std::byte> operator()(const BytesArgument& argument) const {
    std::vector<std::byte> bytes = argument.bytes;
    for (const BytesArgument::Patch& each : argument.patches) {
      const std::vector<std::byte> value = std::visit(*this, each.value);
      if (each.at > bytes.size() || value.size() > bytes.size() - each.at)
        throw Error(ErrorKind::usage, "patch at byte " + std::to_string(each.at),
                    "it ends behind the argument's " + std::to_string(bytes.size()) + " bytes");
      std::memcpy(bytes.data() + each.at, value.data(), value.size());
    }
    return bytes;
  }

 private:
  std::uint64_t address_of(const std::string& tensor) const {
    const auto found = addresses_.find(tensor);
    if (found == addresses_.end())
      throw Error(ErrorKind::usage, "\"" + tensor + "\"", "the launch has no tensor of this name");
    return found->second;
  }

  units::TensorMap map_of(const TensorMapArgument& argument) const {
    const std::uint64_t address = address_of(argument.tensor) + argument.offset;
    const files::Tensor& tensor = launch_.tensors.at(argument.tensor).value;
    const std::string subject = "tensor map of " + argument.tensor;
    units::TensorMap map{.address = address};
    map.type = numerics::parse_choice(argument.element.empty() ? files::info(tensor.dtype).name
                                                               : std::string_view(argument.element),
                                      subject + ": element", kTypes);
    map.swizzle = numerics::parse_choice(argument.swizzle, subject + ": swizzle", kSwizzles);
    map.fill = numerics::parse_choice(argument.fill, subject + ": fill", kFills);
    std::vector<std::uint64_t> shape = argument.shape;
    if (shape.empty()) shape.assign(tensor.shape.begin(), tensor.shape.end());
    const std::size_t rank = shape.size();
    const auto fits = [&](std::size_t size, std::size_t wanted) {
      return size == 0 || size == wanted;
    };
    if (rank < 1 || rank > 5 || argument.box.size() != rank ||
        !fits(argument.strides.size(), rank - 1) || !fits(argument.element_strides.size(), rank))
      throw Error(ErrorKind::usage, subject,
                  "shape, box, strides and element_strides do not agree on 1 to 5 dimensions");
    map.rank = static_cast<int>(rank);
    std::uint64_t dense = static_cast<std::uint64_t>(units::tensor_type_bytes(map.type));
    for (std::size_t i = 0; i < rank; ++i) {
      const std::size_t from = rank - 1 - i;  // files count the contiguous dimension last
      map.size[i] = shape[from];
      map.box[i] = argument.box[from];
      if (!argument.element_strides.empty()) map.element_stride[i] = argument.element_strides[from];
      if (i > 0) map.stride[i] = argument.strides.empty() ? dense : argument.strides[from];
      dense *= shape[from];
    }
    return map;
  }

  const Launch& launch_;
  const TensorAddresses& addresses_;
};

}  // namespace

std::vector<std::byte> argument_bytes(const Launch& launch, const Program& program,
                                      const TensorAddresses& addresses) {
  const auto& places = program.parameters;
  if (launch.arguments.size() != places.size())
    throw Error(ErrorKind::usage, "parameters",
                program.function->name + " takes " + std::to_string(places.size()) +
                    ", the launch gives " + std::to_string(launch.arguments.size()));
  std::vector<std::byte> bytes(program.parameter_bytes);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::vector<std::byte> value =
        std::visit(Builder(launch, addresses), launch.arguments[i]);
    if (value.size() != places[i].bytes)
      throw Error(ErrorKind::usage, "parameters[" + std::to_string(i) + "]",
                  places[i].name + " has " + std::to_string(places[i].bytes) +
                      " bytes, the launch gives " + std::to_string(value.size()));
    std::memcpy(bytes.data() + places[i].offset, value.data(), value.size());
  }
  return bytes;
}

}  // namespace karat::ptx
