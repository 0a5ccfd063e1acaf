// One question about time with everything that was worked out about it, as text, JSON, CSV, a
// timeline for Perfetto (Chrome trace JSON) and a picture.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/hopper/around.hpp"
#include "karat/hopper/backward.hpp"
#include "karat/hopper/cost.hpp"
#include "karat/report/table.hpp"

namespace karat::hopper {

struct Answer {
  std::string title;  ///< what distinguishes it from its neighbours: GPU, window, tile
  Question question;
  AttentionCost cost;
  std::vector<SideKernel> around;
  std::optional<RunTime> run;              ///< where a model's run was asked for
  std::optional<BackwardCost> backward;    ///< where the gradients were asked for
  std::optional<IterationTime> iteration;  ///< where both were
  /// What the recipe does that its time does not count.
  std::vector<std::string> left_out;
};
/// @throws Error(usage) for a recipe that predicts its mask from Q and K where nobody said its
///   density, or where its gradients are asked for: there are no tensors here
Answer answer(const Question& question, const std::optional<RunRequest>& run, Detail detail,
              std::string title);

std::string to_text(const Answer& answer);
/// A row per answer under a heading.
std::string to_table(std::span<const Answer> answers,
                     report::TableStyle style = report::TableStyle::aligned);
std::string to_csv(std::span<const Answer> answers);
/// The fields of docs/time-model.md, "JSON".
files::Json to_json(const Answer& answer);

/// What a timeline shows: the first tiles of the CTAs that share one SM.
struct TraceOptions {
  int tiles = 2;        ///< query tiles per CTA
  int most_blocks = 8;  ///< key blocks per tile; longer tiles are cut
};

/// Tracks: one per unit, one per warpgroup of each CTA. Times are microseconds at the launch's
/// clock. The busy time of a unit's track is the work asked of it. Where keys are divided, the
/// CTAs are those of the parts, and a process shows the launch and the kernel that combines, with
/// what an SM does in it. With a backward, its kernels
/// follow: one track with the launches in their order and full length, then an SM for each kernel
/// that multiplies. Kernels are processes of their own that begin at 0.
std::string perfetto_trace(const Question& question, const AttentionCost& cost,
                           const std::optional<BackwardCost>& backward = {},
                           const TraceOptions& options = {});

/// One SVG with three panels: Gantt of an SM, roofline of the board, occupancy of the SMs.
std::string cost_picture(const Question& question, const AttentionCost& cost,
                         const TraceOptions& options = {});

}  // namespace karat::hopper
