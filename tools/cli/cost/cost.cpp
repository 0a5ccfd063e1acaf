// karat cost: how long an attention recipe takes on a Hopper GPU, and what limits it.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cost/calibrate.hpp"
#include "cost/phases.hpp"
#include "cost/recipe_table.hpp"
#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/hopper/answer.hpp"
#include "karat/hopper/request.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/report/text.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

using hopper::Answer;
using hopper::answer;
using hopper::Question;
using Run = std::optional<hopper::RunRequest>;

/// The shape of a model's run, or one in numbers, for which a schedule may have its --steps.
Run read_shape(const cxxopts::ParseResult& given, Question& question) {
  if (given.count("model") == 0) {
    for (const auto& field : hopper::model_fields())
      if (field.name != "steps" || given.count("schedule") == 0)
        refuse_beside(given, "seqlen or --grid", {option_name(field)});
    hopper::ShapeRequest asked;
    read_options(given, hopper::shape_fields(), asked);
    ask(question, asked);
    return std::nullopt;
  }
  refuse_beside(given, "model", hopper::shape_fields());
  hopper::ModelRequest asked;
  read_options(given, hopper::model_fields(), asked);
  return ask(question, asked);
}

/// Settings of one axis of a sweep: those given, else the published ones.
std::vector<video::Extent3> settings(const cxxopts::ParseResult& given, const std::string& option,
                                     std::vector<video::Extent3> published) {
  const auto text = text_of(given, option);
  if (!text) return published;
  std::vector<video::Extent3> out;
  for (const std::string_view each : split(*text, ' '))
    if (!each.empty()) out.push_back(parse_extent(each, "--" + option));
  return out;
}

enum class Axis { window, tile };
constexpr Named<Axis> kAxes[] = {{"window", Axis::window}, {"tile", Axis::tile}};

std::vector<Answer> sweep(const cxxopts::ParseResult& given, const Question& base, const Run& run) {
  bool windows_swept = false, tiles_swept = false;
  for (const std::string_view axis : split(*text_of(given, "sweep"), ','))
    (parse_choice(axis, "--sweep", kAxes) == Axis::window ? windows_swept : tiles_swept) = true;
  if (base.recipe.mask.kind != recipe::MaskKind::window)
    throw Error(ErrorKind::usage, "--sweep", "recipe " + base.recipe.name + " has no window",
                "choose one that has, for example fpsattention");
  const auto windows =
      windows_swept
          ? settings(given, "windows",
                     {{1, 1, 1}, {3, 3, 1}, {3, 3, 3}, {5, 5, 5}, {6, 6, 1}, {6, 6, 6}, {5, 6, 10}})
          : std::vector{base.recipe.mask.window};
  const auto tiles =
      tiles_swept ? settings(given, "tiles", {{3, 4, 4}, {6, 8, 8}, {12, 16, 16}, {24, 32, 32}})
                  : std::vector{base.recipe.mask.tile};
  std::vector<Answer> answers;
  for (const video::Extent3 tile : tiles) {
    for (const video::Extent3 window : windows) {
      Question q = base;
      q.recipe.mask.tile = tile;
      q.recipe.mask.window = window;
      answers.push_back(
          answer(q, run, hopper::Detail::time,
                 "tile " + video::to_string(tile) + " window " + video::to_string(window)));
    }
  }
  return answers;
}

void declare_cost(CommandLine& line) {
  line.add({{"recipe", "preset or FILE.json (default fa3_bf16)"},
            {"recipes", "several beside each other, fastest first: NAME,FILE.json,... or all"},
            {"schedule", "FILE.json: a recipe for every step of the model's run"}});
  add_options(line, hopper::kernel_fields());
  add_options(line, hopper::model_fields(), "shape of a model");
  add_options(line, hopper::shape_fields(), "shape in numbers");
  line.add({{"tile", "mask tile, T,H,W or TxHxW"}, {"window", "window, T,H,W or TxHxW"}},
           "shape in numbers");
  line.add(
      {{"compare", "several GPUs: H20,H100,H200; --gpu takes them too"},
       {"baseline", "with --recipes: what ratios refer to (default fa3_bf16)"},
       {"errors",
        "with --recipes: the study of their errors, as karat tune --from; default: the "
        "built-in one"},
       {"sweep", "window, tile or window,tile"},
       {"windows", "what --sweep window tries: \"3,3,3 5,5,5\""},
       {"tiles", "what --sweep tile tries"},
       {"csv", "one line per answer", Takes::nothing},
       kMarkdown,
       {"trace", "timeline of one SM for Perfetto, with --backward its kernels too: FILE.json"},
       {"svg", "Gantt, roofline and occupancy, FILE.svg"}},
      "answers");
  declare_calibration(line);
}

/// The recipe on the shape, without a machine.
Question read_recipe(const cxxopts::ParseResult& given) {
  Question q{.recipe = recipe::load_recipe(text_of(given, "recipe").value_or("fa3_bf16"))};
  if (const auto tile = text_of(given, "tile")) q.recipe.mask.tile = parse_extent(*tile, "--tile");
  if (const auto window = text_of(given, "window")) {
    q.recipe.mask.window = parse_extent(*window, "--window");
    q.recipe.mask.kind = recipe::MaskKind::window;
  }
  return q;
}

