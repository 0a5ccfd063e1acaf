// A seal is short; what has none is read whole.
#include "inputs.hpp"

#include <array>
#include <fstream>
#include <span>
#include <string_view>

#include "karat/files/paths.hpp"
#include "karat/files/seal.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {

std::string fingerprint(const std::filesystem::path& path) {
  if (files::standing(path) != files::Standing::file) return {};
  std::array<char, files::kSealSize> head{};
  std::ifstream(path, std::ios::binary).read(head.data(), head.size());
  if (std::string_view(head.data(), head.size()).starts_with("karat sealed file\n"))
    return files::sha256_hex(std::as_bytes(std::span(head)));
  return files::sha256_file(path);
}

void require_planned(const std::filesystem::path& path, const std::string& planned) {
  if (planned.empty()) return;
  const std::string now = fingerprint(path);
  if (now.empty() || now == planned) return;
  throw Error(ErrorKind::input_output, files::shown(path), "is another file than was planned",
              "put it back and retry the shard, or plan anew into another folder");
}

}  // namespace karat::sweep
