"""karat recipes --schedule: what each step runs with, and schedules from one system's form to another's."""
import json
import unittest

from karat import Case

ENDS = {"phases": [{"first": 5, "recipe": "fa3_bf16"}, {"last": 5, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]}
TIMED = {"phases": [{"sigma_from": 0.9, "recipe": "fa3_bf16"},
                    {"recipe": {"base": "subblock", "predict": {"share": 0.5}}}]}
WINDOWS = {"phases": [{"first": 20, "recipe": {"base": "sta_bf16", "mask": {"window": [9, 9, 9]}}},
                      {"recipe": "sta_bf16"}]}
EXPERTS = {"phases": [{"sigma_from": 0.875, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]}


class Schedules(Case):
    def written(self, schedule):
        with open(self.path("s.json"), "w") as file:
            json.dump(schedule, file)
        return "s.json"

    def steps(self, schedule, *options):
        """The recipe's fields of every step."""
        report = json.loads(self.succeeds("recipes", "--schedule", schedule, "--json", *options).stdout)
        self.assertEqual(report["schema"], "karat.recipes.schedule")
        return [step["recipe"].removesuffix("_edited") for step in report["steps"]], report

    def test_every_form_is_written_and_reads_back(self):
        wan = ("--model", "wan2.2-t2v-14b")  # 40 steps, 40 layers, 40 heads
        for form, schedule in (("karat", ENDS), ("xdit", ENDS), ("sglang", ENDS), ("trtllm", TIMED),
                               ("fastvideo", WINDOWS), ("wan_experts", EXPERTS)):
            before, report = self.steps(self.written(schedule), *wan)
            self.assertEqual((len(before), len(set(before)) > 1 or form == "fastvideo"), (40, True))
            self.assertTrue(1 >= report["steps"][0]["sigma"] > report["steps"][39]["sigma"] > 0)
            text = self.succeeds("recipes", "--schedule", "s.json", "--format", form, *wan).stdout
            self.succeeds("recipes", "--schedule", "s.json", "--format", form, "-o", "t.txt", *wan)
            with open(self.path("t.txt")) as file:
                self.assertEqual(file.read(), text)
            if form == "fastvideo":
                windows = json.loads(text)
                self.assertEqual(len(windows), 40 * 40 * 40)
                self.assertEqual((windows["19_39_39"], windows["20_0_0"]), ([9, 9, 9], [3, 3, 3]))
            after, again = self.steps("t.txt", *wan, "--format", form)
            self.assertEqual(after, before, form)
            self.assertEqual(again["format"], {"name": form, "text": text})

    def test_a_line_of_sglang_needs_no_file(self):
        self.assertEqual(self.succeeds("recipes", "--schedule", "fa:sdpa:3:2", "--steps", 12).stdout.splitlines(),
                         ["steps    0 to    2  fa3_bf16", "steps    3 to    9  fa2_bf16",
                          "steps   10 to   11  fa3_bf16"])
        form = json.loads(self.succeeds("recipes", "--schedule", "fa:sdpa:3:3", "--format", "xdit").stdout)
        self.assertEqual(form["xdit"], {"high": "fa3_bf16", "low": "fa2_bf16", "steps_at_both_ends": 3})

    def test_noise_levels_without_a_model_are_listed_as_they_are(self):
        line = ["recipes", "--schedule", self.written(TIMED)]
        done = self.succeeds(*line)
        self.assertEqual(done.stdout.splitlines(), ["noise level from 0.9  fa3_bf16", "otherwise             subblock_edited"])
        self.assertIn("--model lists the steps", done.stderr)
        report = json.loads(self.succeeds(*line, "--json").stdout)
        self.assertIsNone(report["steps"])
        self.assertEqual(report["schedule"]["phases"][0], TIMED["phases"][0])
        form = json.loads(self.succeeds(*line, "--format", "karat").stdout)
        self.assertEqual(form, report["schedule"])

    def test_what_a_form_cannot_hold_is_refused_with_the_reason(self):
        for form, schedule, why in (("xdit", "fa:sdpa:3:2", "one number of steps for both ends"),
                                    ("sglang", self.written(TIMED), "is no preset"),
                                    ("trtllm", "fa:sdpa:3:0", "selects no share"),
                                    ("fastvideo", "fa:sdpa:3:0", "windows of sta_bf16 alone"),
                                    ("wan_experts", "fa:sdpa:3:0", "do not follow one noise level")):
            self.fails(2, form + "'s form", why,
                       arguments=["recipes", "--schedule", schedule, "--format", form, "--model", "wan2.1-14b"])

    def test_bad_input(self):
        line = ["recipes", "--schedule", "fa:sdpa:3:3"]
        self.fails(2, "--format", "xdit", arguments=[*line, "--format", "xdot"])
        self.fails(2, "fb", arguments=["recipes", "--schedule", "fb:sdpa:3:3"])
        self.fails(3, "no.json", arguments=["recipes", "--schedule", "no.json"])
        self.fails(2, "--format xdit", "noise level", "--model", arguments=["recipes", "--schedule", self.written(TIMED), "--format", "xdit"])
        self.fails(2, "--steps", arguments=[*line, "--steps", 0])
        self.fails(2, "wan3", arguments=[*line, "--model", "wan3"])
        self.fails(2, "--recipe", arguments=["recipes", "fa3_fp8", "--schedule", "fa:sdpa:3:3"])
        self.fails(2, "--out", "without --format", arguments=[*line, "-o", "s.txt"])
        for option in ("format", "model", "steps", "layers", "heads", "out"):
            self.fails(2, "--" + option, "says nothing without --schedule", arguments=["recipes", "--" + option, "1"])


if __name__ == "__main__":
    unittest.main()
