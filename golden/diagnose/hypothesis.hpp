// A hypothesis: the golden recipe with fields edited, and mistakes no recipe can mean.
#pragma once

#include <string>
#include <vector>

#include "karat/golden/diagnose.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::golden {

struct Trial;

/// When in the course of a kernel a mistake happens.
enum class Moment {
  launch,    ///< on the recipe, beyond what is valid, and on what the launch is told
  inputs,    ///< on Q, K, V as the caller stores them
  layout,    ///< on token order, mask, blocks
  operands,  ///< on codes and scales
  kernel,    ///< in softmax, P V or the finish
  output,    ///< on where O is stored
  backward,  ///< behind a right forward
};

/// `which` is the row's own parameter: an operand (0 q, 1 k, 2 v), a permutation, ...
/// False when the mistake cannot be made on this case.
using Apply = bool (*)(Trial& trial, int which);

struct Mistake {
  std::string_view name;
  std::string_view meaning;   ///< what the kernel then does
  std::string_view look_for;  ///< where to look for it
  Moment moment;
  Apply apply;
  int which = 0;
};
std::span<const Mistake> mistakes();
/// Those of Moment::backward.
std::span<const Mistake> backward_mistakes();

struct Hypothesis {
  std::vector<FieldEdit> edits;
  std::vector<const Mistake*> mistakes;
  recipe::Recipe recipe;  ///< with the edits
};
std::string to_text(const std::vector<FieldEdit>& edits);
std::string to_text(const Hypothesis& hypothesis);

/// Which kernels a hypothesis is about.
enum class Pass { forward, backward };

/// Every valid recipe one edit away, and those where one edit is made to several operands or both
/// products alike. Generated from the table of fields.
/// Of a backward the fields of its section, and those of the forward that it reads once more.
std::vector<Hypothesis> recipe_edits(const recipe::Recipe& golden, Pass pass = Pass::forward);
/// Both hypotheses at once; nothing when they touch the same field or mean nothing together.
std::optional<Hypothesis> both(const recipe::Recipe& golden, const Hypothesis& a,
                               const Hypothesis& b);

/// Whether the field can change anything in the golden recipe's kernels of that pass.
bool matters(const recipe::Recipe& golden, std::string_view path, Pass pass = Pass::forward);

/// What to look for in the kernel when this field is at fault.
std::string advice(std::string_view field);

}  // namespace karat::golden
