// The one table of a recipe's fields. Parsing, printing, validation, differences, the page
// docs/recipe.md and every "edit one field" walk this table and nothing else.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// A field's value: a number (integers too), a name or text, or three extents t, h, w.
using Value = std::variant<double, std::string, video::Extent3>;

enum class Kind {
  choice,       ///< one of Field::choices, as a string
  integer,      ///< a whole number in [low, high]
  number,       ///< an f32 in [low, high]; low = -infinity also admits "-inf"
  extent,       ///< [t, h, w], each at least 1
  instruction,  ///< the name of a karat::numerics instruction
  text,         ///< any string
};

/// The stages of a kernel in the order of computation. What stands before the stage that a field
/// decides first is the same, bit for bit, whatever the field's value.
enum class Decides {
  nothing,    ///< a label for people: name, about
  order,      ///< the order of tokens and their cut into blocks
  operands,   ///< groups, codes and scales of q, k and v
  visits,     ///< the mask, and which key blocks a query block visits in which order
  scores,     ///< A and S
  softmax,    ///< m, P and l
  product,    ///< O after each key block
  finish,     ///< lse and o
  gradients,  ///< of the backward: delta, dP, dS, dq, dk and dv
};
std::string_view to_text(Decides stage);

/// One spelling of one enumerator.
struct Choice {
  std::string_view name;
  int value;
  std::string_view meaning;
};

struct Field {
  std::string path;  ///< "softmax.exp2"; top-level fields have no dot
  std::string_view meaning;
  std::string_view source;  ///< where the choice or its default comes from
  Kind kind;
  Decides decides;                  ///< the first stage whose bits depend on it
  std::span<const Choice> choices;  ///< Kind::choice only
  double low, high;                 ///< Kind::integer and Kind::number only
  Value (*read)(const Recipe&);
  void (*write)(Recipe&, const Value&);  ///< unchecked: use set()
};

/// All fields, in the order of the JSON form. A field's default is its value in Recipe{}.
std::span<const Field> fields();
/// @throws Error(usage) naming the nearest known path.
const Field& field(std::string_view path);

Value get(const Recipe& recipe, std::string_view path);
/// Checks kind, range and spelling of this one value; validate() judges the recipe as a whole.
/// @throws Error(usage), the subject being `subject_prefix` + path.
void set(Recipe& recipe, std::string_view path, const Value& value,
         std::string_view subject_prefix = {});
/// set(), then what an edited format implies: the instruction, the overflow.
Recipe edited(Recipe recipe, std::string_view path, const Value& value);

/// The value as it stands in JSON: 448, "tile", [6, 8, 8], "-inf".
std::string to_text(const Value& value);

struct Difference {
  const Field* field;
  Value left, right;
};
/// Fields in which two recipes differ, in table order; labels are no difference.
std::vector<Difference> diff(const Recipe& left, const Recipe& right);

/// The instruction two operand formats imply: the first of numerics::instructions() that takes this
/// very format, where both are the same, or else the first whose input format holds both exactly
/// (e4m3 x e4m3 -> hopper.wgmma.e4m3.f32, e4m3 x bf16 -> hopper.wgmma.bf16.f32, f32 -> f32.fma).
std::string implied_instruction(numerics::FormatId a, numerics::FormatId b);

}  // namespace karat::recipe
