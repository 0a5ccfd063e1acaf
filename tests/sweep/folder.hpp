// A folder for one test, and plans in it.
#pragma once

#include <filesystem>
#include <string>

#include "karat/files/atomic_file.hpp"
#include "karat/sweep/plan.hpp"

namespace karat::sweep {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "karat_sweep_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  /// Plans a spec of one kind: `body` is what stands behind the version.
  Plan planned(const std::string& body, const std::string& name = "plan") const {
    write_spec(body);
    make_plan(path_ / "spec.json", path_ / name, {.karat = "karat"});
    return Plan(path_ / name);
  }
  void write_spec(const std::string& body) const {
    files::write_file(path_ / "spec.json",
                      R"({"schema": "karat.sweep_spec", "version": 1, )" + body + "}");
  }

 private:
  std::filesystem::path path_;
};

}  // namespace karat::sweep
