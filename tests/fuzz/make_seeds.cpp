// Writes the seeds of all fuzz targets under one folder: make_seeds FOLDER.
// Valid files of every type and a few near misses, so that fuzzing starts behind the first checks.
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

#include "karat/files/atomic_file.hpp"
#include "karat/files/npy.hpp"
#include "karat/files/safetensors.hpp"

namespace {

namespace fs = std::filesystem;
using namespace karat::files;

fs::path folder(const fs::path& parent, const char* name) {
  fs::create_directories(parent / name);
  return parent / name;
}

void write_seeds(const fs::path& parent) {
  const fs::path safetensors = folder(parent, "safetensors"), npy = folder(parent, "npy"),
                 json = folder(parent, "json");
  Tensors all;
  for (const DTypeInfo& row : dtypes()) {
    const std::string name(row.name);
    const Tensor tensor = make_tensor(row.dtype, {2, 3});
    all[name] = tensor;
    write_file(npy / name, format_npy(tensor));
    write_file(safetensors / name, format_safetensors({{name, tensor}}));
  }
  write_file(safetensors / "all", format_safetensors(all, {{"note", "text"}}));
  write_file(safetensors / "none", format_safetensors({}));
  // Near misses: entries of types that karat has not, too many dimensions, tensors of no element
  // beside their codes, Python 2's integers.
  const auto odd = [&](const char* name, const std::string& entries, std::size_t bytes) {
    const std::string header = "{\"q_codes\":" + entries + "}";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    write_file(safetensors / name, file + header + std::string(bytes, '\1'));
  };
  odd("f4", R"({"dtype":"F4","shape":[3],"data_offsets":[0,2]})", 2);
  odd("complex", R"({"dtype":"C64","shape":[1],"data_offsets":[0,8]})", 8);
  odd("no_head", R"({"dtype":"U8","shape":[0,1,8],"data_offsets":[0,0]})", 0);
  odd("deep", R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})", 1);
  write_file(npy / "python_2", std::string("\x93NUMPY\x01\x00\x3b\x00", 10) +
                                   "{'descr': '<i2', 'fortran_order': False, 'shape': (2L,), }\n" +
                                   "abcd");
  write_file(npy / "scalar", format_npy(make_tensor(DType::f64, {})));
  write_file(npy / "fortran", std::string("\x93NUMPY\x01\x00\x39\x00", 10) +
                                  "{'descr': '>i2', 'fortran_order': True, 'shape': (1, 2)} \n" +
                                  "abcd");
  const char* texts[] = {"{\"a\": [1, -2.5e3, true, null, \"x\\u00e9\\n\"], \"b\": {\"c\": {}}}",
                         "[[[[[[[[]]]]]]]]",
                         "{\"a\": 1, \"a\": 2}",
                         "1e400",
                         "\"\\ud800\"",
                         "-0.0"};
  for (std::size_t i = 0; i < std::size(texts); ++i) {
    write_file(json / std::to_string(i), std::string_view(texts[i]));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    write_seeds(arguments[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 3;
  }
}
