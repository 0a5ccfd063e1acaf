// karat inspect: what a file holds, a golden file's tensors as safetensors, and fragment layouts.
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/case/metadata.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/export.hpp"
#include "karat/golden/fragment.hpp"
#include "karat/golden/make.hpp"
#include "karat/recipe/evidence.hpp"
#include "karat/recipe/json.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

void export_to(const std::filesystem::path& folder, const golden::GoldenFile& golden,
               Narration narration) {
  files::make_folder(folder);
  const files::Metadata metadata = cases::describe(golden.recipe(), golden.grid(), golden.text());
  files::write_safetensors(folder / "inputs.safetensors", golden::exported_inputs(golden),
                           metadata);
  files::write_safetensors(folder / "stages.safetensors", golden::exported_stages(golden),
                           metadata);
  files::write_file(folder / "recipe.json", recipe::to_json(golden.recipe()));
  say(narration,
      "wrote inputs.safetensors, stages.safetensors and recipe.json to " + folder.string());
}

/// An entry that cannot be read has no type here; its problem says which it has there.
std::string_view type_name(const files::TensorInfo& tensor) {
  return tensor.problem.empty() ? files::info(tensor.dtype).name : "?";
}

files::Json tensors_json(const cases::TensorSource& source) {
  files::Json list = files::Json::array();
  for (const files::TensorInfo& tensor : source.list()) {
    files::Json row{{"name", tensor.name}, {"dtype", type_name(tensor)}, {"shape", tensor.shape}};
    if (!tensor.problem.empty()) row["problem"] = tensor.problem;
    list.push_back(row);
  }
  return list;
}

bool is_golden(const cases::TensorSource& source) {
  const files::Metadata metadata = source.metadata();
  const auto schema = metadata.find("schema");
  return schema != metadata.end() && schema->second == golden::kSchema;
}

/// Any file of tensors: their names, types and shapes.
int list_tensors(const cases::TensorSource& source, bool json) {
  if (json) {
    print_json("inspect", 1, {{"file", source.subject()}, {"tensors", tensors_json(source)}});
    return match;
  }
  for (const files::TensorInfo& tensor : source.list())
    std::cout << tensor.name << "  " << type_name(tensor) << "  " << files::to_string(tensor.shape)
              << (tensor.problem.empty() ? "" : "  (" + tensor.problem + ")") << "\n";
  return match;
}

int summarise(const golden::GoldenFile& golden, bool json) {
  const cases::HeadShape& shape = golden.shape();
  const files::Metadata& metadata = golden.metadata();
  const auto text = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  const std::vector<int> tapped = golden.tapped(0, 0);
  if (json) {
    files::Json body{{"file", golden.subject()},
                     {"golden", text("schema")},
                     {"made_by", text("version")},
                     {"case", files::parse_json(text("case"), golden.subject() + ": case")},
                     {"recipe", files::parse_json(text("recipe"), golden.subject() + ": recipe")},
                     {"tapped_query_blocks", tapped},
                     {"evidence", evidence_json(golden.recipe())},
                     {"tensors", tensors_json(golden.source())}};
    if (golden.has_backward())
      body["backward"] = {{"tapped_query_blocks", golden.dq_tapped(0, 0)},
                          {"tapped_key_blocks", golden.dkv_tapped(0, 0)}};
    print_json("inspect", 1, body);
    return match;
  }
  const mask::BlockMap& blocks = golden.layout(0, 0).blocks;
  std::cout << golden.subject() << ": " << text("schema") << ", made by karat " << text("version")
            << ", hash verified\nrecipe   " << golden.recipe().name << "\ncase     " << shape.batch
            << " x " << shape.heads << " heads, grid " << video::to_string(golden.grid()) << " = "
            << shape.rows << " tokens x " << shape.channels << " channels, seed " << text("seed")
            << "\nblocks   " << blocks.query_blocks.size() << " query x "
            << blocks.key_blocks.size() << " key"
            << (golden.layout_per_head() ? " in head 0; each head has its own mask" : "")
            << "\ntapped   ";
  const auto list = [](const std::vector<int>& numbers) {
    for (const int block : numbers) std::cout << block << " ";
    std::cout << "\n";
  };
  list(tapped);
  if (golden.has_backward()) {
    const mask::BlockMap cut = attention::backward_blocks(golden.recipe(), golden.layout(0, 0));
    std::cout << "backward delta, dq, dk, dv; " << cut.query_blocks.size() << " query x "
              << cut.key_blocks.size() << " key blocks\ntapped   dq ";
    list(golden.dq_tapped(0, 0));
    std::cout << "tapped   dk, dv ";
    list(golden.dkv_tapped(0, 0));
  }
  for (const recipe::InstructionEvidence& each : evidence_of(golden.recipe()))
    std::cout << "evidence " << each.instruction << ": " << each.evidence << "; " << each.note
              << "\n";
  std::cout << "export with karat inspect " << golden.subject() << " --export DIR\n";
  return match;
}

/// Tokens (original order) behind a row and a column of a block of scores; -1 where there is none.
struct FragmentTokens {
  std::int64_t query = -1;
  std::int64_t key = -1;
};
using TokenOf = std::function<FragmentTokens(int row, int column)>;

