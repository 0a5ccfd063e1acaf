// See karat/files/paths.hpp.
#include "karat/files/paths.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "karat/numerics/base/error.hpp"
#include "system_error.hpp"

namespace karat::files {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostText = std::size_t{1} << 30;

[[noreturn]] void refuse(const fs::path& path, const std::string& problem,
                         const std::string& action) {
  throw Error(ErrorKind::input_output, shown(path), problem, action);
}

}  // namespace

std::string shown(const fs::path& path) {
  constexpr std::size_t kLong = 300, kKept = 100;
  if (path.empty()) return "\"\"";
  const std::string name = path.string();
  return name.size() <= kLong ? name : name.substr(0, kKept) + "...";
}

Standing standing(const fs::path& path) {
  if (path.empty()) refuse(path, "is no name", "give the name of a file or folder");
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return Standing::nothing;
    throw system_error(shown(path), "cannot be looked at", errno);
  }
  if (S_ISREG(status.st_mode)) return Standing::file;
  return S_ISDIR(status.st_mode) ? Standing::folder : Standing::other;
}

void require_folder(const fs::path& path) {
  const Standing there = standing(path);
  if (there == Standing::folder) return;
  refuse(path, there == Standing::nothing ? "does not exist" : "is no folder", "name a folder");
}

void require_readable(const fs::path& path) {
  const Standing there = standing(path);
  if (there == Standing::nothing) refuse(path, "does not exist", "check the name");
  if (there == Standing::folder) refuse(path, "is a folder", "name a file");
}

void make_folder(const fs::path& path) {
  const Standing there = standing(path);
  if (there == Standing::folder) return;
  if (there != Standing::nothing) refuse(path, "is no folder", "choose another name");
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw system_error(shown(path), "cannot be made", error.value());
}

std::vector<fs::path> files_in(const fs::path& folder, std::string_view ending) {
  require_folder(folder);
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code unreadable;
    if (entry->path().string().ends_with(ending) && entry->is_regular_file(unreadable))
      found.push_back(entry->path());
  }
  if (error) throw system_error(shown(folder), "cannot be listed", error.value());
  std::ranges::sort(found);
  return found;
}

std::string read_text(const fs::path& path) {
  require_readable(path);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw system_error(shown(path), "cannot be read", errno);
  std::string text;
  std::string piece(std::size_t{1} << 20, '\0');
  while (in) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.append(piece, 0, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMostText) refuse(path, "is larger than 1 GiB", "is it the right file?");
  }
  if (in.bad()) refuse(path, "cannot be read to its end", "check the disk");
  return text;
}

}  // namespace karat::files
