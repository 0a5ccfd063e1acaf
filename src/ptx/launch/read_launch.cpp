// Launch files, and launches of what is in memory.
#include <limits>

#include "karat/files/load.hpp"
#include "karat/files/paths.hpp"
#include "karat/ptx/launch.hpp"
#include "launch/fields.hpp"
#include "launch/read_argument.hpp"
#include "launch/read_tap.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kMost32 = 0xFFFF'FFFF;

Dimensions read_dimensions(Fields& in, const std::string& name) {
  const auto list = in.wholes<std::uint32_t>(name, kMost32);
  if (!in.has(name)) return {};
  if (list.empty() || list.size() > 3) in.fail(name + ": one to three numbers are expected");
  return {list[0], list.size() > 1 ? list[1] : 1, list.size() > 2 ? list[2] : 1};
}

struct Form {
  files::DType dtype;
  files::Shape shape;
  std::size_t bytes;
};

Form read_form(Fields& in) {
  const std::string type = in.text("dtype");
  const auto dtype = files::dtype_named(type);
  if (!dtype) in.fail("dtype: \"" + type + "\" is no number type");
  const auto shape = in.wholes<std::size_t>("shape", std::uint64_t{1} << 40);
  const auto bytes = files::checked_bytes(*dtype, shape);
  if (!bytes || *bytes > std::uint64_t{1} << 36) in.fail("shape: more than 64 GiB");
  return {*dtype, shape, *bytes};
}

LaunchTensor read_tensor(const files::Json& json, const std::string& name, const std::string& path,
                         const std::filesystem::path& folder) {
  Fields in(json, path);
  LaunchTensor tensor{.output = in.flag("output"), .variable = in.text("variable", "")};
  if (in.has("address")) tensor.address = in.whole("address", std::uint64_t{1} << 47);
  if (in.has("file")) {
    const std::string wanted = in.text("tensor", name);
    files::TensorFile file = files::load_tensors(folder / in.text("file"), {wanted});
    tensor.value = std::move(file.tensors.at(wanted));
    if (in.has("dtype") || in.has("shape")) {
      const Form form = read_form(in);
      if (form.bytes != tensor.value.bytes.size())
        in.fail("shape: " + std::to_string(form.bytes) + " bytes, the file has " +
                std::to_string(tensor.value.bytes.size()));
      tensor.value.dtype = form.dtype;
      tensor.value.shape = form.shape;
    }
  } else {
    const Form form = read_form(in);
    tensor.value = files::make_tensor(form.dtype, form.shape);
    const std::string fill = in.text("fill", "zeros");
    if (fill == "ones") {
      for (std::byte& each : tensor.value.bytes) each = std::byte{0xFF};
    } else if (fill != "zeros") {
      in.fail("fill: \"zeros\", or \"ones\" for bytes of 0xFF, is expected");
    }
  }
  in.finish();
  return tensor;
}

void read_shape(Fields& in, Launch& launch) {
  launch.kernel = in.text("kernel", "");
  launch.grid = read_dimensions(in, "grid");
  launch.block = read_dimensions(in, "block");
  launch.cluster = read_dimensions(in, "cluster");
  launch.dynamic_shared = static_cast<std::uint32_t>(in.whole("dynamic_shared", 0, kMost32));
}

void read_parameters(Fields& in, Launch& launch, const std::string& subject) {
  if (in.has("parameters")) {
    if (!in.at("parameters").is_array()) in.fail("parameters: a list is expected");
    for (const files::Json& each : in.at("parameters"))
      launch.arguments.push_back(read_argument(
          each, subject + ": parameters[" + std::to_string(launch.arguments.size()) + "]"));
  }
  if (in.has("taps")) {
    if (!in.at("taps").is_array()) in.fail("taps: a list is expected");
    for (const files::Json& each : in.at("taps"))
      launch.taps.push_back(
          read_tap(each, subject + ": taps[" + std::to_string(launch.taps.size()) + "]"));
  }
  const std::string fuse = in.text("fuse", "none");
  if (fuse != "none" && fuse != "ptxas") in.fail("fuse: \"none\" or \"ptxas\" is expected");
  launch.fuse = fuse == "ptxas" ? Fuse::ptxas : Fuse::none;
}

}  // namespace

Launch read_launch(const files::Json& json, const std::filesystem::path& folder,
                   const std::string& subject) {
  Fields in(json, subject);
  if (in.text("schema") != "karat.launch") in.fail("schema: \"karat.launch\" is expected");
  if (in.whole("version", kMost32) != 1) in.fail("version: only 1 is known");
  Launch launch;
  const std::filesystem::path file = folder / in.text("ptx");
  launch.file = file.string();
  launch.ptx = files::read_text(file);
  read_shape(in, launch);
  if (in.has("tensors")) {
    if (!in.at("tensors").is_object()) in.fail("tensors: an object is expected");
    for (const auto& [name, value] : in.at("tensors").items())
      launch.tensors.emplace(name, read_tensor(value, name, subject + ": tensors." + name, folder));
  }
  read_parameters(in, launch, subject);
  in.finish();
  return launch;
}

Launch read_launch(const std::filesystem::path& path) {
  return read_launch(files::read_json(path), path.parent_path(), path.string());
}

Launch read_launch(const files::Json& json, std::string ptx, files::Tensors tensors) try {
  Fields in(json, "launch");
  Launch launch;
  launch.ptx = std::move(ptx);
  launch.file = "ptx";
  read_shape(in, launch);
  read_parameters(in, launch, "launch");
  for (auto& [name, tensor] : tensors)
    launch.tensors.emplace(name, LaunchTensor{.value = std::move(tensor)});
  if (in.has("outputs")) {
    if (!in.at("outputs").is_array()) in.fail("outputs: a list of names is expected");
    for (const files::Json& each : in.at("outputs")) {
      const auto found =
          each.is_string() ? launch.tensors.find(each.get<std::string>()) : launch.tensors.end();
      if (found == launch.tensors.end()) in.fail("outputs: " + each.dump() + " is no tensor");
      found->second.output = true;
    }
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  launch.hazards = in.flag("hazards") ? HazardSearch::on : HazardSearch::off;
  launch.schedule = schedule_named(in.text("schedule", "eager"), "launch: schedule");
  launch.seed = in.whole("seed", 0, kMost);
  launch.limit = in.whole("limit", launch.limit, kMost);
  launch.threads = static_cast<int>(in.whole("threads", 0, 1024));
  in.finish();
  return launch;
} catch (const Error& error) {
  const std::string text = error.what();  // "launch: ..."
  throw Error(ErrorKind::usage, text.substr(0, text.find(": ")), text.substr(text.find(": ") + 2));
}

}  // namespace karat::ptx
