// Rows of a user's measurements, and boards as files.
#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/hopper/calibration.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::hopper {
namespace {

constexpr const char* kHelp =
    "columns: kernel, dtype, batch, heads, seqlen, head_dim, ms; kv_heads, causal and varlen if "
    "need "
    "be";

/// Columns that may be left out, and letters by which others call them.
struct Optional {
  std::string_view name, hint;
};
constexpr Optional kOptional[] = {{"kv_heads", "kv"}, {"causal", "causal"}, {"varlen", "varlen"}};

/// A heading of which no column is lost: none twice, and none that is nearly an optional one.
void require_columns(const std::vector<std::string>& names, const std::string& subject) {
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (std::find(names.begin(), name, *name) != name)
      throw Error(ErrorKind::usage, subject, "names column " + *name + " twice", kHelp);
    if (std::ranges::find(kOptional, *name, &Optional::name) != std::end(kOptional)) continue;
    for (const Optional& known : kOptional)
      if (numerics::edit_distance(*name, known.name) <= 2 ||
          name->find(known.hint) != std::string::npos)
        throw Error(ErrorKind::usage, subject, "has a column " + *name + ", which says nothing",
                    "did you mean " + std::string(known.name) + "?");
  }
}

/// One line of the file by column name.
class Row {
 public:
  Row(const std::vector<std::string>& names, const std::vector<std::string>& cells,
      std::string subject)
      : names_(names), cells_(cells), subject_(std::move(subject)) {}

  std::string text(const char* name) const {
    const auto column = std::ranges::find(names_, name) - names_.begin();
    if (column == std::ssize(names_) || column >= std::ssize(cells_)) refuse(name, "is missing");
    return cells_[column];
  }
  bool has(const char* name) const { return std::ranges::find(names_, name) != names_.end(); }

  double number(const char* name, double low, double high) const {
    const std::string cell = text(name);
    double value = 0;
    const auto [end, problem] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (problem != std::errc() || end != cell.data() + cell.size() || !(value >= low) ||
        !(value <= high)) {
      refuse(name, "\"" + cell + "\" is no number from " + files::Json(low).dump() + " to " +
                       files::Json(high).dump());
    }
    return value;
  }
  int whole(const char* name, int low, int high) const {
    const double value = number(name, low, high);
    if (value != static_cast<int>(value)) refuse(name, "is not a whole number");
    return static_cast<int>(value);
  }

  [[noreturn]] void refuse(const char* name, const std::string& problem) const {
    throw Error(ErrorKind::usage, subject_ + ": " + name, problem, kHelp);
  }

 private:
  const std::vector<std::string>& names_;
  const std::vector<std::string>& cells_;
  std::string subject_;
};

Measurement measurement(const Row& row) {
  constexpr int kMost = 2147483647;
  Measurement out;
  const std::string dtype = row.text("dtype");
  if (dtype != "bf16" && dtype != "fp16" && dtype != "fp8")
    row.refuse("dtype", "\"" + dtype + "\" is none of bf16, fp16, fp8");
  out.request.kernel = parse_kernel(row.text("kernel"));
  out.request.qk = out.request.pv = dtype == "fp8" ? Element::fp8 : Element::bf16;
  if (out.request.kernel == Kernel::sage2) out.request.qk = Element::int8;
  out.shape.batch = row.whole("batch", 1, kMost);
  out.shape.heads = row.whole("heads", 1, kMost);
  if (row.has("kv_heads")) out.shape.kv_heads = row.whole("kv_heads", 1, kMost);
  out.shape.queries = out.shape.keys = row.whole("seqlen", 1, kMost);
  out.request.head_dim = out.shape.head_dim = row.whole("head_dim", 1, 1024);
  if (row.has("causal") && row.whole("causal", 0, 1) == 1)
    out.request.causality = out.shape.causality = Causality::causal;
  if (row.has("varlen") && row.whole("varlen", 0, 1) == 1) out.request.lengths = Lengths::varying;
  out.ms = row.number("ms", 1e-6, 1e9);
  return out;
}

}  // namespace

std::vector<Measurement> read_measurements(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file)
    throw Error(ErrorKind::input_output, path.string(), "cannot be read", "name a CSV of rows");
  std::string line;
  const auto next = [&] {
    if (!std::getline(file, line)) return false;
    if (line.ends_with('\r')) line.pop_back();
    return true;
  };
  next();
  const std::vector<std::string> names = numerics::split(line);
  require_columns(names, path.string());
  std::vector<Measurement> rows;
  for (int number = 2; next(); ++number) {
    if (line.empty()) continue;
    const std::vector<std::string> cells = numerics::split(line);
    const std::string subject = path.string() + " line " + std::to_string(number);
    if (cells.size() > names.size())
      throw Error(ErrorKind::usage, subject,
                  "has " + std::to_string(cells.size()) + " cells under " +
                      std::to_string(names.size()) + " columns",
                  kHelp);
    rows.push_back(measurement(Row(names, cells, subject)));
  }
  if (rows.empty()) throw Error(ErrorKind::usage, path.string(), "holds no rows", kHelp);
  return rows;
}

std::string calibrated_board(const std::string& name_or_path, const Calibration& calibration) {
  files::Json board = files::parse_json(machine_text(name_or_path), name_or_path);
  files::Json factors = files::Json::array();
  for (const GroupFactor& g : calibration.factors)
    factors.push_back({{"kernel", g.kernel},
                       {"bytes", g.bytes},
                       {"head_dim", g.head_dim},
                       {"causal", g.causal},
                       {"factor", g.factor},
                       {"rows", g.rows}});
  board["calibration"] = {{"clock", calibration.clock},
                          {"launch", calibration.launch},
                          {"spread", calibration.spread},
                          {"rows", calibration.rows},
                          {"factors", std::move(factors)}};
  return board.dump(2) + "\n";
}

}  // namespace karat::hopper
