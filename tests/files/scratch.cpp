// See scratch.hpp.
#include "scratch.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace karat::files::test {

namespace fs = std::filesystem;

Scratch::Scratch() {
  // Thousands of damaged files are written: in memory where there is such a folder.
  const fs::path parent = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  std::string name = (parent / "karat_files_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no scratch folder");
  folder_ = name;
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::vector<std::string> Scratch::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

Bytes read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return to_bytes(text);
}

void write_bytes(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out) << path;
}

Bytes to_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Tensors one_of_everything() {
  Tensors tensors;
  for (const DTypeInfo& row : dtypes()) {
    Tensor tensor = make_tensor(row.dtype, {2, 3, 43});
    for (std::size_t i = 0; i < tensor.bytes.size(); ++i) {
      const std::size_t value = row.dtype == DType::boolean ? i % 2 : 7 * i + i / 256;
      tensor.bytes[i] = static_cast<std::byte>(value);
    }
    tensors[std::string(row.name)] = tensor;
  }
  tensors["scalar"] = make_tensor(DType::f64, {}, std::vector{-0.0});
  tensors["empty"] = make_tensor(DType::f32, {4, 0, 2});
  tensors["five"] =
      make_tensor(DType::i16, {1, 2, 1, 2, 1}, std::vector<std::int16_t>{1, -2, 3, -4});
  return tensors;
}

std::string input_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

void for_each_corruption(const Bytes& file, const std::function<void(const Bytes&)>& attempt) {
  const auto guarded = [&](const Bytes& bytes, std::size_t at) {
    try {
      attempt(bytes);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output) << "at " << at << ": " << error.what();
    }
  };
  for (std::size_t n = 0; n < file.size(); ++n) {
    // A vector of exactly this size, so that a sanitizer sees a read past the end.
    guarded(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n)), n);
  }
  Bytes changed = file;
  for (std::size_t i = 0; i < file.size(); ++i) {
    for (const auto mask : {std::byte{1} << (i % 8), std::byte{0xff}}) {
      changed[i] = file[i] ^ mask;
      guarded(changed, i);
    }
    changed[i] = file[i];
  }
}

std::string python(const std::string& script, const std::vector<std::string>& arguments) {
  const Scratch scratch;
  const std::string name = (scratch / "script.py").string();
  write_bytes(name, to_bytes(script));
  std::string command = std::string(KARAT_PYTHON) + " " + name;
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen");
  std::string output;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), n);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

}  // namespace karat::files::test
