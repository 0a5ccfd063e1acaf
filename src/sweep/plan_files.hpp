// Names and parts of a plan's folder that its writer and its reader share.
#pragma once

#include <string>

#include "karat/sweep/plan.hpp"

namespace karat::sweep {

inline constexpr const char* kFolders[] = {"results", "claims", "taken", "failed", "log"};
inline constexpr std::size_t kShardsPerFolder = 1000;

/// "0012", the folder of results that a shard's lies in.
std::string result_folder(std::size_t shard);
/// The hash of everything that results depend on: names and identity of the work.
std::string work_hash(const Work& work);

}  // namespace karat::sweep
