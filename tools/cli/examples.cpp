// Two examples for the --help of every command. Read from the top they are one session: each finds
// the files that those before it wrote. tests/python/test_examples.py runs them all.
#include <algorithm>

#include "command.hpp"

namespace karat::cli {
namespace {

struct Example {
  std::string_view command;
  std::string_view line;
};

constexpr Example kExamples[] = {
    {"make", "karat make --recipe fpsattention --grid 6,16,16 -o golden.h5"},
    {"make", "karat make --backward --recipe fps_qat_fp8 --grid 4,8,8 --channels 64 -o train.h5"},
    {"attend", "karat attend --recipe fpsattention --in golden.h5 -o kernel.safetensors"},
    {"attend", "karat attend --recipe fa3_bf16 --workload gaussian --grid 4,8,8 -o o.safetensors"},
    {"check", "karat check golden.h5 kernel.safetensors --html check.html"},
    {"check", "karat check golden.h5 kernel.safetensors golden.h5 --markdown"},
    {"diagnose", "karat diagnose golden.h5 kernel.safetensors"},
    {"diagnose", "karat diagnose golden.h5 kernel.safetensors --alarm any-bit --json"},
    {"inspect", "karat inspect golden.h5 --export tensors"},
    {"inspect", "karat inspect --fragment d --thread 5 --columns 64"},
    {"export", "karat export golden.h5 bundle --bundle hipdnn"},
    {"export", "karat export train.h5 bundle --bundle hipdnn --name train"},
    {"mask", "karat mask --recipe sta_bf16 --grid 12,16,16 --svg mask.svg"},
    {"mask", "karat mask --recipe sta_bf16 --grid 12,16,16 --blockmask mask.safetensors"},
    {"recipes", "karat recipes fpsattention"},
    {"recipes", "karat recipes fa2_bf16 fa3_bf16"},
    {"cost", "karat cost --gpu H100 --model wan2.1-14b --resolution 720p --recipe fpsattention"},
    {"cost",
     "karat cost --gpu H20,H100 --model wan2.1-14b --recipes fa3_bf16,fa3_fp8,fpsattention"},
    {"study",
     "karat study --recipes fa3_bf16,fa3_fp8 --grid 4,8,8 --channels 64 --prompts 2 --steps 0,49 "
     "--heads 0 --rows 16 --draws 2 --ladder none -o study.h5 --html study.html"},
    {"study", "karat study --plan plan.json --model wan2.1-14b --resolution 720p"},
    {"tune",
     "karat tune --quick --gpu H20 --candidates fa3_bf16,fa3_fp8,sta_bf16 -o schedule.json"},
    {"tune", "karat tune --from study.h5 --gpu H100 --resamples 100 --html tune.html"},
    {"codec", "karat codec --format e4m3 0.3 448 code:7f"},
    {"codec", "karat codec --function ex2.approx.ftz.f32 0.5 --explain"},
    {"mma", "karat mma --list"},
    {"mma", "echo 18 38 44800000 | karat mma --instruction hopper.wgmma.e4m3.f32 --in - --explain"},
    {"run", "karat run launch.json -o out.safetensors --hazards"},
    {"run", "karat run launch.json -o out.safetensors --schedule random --seed 7"},
    {"evidence", "karat evidence --emulate capture --tiles 1 --sweep-step 2048"},
    {"evidence", "karat evidence capture --html evidence.html"},
    {"sweep plan", "karat sweep plan spec.json -o campaign"},
    {"sweep plan", "karat sweep plan spec.json -o other --json"},
    {"sweep run", "karat sweep run campaign --shard 1/2"},
    {"sweep run", "karat sweep run campaign --wait"},
    {"sweep status", "karat sweep status campaign"},
    {"sweep status", "karat sweep status campaign --json"},
    {"sweep retry", "karat sweep retry campaign"},
    {"sweep retry", "karat sweep retry campaign --quiet"},
    {"sweep merge", "karat sweep merge campaign -o all.h5"},
    {"sweep merge", "karat sweep merge campaign -o some.h5 --partial"},
};

}  // namespace

std::string examples_of(std::string_view command) {
  std::string text;
  for (const Example& each : kExamples)
    if (each.command == command)
      text += (text.empty() ? "\nExamples:\n  $ " : "  $ ") + std::string(each.line) + "\n";
  return text;
}

}  // namespace karat::cli