/// What is asked, but for the GPU.
struct Asked {
  Question question;
  hopper::KernelRequest kernel = {};
  Run run = {};
  std::vector<std::string> gpus;

  /// The question about one of the GPUs.
  Question on(const std::string& gpu) const {
    hopper::KernelRequest here = kernel;
    here.gpu = gpu;
    Question q = question;
    ask(q, here);
    return q;
  }
};

Asked read_asked(const cxxopts::ParseResult& given) {
  if (given.count("compare") > 0) refuse_beside(given, "compare", {"gpu"});
  const std::string option = given.count("compare") > 0 ? "compare" : "gpu";
  Asked asked{.question = read_recipe(given),
              .gpus = parse_names(text_of(given, option).value_or("H100"), "--" + option)};
  read_options(given, hopper::kernel_fields(), asked.kernel);
  asked.run = read_shape(given, asked.question);
  if (asked.gpus.size() > 1)
    for (const char* drawing : {"trace", "svg"})
      if (given.count(drawing) > 0)
        throw Error(ErrorKind::usage, std::string("--") + drawing, "draws one GPU",
                    "name one: --gpu " + asked.gpus.front());
  return asked;
}

/// "H20, tile 6,8,8 window 3,3,3" where there are several GPUs.
std::vector<Answer> titled(std::vector<Answer> answers, bool several_gpus) {
  for (Answer& answer : answers)
    if (several_gpus && answer.title != answer.question.machine.name)
      answer.title = answer.question.machine.name + ", " + answer.title;
  return answers;
}

/// The recipes of --recipes, each once, and the baseline among them.
std::vector<recipe::Recipe> asked_recipes(const cxxopts::ParseResult& given,
                                          const std::string& baseline) {
  const std::string text = *text_of(given, "recipes");
  std::vector<std::string> names;
  if (text == "all")
    for (const std::string_view preset : recipe::preset_names()) names.emplace_back(preset);
  else
    names = parse_names(text, "--recipes");
  if (std::ranges::find(names, baseline) == names.end()) names.push_back(baseline);
  std::vector<recipe::Recipe> recipes;
  for (const std::string& name : names) {
    recipe::Recipe recipe = recipe::load_recipe(name);
    if (std::ranges::find(recipes, recipe.name, &recipe::Recipe::name) == recipes.end())
      recipes.push_back(std::move(recipe));
  }
  return recipes;
}

/// "its mask is predicted ...", without the recipe's name in front.
std::string reason_of(const Error& error, const std::string& recipe) {
  std::string_view text = error.what();
  const std::string front = "recipe " + recipe + ": ";
  if (text.starts_with(front)) text.remove_prefix(front.size());
  return std::string(text);
}

/// A row for every recipe on every GPU. Under "all" those without a time are left out.
RecipeTable recipe_table(const cxxopts::ParseResult& given, const Asked& asked) {
  refuse_beside(given, "recipes",
                {"recipe", "schedule", "sweep", "windows", "tiles", "tile", "window", "backward",
                 "trace", "svg"});
  const bool all = *text_of(given, "recipes") == "all";
  const std::string baseline = text_of(given, "baseline").value_or("fa3_bf16");
  const std::vector<recipe::Recipe> recipes = asked_recipes(given, baseline);
  if (asked.kernel.density && std::ranges::none_of(recipes, hopper::takes_density))
    throw Error(ErrorKind::usage, "--density", "none of the recipes predicts a mask",
                "leave it out");
  const auto study = text_of(given, "errors");
  RecipeTable table{
      .baseline = recipe::load_recipe(baseline).name,
      .errors = study ? known_errors(study::read_sensitivity(*study), *study) : shipped_errors()};
  Progress bar("recipes", narration(given), 0, "recipes");
  std::size_t done = 0;
  for (const std::string& gpu : asked.gpus) {
    const Question base = asked.on(gpu);
    std::vector<Answer> answers;
    for (const recipe::Recipe& recipe : recipes) {
      bar.update(done++, asked.gpus.size() * recipes.size());
      Question q = base;
      q.recipe = recipe;
      if (!hopper::takes_density(recipe)) q.density.reset();
      try {
        answers.push_back(answer(q, asked.run, hopper::Detail::bounds, recipe.name));
      } catch (const Error& error) {
        if (!all || recipe.name == table.baseline || error.kind() != ErrorKind::usage) throw;
        table.left_out.push_back({recipe.name, reason_of(error, recipe.name)});
      }
    }
    for (RecipeRow& row : compared(std::move(answers), table.baseline, table.errors))
      table.rows.push_back(std::move(row));
  }
  return table;
}

