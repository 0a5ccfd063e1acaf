// karat export: a golden file as the bundle that another test suite reads.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/golden/bundle.hpp"
#include "options.hpp"

namespace karat::cli {

int run_export(int argc, char** argv) {
  CommandLine line("export", "Write a golden file as a bundle of another test suite.",
                   {"golden", "folder"});
  line.add({{"golden", "the golden file"},
            {"folder", "where the bundle's files go"},
            {"bundle", "hipdnn: graph, tensors and meta as hipDNN's golden bundles"},
            {"name", "of the bundle (default: the golden file's, without its ending)"},
            {"strategy",
             "what the outputs are: matched_precision (default), the recipe's own bits, or "
             "precision_uplift, f64"}});
  line.note(
      "What is written: docs/bundles.md. Trace sets of flashinfer-bench: karat.flashinfer, in "
      "Python.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const golden::BundleKind kind = golden::parse_bundle(required(*given, "bundle"));
  const auto strategy =
      golden::parse_strategy(text_of(*given, "strategy").value_or("matched_precision"));
  const std::filesystem::path file = required(*given, "golden");
  const std::filesystem::path folder = required(*given, "folder");
  NothingHalfWritten reading;
  const golden::GoldenFile golden(file);
  reading.over();
  const std::vector<std::filesystem::path> written = golden::write_bundle(
      golden, kind, strategy, text_of(*given, "name").value_or(file.stem().string()), folder);
  say(cli::narration(*given),
      "wrote " + std::to_string(written.size()) + " files to " + folder.string());
  if (given->count("json") > 0) {
    files::Json names = files::Json::array();
    for (const auto& path : written) names.push_back(path.filename().string());
    print_json("export", 1, {{"folder", folder.string()}, {"files", names}});
  }
  return match;
}

}  // namespace karat::cli
