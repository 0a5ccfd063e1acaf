// karat inspect: what a golden file holds, its tensors as safetensors, and fragment layouts.
#include "commands.hpp"
#include "inspect_fragment.hpp"

namespace karat::cli {

int run_inspect(int argc, char** argv) {
  CommandLine line("inspect", "Look into a golden file; map a wgmma fragment.", {"file"});
  line.add()("file", "golden file", cxxopts::value<std::string>())(
      "fragment", "map a thread's registers: d (accumulator) or a (A held in registers)",
      cxxopts::value<std::string>())("thread", "thread of the warpgroup, 0 to 127",
                                     cxxopts::value<std::string>())(
      "register", "one word of D or element of A; all when not given",
      cxxopts::value<std::string>())("columns", "columns of D",
                                     cxxopts::value<std::string>()->default_value("128"))(
      "bits", "width of A's elements, 8 (k32) or 16 (k16)",
      cxxopts::value<std::string>()->default_value("8"));
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  if (given->count("fragment") > 0)
    return inspect_fragment(*given, [](int, int) { return FragmentTokens{}; });
  throw Error(ErrorKind::usage, "karat inspect", "nothing to look at",
              "give a golden file or --fragment");
}

}  // namespace karat::cli
