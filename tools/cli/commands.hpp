// The entry point of every command.
#pragma once

namespace karat::cli {

int run_codec(int argc, char** argv);
int run_cost(int argc, char** argv);
int run_diagnose(int argc, char** argv);
int run_evidence(int argc, char** argv);
int run_attend(int argc, char** argv);
int run_check(int argc, char** argv);
int run_inspect(int argc, char** argv);
int run_make(int argc, char** argv);
int run_mask(int argc, char** argv);
int run_mma(int argc, char** argv);
int run_recipes(int argc, char** argv);
int run_study(int argc, char** argv);
int run_tune(int argc, char** argv);

}  // namespace karat::cli
