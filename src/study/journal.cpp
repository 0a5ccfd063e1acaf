// A journal survives a kill at any moment: whole lines count, the torn end is cut off.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "job_json.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/study/run.hpp"

namespace karat::study {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorKind::input_output, path.string(), what + ": " + std::strerror(error),
              "check the folder and the disk");
}

void write_all(const std::filesystem::path& path, int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot be written", errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fdatasync(descriptor) != 0) fail(path, "cannot be made durable", errno);
}

std::string first_line(const StudyIdentity& identity) {
  return files::Json{{"schema", "karat.study_journal"}, {"version", 1}, {"study", identity.sha256}}
             .dump() +
         "\n";
}

}  // namespace

Journal::Journal(const std::filesystem::path& path, const StudyIdentity& identity) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path, "cannot be opened", errno);
  const std::string text = files::read_text(path);
  const std::string heading = first_line(identity);
  std::size_t good = 0;
  for (std::size_t end; (end = text.find('\n', good)) != std::string::npos; good = end + 1) {
    if (good == 0) {
      if (text.compare(0, end + 1, heading) != 0)
        throw Error(ErrorKind::input_output, path.string(),
                    "is the journal of a study with other recipes, cells or options",
                    "finish that study, delete the file, or choose another --out");
      continue;
    }
    try {
      finished_.push_back(job_result(files::Json::parse(text.substr(good, end - good))));
    } catch (const nlohmann::json::exception&) {
      break;  // a torn write; what follows is measured again
    }
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(good)) != 0) fail(path, "cannot be cut", errno);
  if (::lseek(descriptor_, 0, SEEK_END) < 0) fail(path, "cannot be continued", errno);
  if (good == 0) write_all(path_, descriptor_, heading);
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::append(const JobResult& job) {
  write_all(path_, descriptor_, to_json(job).dump() + "\n");
}

void Journal::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace karat::study