int print_recipes(const cxxopts::ParseResult& given, const RecipeTable& table) {
  if (given.count("json") > 0) {
    print_json("cost.recipes", 1, to_json(table));
  } else if (given.count("csv") > 0) {
    std::vector<Answer> answers;
    for (const RecipeRow& row : table.rows) answers.push_back(row.answer);
    std::cout << hopper::to_csv(answers);
  } else {
    std::cout << to_text(table, table_style(given));
  }
  return match;
}

/// A schedule on every GPU.
int print_schedules(const cxxopts::ParseResult& given, const Asked& asked) {
  refuse_beside(given, "schedule",
                {"recipe", "sweep", "tile", "window", "dense-steps", "trace", "svg", "backward"});
  const recipe::Schedule schedule = recipe::load_schedule(*text_of(given, "schedule"));
  const int steps = asked.run ? asked.run->steps : whole(given, "steps", 50, 1, 1 << 20);
  std::vector<Phases> priced;
  {
    const NothingHalfWritten guard;
    for (const std::string& gpu : asked.gpus) {
      priced.push_back(price_phases(schedule, asked.on(gpu), asked.run, steps));
      priced.back().answers = titled(std::move(priced.back().answers), asked.gpus.size() > 1);
    }
  }
  std::vector<Answer> answers;
  for (const Phases& one : priced)
    answers.insert(answers.end(), one.answers.begin(), one.answers.end());
  if (given.count("json") > 0) {
    files::Json body = to_json(answers.front());
    if (answers.size() > 1)
      for (const Answer& each : answers) body["answers"].push_back(to_json(each));
    body["schedule"] = to_json(priced.front());
    if (priced.size() > 1)
      for (std::size_t i = 0; i < priced.size(); ++i) {
        files::Json one{{"gpu", priced[i].answers.front().question.machine.name}};
        one.update(to_json(priced[i]));
        body["schedules"].push_back(std::move(one));
      }
    print_json("cost", 1, body);
  } else if (given.count("csv") > 0) {
    std::cout << hopper::to_csv(answers);
  } else {
    const bool table = answers.size() > 1 || given.count("markdown") > 0;
    std::cout << (table ? hopper::to_table(answers, table_style(given)) : to_text(answers.front()));
    for (const Phases& one : priced)
      std::cout << (priced.size() > 1 ? one.answers.front().question.machine.name + ": " : "")
                << to_text(one);
  }
  return match;
}

std::vector<Answer> answers_to(const cxxopts::ParseResult& given, const Asked& asked) {
  const NothingHalfWritten guard;
  std::vector<Answer> answers;
  for (const std::string& gpu : asked.gpus) {
    const Question q = asked.on(gpu);
    if (given.count("sweep") > 0) {
      for (Answer& each : titled(sweep(given, q, asked.run), asked.gpus.size() > 1))
        answers.push_back(std::move(each));
    } else {
      answers.push_back(answer(q, asked.run, hopper::Detail::bounds, q.machine.name));
    }
  }
  return answers;
}

void print_answers(const cxxopts::ParseResult& given, const std::vector<Answer>& answers) {
  if (given.count("json") > 0) {
    files::Json body = to_json(answers.front());
    if (answers.size() > 1)
      for (const Answer& each : answers) body["answers"].push_back(to_json(each));
    print_json("cost", 1, body);
  } else if (given.count("csv") > 0) {
    std::cout << hopper::to_csv(answers);
  } else {
    const bool table = answers.size() > 1 || given.count("markdown") > 0;
    std::cout << (table ? hopper::to_table(answers, table_style(given)) : to_text(answers.front()));
  }
}

}  // namespace

int run_cost(int argc, char** argv) {
  CommandLine line("cost",
                   "How long a recipe's attention takes on a Hopper GPU, and what limits it.");
  declare_cost(line);
  line.note("Needs recipe and shape only. The model and its errors: docs/time-model.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  if (given->count("calibrate") > 0) return calibrate_board(*given);
  if (given->count("out") > 0)
    throw Error(ErrorKind::usage, "--out", "is the board that --calibrate writes", "leave it out");
  for (const char* option : {"baseline", "errors"})
    if (given->count(option) > 0 && given->count("recipes") == 0)
      throw Error(ErrorKind::usage, std::string("--") + option, "says nothing without --recipes",
                  "leave it out");
  (void)table_style(*given);  // refused before the work, not after it
  const Asked asked = read_asked(*given);
  if (given->count("recipes") > 0) {
    const RecipeTable table = [&] {
      const NothingHalfWritten guard;
      return recipe_table(*given, asked);
    }();
    return print_recipes(*given, table);
  }
  if (given->count("schedule") > 0) return print_schedules(*given, asked);
  const std::vector<Answer> answers = answers_to(*given, asked);
  const Answer& first = answers.front();
  if (const auto path = text_of(*given, "trace"))
    files::write_file(*path, hopper::perfetto_trace(first.question, first.cost, first.backward));
  if (const auto path = text_of(*given, "svg"))
    files::write_file(*path, hopper::cost_picture(first.question, first.cost));
  print_answers(*given, answers);
  return match;
}

}  // namespace karat::cli
