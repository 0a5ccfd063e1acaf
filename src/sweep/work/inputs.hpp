// Whether a file is the one that was planned.
#pragma once

#include <filesystem>
#include <string>

namespace karat::sweep {

/// The SHA-256 of a file; of a sealed one that of its seal, which holds the hash of the rest and is
/// verified by whoever opens it. Empty where no file stands.
std::string fingerprint(const std::filesystem::path& path);

/// @param planned the fingerprint then; where it is empty any file will do
/// @throws Error(input_output) where another file stands; one that is gone is left to its reader
void require_planned(const std::filesystem::path& path, const std::string& planned);

}  // namespace karat::sweep