/// Row i of a query block and column j of its visit, as tokens.
TokenOf tokens_of(const golden::GoldenFile& golden, const std::string& select) {
  const auto numbers = parse_integers(select, "--visit", 0);
  if (numbers.size() != 2)
    throw Error(ErrorKind::usage, "--visit", "takes two numbers", "give query block,key block");
  const auto& blocks = golden.layout(0, 0).blocks;
  if (numbers[0] >= std::ssize(blocks.query_blocks) || numbers[1] >= std::ssize(blocks.key_blocks))
    throw Error(ErrorKind::usage, "--visit", "no such block",
                std::to_string(blocks.query_blocks.size()) + " query and " +
                    std::to_string(blocks.key_blocks.size()) + " key blocks exist");
  const video::Range queries = blocks.query_blocks[numbers[0]];
  const video::Range keys = blocks.key_blocks[numbers[1]];
  const auto& query_at = golden.layout(0, 0).order.token_at;
  const auto& key_at = golden.layout(0, 0).key_order.token_at;
  return [queries, keys, &query_at, &key_at](int row, int column) {
    FragmentTokens tokens;
    if (row < queries.size()) tokens.query = query_at[queries.begin + row];
    if (column < keys.size()) tokens.key = key_at[keys.begin + column];
    return tokens;
  };
}

enum class Operand { d, a };
constexpr Named<Operand> kOperands[] = {{"d", Operand::d}, {"a", Operand::a}};

struct Line {
  int element;
  golden::FragmentPlace place;
};

/// Which (row, column) a thread's registers hold.
int inspect_fragment(const cxxopts::ParseResult& given, const TokenOf& token_of) {
  const Operand operand = parse_choice(required(given, "fragment"), "--fragment", kOperands);
  const int n = whole(given, "columns", 128, 8, 256), bits = whole(given, "bits", 8, 8, 16);
  if (n % 8 != 0)
    throw Error(ErrorKind::usage, "--columns", "wgmma's N is a multiple of 8", "give 8 to 256");
  if (bits != 8 && bits != 16)
    throw Error(ErrorKind::usage, "--bits", "A is held in 8 or 16 bits", "give one of them");
  const int thread = static_cast<int>(
      parse_integer(required(given, "thread"), "--thread", 0, golden::kWarpgroupThreads - 1));
  const int count = operand == Operand::d ? n / 2 : 4 * (32 / bits);

  std::vector<Line> lines;
  for (int e = 0; e < count; ++e)
    lines.push_back({e, operand == Operand::d ? golden::accumulator_place(thread, e)
                                              : golden::a_operand_place(thread, e, bits)});
  if (const auto text = text_of(given, "register")) {
    const auto wanted = parse_integer(*text, "--register", 0, count - 1);
    lines = {lines[static_cast<std::size_t>(wanted)]};
  }

  const char* name = operand == Operand::d ? "word" : "element";
  if (given.count("json") > 0) {
    files::Json body{{"operand", operand == Operand::d ? "d" : "a"}, {"thread", thread}};
    body["places"] = files::Json::array();
    for (const Line& line : lines) {
      files::Json place{
          {name, line.element}, {"row", line.place.row}, {"column", line.place.column}};
      const FragmentTokens tokens = token_of(line.place.row, line.place.column);
      if (tokens.query >= 0) place["query_token"] = tokens.query;
      if (tokens.key >= 0) place["key_token"] = tokens.key;
      body["places"].push_back(place);
    }
    print_json("inspect.fragment", 1, body);
    return match;
  }
  for (const Line& line : lines) {
    const FragmentTokens tokens = token_of(line.place.row, line.place.column);
    std::cout << "thread " << thread << " " << name << " " << line.element << ": row "
              << line.place.row << " column " << line.place.column;
    if (tokens.query >= 0) std::cout << " query token " << tokens.query;
    if (tokens.key >= 0) std::cout << " key token " << tokens.key;
    std::cout << "\n";
  }
  return match;
}

}  // namespace

int run_inspect(int argc, char** argv) {
  CommandLine line(
      "inspect", "Look into a golden file or any file of tensors; map a wgmma fragment.", {"file"});
  line.add({{"file", "golden file, HDF5, safetensors or npy"},
            {"export", "write a golden file's inputs and stages as safetensors into a folder"}});
  line.add({{"fragment", "map a thread's registers: d (accumulator) or a (A held in registers)"},
            {"thread", "thread of the warpgroup, 0 to 127"},
            {"register", "one word of D or element of A; all when not given"},
            {"columns", "columns of D", Takes::text, "128"},
            {"bits", "width of A's elements, 8 (k32) or 16 (k16)", Takes::text, "8"},
            {"visit", "query block,key block of the file: name the tokens too"}},
           "Fragment");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const auto file = text_of(*given, "file");
  if (given->count("fragment") > 0) {
    const auto visit = text_of(*given, "visit");
    if (!visit) return inspect_fragment(*given, [](int, int) { return FragmentTokens{}; });
    const golden::GoldenFile golden(required(*given, "file"));
    return inspect_fragment(*given, tokens_of(golden, *visit));
  }
  if (!file)
    throw Error(ErrorKind::usage, "karat inspect", "nothing to look at",
                "give a file or --fragment");
  const bool json = given->count("json") > 0;
  NothingHalfWritten reading;
  if (const auto folder = text_of(*given, "export")) {
    const golden::GoldenFile golden(*file);
    reading.over();
    export_to(*folder, golden, narration);
    return match;
  }
  {
    const auto source = cases::TensorSource::open(*file);
    if (!is_golden(*source)) return list_tensors(*source, json);
  }
  return summarise(golden::GoldenFile(*file), json);
}

}  // namespace karat::cli
