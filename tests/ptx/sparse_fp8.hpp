// The tile-sparse FP8 kernel that Triton compiled (tests/data/kernels/triton), its inputs and its
// launch in both forms.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "karat/files/paths.hpp"
#include "karat/ptx/run.hpp"

namespace karat::ptx {

inline constexpr std::size_t kBlock = 128, kChannels = 128;

/// One launch's inputs, all heads. Row r of `indices` are the kept key blocks of query block r,
/// `counts[r]` of them.
struct Inputs {
  std::size_t heads, tokens, blocks;
  std::vector<std::uint8_t> q, k, vt;
  std::vector<float> q_scale, k_scale, v_scale;
  std::vector<std::int32_t> counts, indices;
  float factor = 1.44269504f / std::sqrt(128.0f);
};

/// Small whole numbers by a linear congruence: the inputs need no distribution.
class Draw {
 public:
  std::uint32_t operator()(std::uint32_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33) % below;
  }

 private:
  std::uint64_t state_ = 11;
};

/// The key blocks of a query block: whether block `b` of row `row` is one.
using Keeps = std::function<bool(std::size_t row, std::size_t b, Draw& draw)>;
/// Two of three; a single one in the third row of each head.
inline Keeps two_of_three(std::size_t blocks) {
  return [blocks](std::size_t row, std::size_t b, Draw& draw) {
    return row % blocks == 2 ? b < 1 : draw(3) > 0;
  };
}
/// `count` of them in each row, spread evenly, from another one in each.
inline Keeps evenly(std::size_t count, std::size_t blocks) {
  return [=](std::size_t row, std::size_t b, Draw&) { return (b + row) * count % blocks < count; };
}

inline Inputs make_inputs(std::size_t heads, std::size_t tokens, const Keeps& keeps) {
  Inputs in{.heads = heads, .tokens = tokens, .blocks = tokens / kBlock};
  Draw draw;
  const auto codes = [&] {
    std::vector<std::uint8_t> list(heads * tokens * kChannels);
    for (std::uint8_t& each : list)  // up to 60 in magnitude, most exponents
      each = static_cast<std::uint8_t>(draw(2) << 7 | (draw(0x64)));
    return list;
  };
  in.q = codes();
  in.k = codes();
  in.vt = codes();
  const auto scales = [&](std::size_t count, float around) {
    std::vector<float> list(count);
    for (float& each : list) each = around * (1 + static_cast<float>(draw(1000)) / 3000);
    return list;
  };
  in.q_scale = scales(heads * in.blocks, 0.01f);
  in.k_scale = scales(heads * in.blocks, 0.012f);
  in.v_scale = scales(heads * kChannels, 0.02f);
  for (std::size_t row = 0; row < heads * in.blocks; ++row) {
    std::vector<std::int32_t> kept;
    for (std::size_t b = 0; b < in.blocks; ++b)
      if (keeps(row, b, draw)) kept.push_back(static_cast<std::int32_t>(b));
    if (kept.empty()) kept.push_back(0);
    in.counts.push_back(static_cast<std::int32_t>(kept.size()));
    kept.resize(in.blocks);
    in.indices.insert(in.indices.end(), kept.begin(), kept.end());
  }
  return in;
}

inline Inputs make_inputs(std::size_t heads, std::size_t tokens) {
  return make_inputs(heads, tokens, two_of_three(tokens / kBlock));
}

template <typename T>
BytesArgument scalar(T value) {
  BytesArgument argument;
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  argument.bytes.assign(bytes, bytes + sizeof value);
  return argument;
}

/// Triton's descriptor: the map, i32 shape[2], i64 strides[2].
inline void add_descriptor(Launch& launch, const std::string& tensor, std::uint64_t rows,
                           std::uint64_t columns, std::uint32_t box_columns) {
  launch.arguments.push_back(TensorMapArgument{
      .tensor = tensor, .shape = {rows, columns}, .box = {128, box_columns}, .swizzle = "128B"});
  launch.arguments.push_back(scalar(static_cast<std::int32_t>(rows)));
  launch.arguments.push_back(scalar(static_cast<std::int32_t>(columns)));
  launch.arguments.push_back(scalar(static_cast<std::int64_t>(columns)));
  launch.arguments.push_back(scalar(std::int64_t{1}));
}

inline Launch make_launch(const Inputs& in, const std::filesystem::path& ptx, bool maps) {
  using files::DType;
  Launch launch{.ptx = files::read_text(ptx), .file = ptx.filename().string()};
  launch.grid = {static_cast<std::uint32_t>(in.blocks), static_cast<std::uint32_t>(in.heads), 1};
  launch.block = {256, 1, 1};
  launch.dynamic_shared = maps ? 81956 : 114696;
  const std::size_t h = in.heads, s = in.tokens;
  launch.tensors["q"] = {files::make_tensor(DType::f8_e4m3, {h * s, kChannels}, in.q)};
  launch.tensors["k"] = {files::make_tensor(DType::f8_e4m3, {h * s, kChannels}, in.k)};
  launch.tensors["vt"] = {files::make_tensor(DType::f8_e4m3, {h * kChannels, s}, in.vt)};
  launch.tensors["q_scale"] = {files::make_tensor(DType::f32, {h, in.blocks}, in.q_scale)};
  launch.tensors["k_scale"] = {files::make_tensor(DType::f32, {h, in.blocks}, in.k_scale)};
  launch.tensors["v_scale"] = {files::make_tensor(DType::f32, {h, kChannels}, in.v_scale)};
  launch.tensors["counts"] = {files::make_tensor(DType::i32, {h, in.blocks}, in.counts)};
  launch.tensors["indices"] = {
      files::make_tensor(DType::i32, {h, in.blocks, in.blocks}, in.indices)};
  launch.tensors["out"] = {files::make_tensor(DType::bf16, {h * s, kChannels}), true};
  launch.tensors["lse"] = {files::make_tensor(DType::f32, {h, s}), true};
  const auto tensor = [&](const char* name, std::uint64_t rows, std::uint64_t columns,
                          std::uint32_t box) {
    if (maps)
      add_descriptor(launch, name, rows, columns, box);
    else
      launch.arguments.push_back(PointerArgument{name});
  };
  tensor("q", h * s, kChannels, 128);
  tensor("k", h * s, kChannels, 128);
  tensor("vt", h * kChannels, s, 128);
  for (const char* name : {"q_scale", "k_scale", "v_scale", "counts", "indices"})
    launch.arguments.push_back(PointerArgument{name});
  tensor("out", h * s, kChannels, 64);
  launch.arguments.push_back(PointerArgument{"lse"});
  launch.arguments.push_back(scalar(static_cast<std::int32_t>(s)));
  for (int i = 0; i < 3; ++i)
    launch.arguments.push_back(scalar(static_cast<std::int32_t>(in.blocks)));
  launch.arguments.push_back(scalar(in.factor));
  for (int i = 0; i < 2; ++i) launch.arguments.push_back(PointerArgument{});
  return launch;
}

/// @param source  the folder of the whole project
inline std::filesystem::path ptx_of(const std::filesystem::path& source, bool maps) {
  return source / "tests" / "data" / "kernels" / "triton" /
         (maps ? "sparse_fp8_tma.ptx" : "sparse_fp8_pointers.ptx");
}

}  // namespace karat::ptx
