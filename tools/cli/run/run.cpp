// karat run: a kernel's PTX, launched by a file.
#include "karat/ptx/run.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "interrupt.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/ptx/request.hpp"
#include "options.hpp"

namespace karat::cli {

int run_run(int argc, char** argv) {
  CommandLine line("run", "Run a kernel's PTX on the CPU, bit for bit, and write its outputs.",
                   {"launch"});
  add_options(line, ptx::run_fields(), "Run");
  line.add({{"o,out", "the safetensors file: the tensors the launch file calls outputs"}}, "Run");
  line.note("The launch file, what is supported and what is proven: docs/run.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const std::string out = required(*given, "out");
  ptx::RunRequest asked;
  read_options(*given, ptx::run_fields(), asked);
  asked.launch = required(*given, "launch");
  const ptx::Outcome outcome = [&] {
    const NothingHalfWritten guard;
    return ptx::run(ptx::launch_of(asked));
  }();
  if (given->count("json") > 0) print_json("run", 1, ptx::to_json(outcome));
  if (outcome.fault) {
    std::cerr << "karat: " << *outcome.fault << "\n";
    return mismatch;
  }
  if (given->count("json") == 0) std::cout << ptx::to_text(outcome);
  files::write_safetensors(out, outcome.outputs);
  for (const std::string& each : outcome.hazards) std::cerr << "karat: " << each << "\n";
  return outcome.hazards.empty() ? match : mismatch;
}

}  // namespace karat::cli
