// Options that check and diagnose share: the two files, and which part of the candidate to take.
#pragma once

#include "karat/golden/request.hpp"
#include "request_options.hpp"

namespace karat::cli {

/// "b,h,block"; "*" leaves a place open, missing places are open too.
golden::Selection parse_selection(std::string_view text);

/// golden, candidate, --select and the fields of the table both have.
template <typename Options>
void add_candidate_options(CommandLine& line) {
  line.add()("golden", "golden file", cxxopts::value<std::string>())(
      "candidate", "safetensors or HDF5 with stages by name, npy with o, or a golden file",
      cxxopts::value<std::string>())("select", "batch,head,query block; * for all",
                                     cxxopts::value<std::string>()->default_value(""));
  add_options(line, golden::candidate_fields<Options>());
}

template <typename Options>
void read_candidate_options(const cxxopts::ParseResult& given, Options& options) {
  options.select = parse_selection(given["select"].as<std::string>());
  read_options(given, golden::candidate_fields<Options>(), options);
}

}  // namespace karat::cli
