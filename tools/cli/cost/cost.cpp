// karat cost: how long an attention recipe takes on a Hopper GPU, and what limits it.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/hopper/answer.hpp"
#include "karat/hopper/calibration.hpp"
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

/// The shape of a model's run, or one in numbers.
Run read_shape(const cxxopts::ParseResult& given, Question& question) {
  if (given.count("model") == 0) {
    refuse_beside(given, "seqlen or --grid", hopper::model_fields());
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

/// An answer per phase of the schedule, each about the steps that run with it.
std::vector<Answer> phases(const std::string& path, const Question& base, Run run) {
  if (!run)
    throw Error(ErrorKind::usage, "--schedule", "is about a model's run", "add --model wan2.1-14b");
  const recipe::Schedule schedule = recipe::load_schedule(path);
  const int steps = run->steps;
  const bool flow = run->model->sampler.kind == video::SamplerKind::rectified_flow;
  std::vector<int> counts(schedule.phases.size(), 0);
  for (int step = 0; step < steps; ++step) {
    std::optional<double> sigma;
    if (flow) sigma = video::sigma(*run->model, step, steps);
    ++counts[recipe::phase_of(schedule, step, steps, sigma)];
  }
  const auto predicts = [](const recipe::Phase& phase) {
    return hopper::takes_density(phase.recipe);
  };
  if (base.density && std::ranges::none_of(schedule.phases, predicts))
    throw Error(ErrorKind::usage, "--density", "no phase of the schedule predicts a mask",
                "leave it out");
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    Question q = base;
    q.recipe = schedule.phases[i].recipe;
    if (!predicts(schedule.phases[i])) q.density.reset();
    run->steps = counts[i];
    answers.push_back(answer(q, run, hopper::Detail::time,
                             std::to_string(counts[i]) + " steps " + q.recipe.name));
  }
  return answers;
}

/// The phases' runs together.
hopper::RunTime together(const std::vector<Answer>& phases) {
  hopper::RunTime total;
  for (const Answer& phase : phases) {
    total.run_s += phase.run->run_s;
    total.dense_run_s += phase.run->dense_run_s;
  }
  total.speedup = total.dense_run_s / total.run_s;
  return total;
}

void declare_cost(CommandLine& line) {
  line.add({{"recipe", "preset or FILE.json (default fa3_bf16)"},
            {"schedule", "FILE.json: a recipe for every step of the model's run"}});
  add_options(line, hopper::kernel_fields());
  add_options(line, hopper::model_fields(), "shape of a model");
  add_options(line, hopper::shape_fields(), "shape in numbers");
  line.add({{"tile", "mask tile T,H,W"}, {"window", "window T,H,W"}}, "shape in numbers");
  line.add(
      {{"compare", "several GPUs: H20,H100,H200"},
       {"sweep", "window, tile or window,tile"},
       {"windows", "what --sweep window tries: \"3,3,3 5,5,5\""},
       {"tiles", "what --sweep tile tries"},
       {"csv", "one line per answer", Takes::nothing},
       {"trace", "timeline of one SM for Perfetto, with --backward its kernels too: FILE.json"},
       {"svg", "Gantt, roofline and occupancy, FILE.svg"}},
      "answers");
  line.add({{"calibrate", "ROWS.csv of your own measurements of --gpu: writes a board"},
            {"o,out", "the calibrated board, FILE.json for --gpu"}},
           "calibration");
}

/// Fits the board to its rows, says what was found and writes the board.
int calibrate_board(const cxxopts::ParseResult& given) {
  refuse_beside(given, "calibrate", hopper::model_fields());
  refuse_beside(given, "calibrate", hopper::shape_fields());
  const std::string gpu = text_of(given, "gpu").value_or("H100");
  const auto out = text_of(given, "out");
  if (!out || !out->ends_with(".json"))
    throw Error(ErrorKind::usage, "--out", "is missing or no FILE.json",
                "name the board that --calibrate writes");
  const hopper::CalibrationReport report =
      calibrate(hopper::read_measurements(*text_of(given, "calibrate")), hopper::load_machine(gpu),
                hopper::Timing{});
  const hopper::Calibration& c = report.calibration;
  files::write_file(*out, hopper::calibrated_board(gpu, c));
  if (given.count("json") > 0) {
    print_json("cost", 1,
               {{"rows", c.rows},
                {"before", report.before},
                {"after", report.after},
                {"left_out", report.left_out}});
    return match;
  }
  std::cout << report::print(
      "%d rows: mean error %.1f %% before, %.1f %% after, %.1f %% of rows left out of the fit\n"
      "clock x %.3f, launch x %.3f\n",
      c.rows, 100 * report.before, 100 * report.after, 100 * report.left_out, c.clock, c.launch);
  for (const hopper::GroupFactor& g : c.factors)
    std::cout << report::print("%s, %d-byte Q, head dimension %d%s: time x %.3f (%d rows)\n",
                               g.kernel.c_str(), g.bytes, g.head_dim, g.causal ? ", causal" : "",
                               g.factor, g.rows);
  return match;
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

std::vector<Answer> answers_to(const cxxopts::ParseResult& given) {
  Question q = read_recipe(given);
  hopper::KernelRequest kernel;
  read_options(given, hopper::kernel_fields(), kernel);
  const auto gpus = text_of(given, "compare");
  if (gpus) kernel.gpu = std::string(split(*gpus, ',').front());
  ask(q, kernel);
  const Run run = read_shape(given, q);
  if (gpus) {
    std::vector<Answer> answers;
    for (const std::string_view gpu : split(*gpus, ',')) {
      q.machine = hopper::load_machine(std::string(gpu));
      answers.push_back(answer(q, run, hopper::Detail::bounds, q.machine.name));
    }
    return answers;
  }
  if (const auto path = text_of(given, "schedule")) {
    refuse_beside(given, "schedule",
                  {"recipe", "sweep", "tile", "window", "dense-steps", "trace", "svg", "backward"});
    return phases(*path, q, run);
  }
  if (given.count("sweep") > 0) return sweep(given, q, run);
  return {answer(q, run, hopper::Detail::bounds, q.machine.name)};
}

void print_answers(const cxxopts::ParseResult& given, const std::vector<Answer>& answers) {
  std::optional<hopper::RunTime> total;
  if (given.count("schedule") > 0) total = together(answers);
  if (given.count("json") > 0) {
    files::Json body = to_json(answers.front());
    if (answers.size() > 1)
      for (const Answer& each : answers) body["answers"].push_back(to_json(each));
    if (total)
      body["schedule"] = {{"run_s", total->run_s},
                          {"dense_run_s", total->dense_run_s},
                          {"speedup", total->speedup}};
    print_json("cost", 1, body);
  } else if (given.count("csv") > 0) {
    std::cout << hopper::to_csv(answers);
  } else {
    std::cout << (answers.size() > 1 ? hopper::to_table(answers) : to_text(answers.front()));
    if (total)
      std::cout << report::print("whole run       %.0f s, dense BF16 %.0f s: %.2fx\n", total->run_s,
                                 total->dense_run_s, total->speedup);
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
  const std::vector<Answer> answers = [&] {
    const NothingHalfWritten guard;
    return answers_to(*given);
  }();
  const Answer& first = answers.front();
  if (const auto path = text_of(*given, "trace"))
    files::write_file(*path, hopper::perfetto_trace(first.question, first.cost, first.backward));
  if (const auto path = text_of(*given, "svg"))
    files::write_file(*path, hopper::cost_picture(first.question, first.cost));
  print_answers(*given, answers);
  return match;
}

}  // namespace karat::cli
