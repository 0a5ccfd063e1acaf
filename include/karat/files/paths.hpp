// Names that people give: what they lead to, and one clear line where they lead nowhere.
// std::filesystem throws its own exceptions for long names, loops and the like; these functions
// throw Error(input_output) instead, with the name, the system's reason and what to do.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace karat::files {

enum class Standing {
  nothing,
  file,  ///< regular
  folder,
  other,  ///< a pipe, a device, a socket
};

/// The name as messages show it: an empty one is `""`, one of more than 300 bytes is cut.
std::string shown(const std::filesystem::path& path);

/// What stands under a name, links followed. A missing folder on the way is `nothing` too.
/// Throws for an empty name, one too long, a loop of links and a folder that may not be searched.
Standing standing(const std::filesystem::path& path);

/// Throws unless a folder stands there.
void require_folder(const std::filesystem::path& path);

/// Throws where nothing stands, or a folder: what is left can be read as a stream of bytes.
void require_readable(const std::filesystem::path& path);

/// Makes a folder and those above it; one that stands already is fine.
void make_folder(const std::filesystem::path& path);

/// The regular files of a folder whose names end in `ending`, sorted by name.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder,
                                            std::string_view ending);

/// A whole text, at most 1 GiB; pipes too.
std::string read_text(const std::filesystem::path& path);

}  // namespace karat::files
