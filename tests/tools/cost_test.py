"""karat cost beside itself: recipes in one table, several GPUs, schedules without a model."""
import csv
import io
import json
import math
import re
import unittest

from karat import Case

SHAPE = ["--grid", "6,40,64", "--heads", "8"]
RECIPES = ["fa3_bf16", "fa3_fp8", "sta_bf16", "fpsattention", "sage2_sm90"]
TIMED = {"phases": [{"sigma_from": 0.9, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]}


def front(rows):
    """Brute force: rows that no other beats."""
    known = [r for r in rows if r["error"] is not None]
    key = "run_s" if "run" in rows[0] else None
    time = (lambda r: r["run"][key]) if key else (lambda r: r["layer_ms"])
    return {r["recipe"] for r in known
            if not any(time(o) <= time(r) and o["error"] <= r["error"] and
                       (time(o), o["error"]) != (time(r), r["error"]) for o in known)}


class Cost(Case):
    def cost(self, *arguments):
        return json.loads(self.succeeds("cost", "--json", "--quiet", *arguments).stdout)

    def schedule(self, phases, name="s.json"):
        with open(self.path(name), "w") as file:
            json.dump(phases, file)
        return name

    def test_recipes_are_rows_as_cost_answers_them_fastest_first(self):
        table = self.cost("--recipes", ",".join(RECIPES), *SHAPE)
        self.assertEqual((table["schema"], table["version"], table["baseline"], table["by"]),
                         ("karat.cost.recipes", 1, "fa3_bf16", "layer_ms"))
        rows = table["recipes"]
        self.assertEqual(sorted(r["recipe"] for r in rows), sorted(RECIPES))
        times = [r["layer_ms"] for r in rows]
        self.assertEqual(times, sorted(times))
        base, = [r for r in rows if r["baseline"]]
        for row in rows:
            alone = self.cost("--recipe", row["recipe"], *SHAPE)
            self.assertEqual((row["time_ms"], row["density"], row["bound_by"]),
                             (alone["time_ms"], alone["density"], alone["bound_by"]))
            self.assertAlmostEqual(row["layer_ms"],
                                   alone["time_ms"] + sum(k["time_ms"] for k in alone["around"]))
            self.assertAlmostEqual(row["ratio"], base["layer_ms"] / row["layer_ms"])
        self.assertEqual([r["best"] for r in rows], [True] + [False] * (len(rows) - 1))
        self.assertEqual({r["recipe"] for r in rows if r["pareto"]}, front(rows))

    def test_errors_are_those_of_a_study_and_never_made_up(self):
        rows = {r["recipe"]: r for r in self.cost("--recipes", "fa3_fp8,sage2_sm90", *SHAPE)["recipes"]}
        self.assertIsNone(rows["sage2_sm90"]["error"])
        self.assertFalse(rows["sage2_sm90"]["pareto"])
        with open(self.path("study.csv"), "w") as file:
            file.write("prompt,step,steps,sigma,layer,head,branch,recipe,error,sampling_error,guided_error\n")
            for step, errors in enumerate(((0.5, 0.1), (0.25, 0.2), (0.125, None))):
                for recipe, error in zip(("sage2_sm90", "fa3_fp8"), errors):
                    if error is not None:
                        file.write(f"0,{step},3,,0,0,conditional,{recipe},{error},0,\n")
        table = self.cost("--recipes", "fa3_fp8,sage2_sm90", "--errors", "study.csv", *SHAPE)
        rows = {r["recipe"]: r for r in table["recipes"]}
        self.assertEqual(table["errors"]["source"], "study.csv")
        self.assertAlmostEqual(rows["sage2_sm90"]["error"], math.sqrt((0.5**2 + 0.25**2 + 0.125**2) / 3))
        self.assertIsNone(rows["fa3_fp8"]["error"])  # it lacks a cell that the other has
        # a preset's name on other fields has no error of the preset
        with open(self.path("fa3_fp8.json"), "w") as file:
            json.dump({"base": "fa3_fp8", "name": "fa3_fp8", "softmax": {"row_sum": "quantized"}}, file)
        rows = {r["recipe"]: r for r in self.cost("--recipes", "fa3_fp8.json", *SHAPE)["recipes"]}
        self.assertIsNone(rows["fa3_fp8"]["error"])

    def test_all_presets_with_a_time_have_a_row_and_the_others_a_reason(self):
        table = self.cost("--recipes", "all", "--baseline", "fa2_bf16", "--density", "0.25", "--model",
                          "wan2.1-1.3b", "--resolution", "832x480x17")
        self.assertEqual((table["baseline"], table["by"]), ("fa2_bf16", "run_s"))
        presets = {r["name"] for r in json.loads(self.succeeds("recipes", "--json").stdout)["recipes"]}
        rows, out = {r["recipe"] for r in table["recipes"]}, {r["recipe"] for r in table["left_out"]}
        self.assertEqual(rows | out, presets)
        self.assertFalse(rows & out)
        self.assertIn("dense_f64", out)
        self.assertIn("svg1", rows)
        times = [r["run"]["run_s"] for r in table["recipes"]]
        self.assertEqual(times, sorted(times))
        self.assertEqual({r["recipe"] for r in table["recipes"] if r["pareto"]}, front(table["recipes"]))
        self.assertEqual([r["recipe"] for r in table["recipes"] if r["ratio"] == 1], ["fa2_bf16"])

    def test_text_and_markdown_and_csv_hold_the_same_rows(self):
        line = ["cost", "--recipes", "fpsattention,fa3_fp8", "--gpu", "H20,H100", *SHAPE]
        text = self.succeeds(*line).stdout
        self.assertIn("ratios are fa3_bf16's time", text)
        rows = [r for r in text.splitlines() if r.startswith(("H20 ", "H100 "))]
        self.assertEqual(len(rows), 6, text)  # the baseline joins on either GPU
        self.assertEqual(sum("best" in r for r in rows), 2)
        self.assertEqual(sum("baseline" in r for r in rows), 2)
        for row in rows:
            self.assertRegex(row, r"[\d.]+ ms .*[\d.]+x .*[\d.]+ %")
        cells = [r for r in self.succeeds(*line, "--markdown").stdout.splitlines() if r.startswith("|")]
        self.assertEqual(len(cells), 2 + 6)
        self.assertEqual({r.count("|") for r in cells}, {cells[0].count("|")})
        for row, aligned in zip(cells[2:], rows):
            self.assertEqual([c.strip() for c in row.strip("|").split("|") if c.strip()],
                             [c for c in map(str.strip, aligned.split("  ")) if c])
        listed = list(csv.DictReader(io.StringIO(self.succeeds(*line, "--csv").stdout)))
        self.assertEqual([r["recipe"] for r in listed], [re.split(r" {2,}", r)[1] for r in rows])

    def test_several_gpus_wherever_one_goes(self):
        one = {gpu: self.cost("--gpu", gpu, *SHAPE) for gpu in ("H20", "H100")}
        both = self.cost("--gpu", "H20,H100", *SHAPE)
        self.assertEqual([a["time_ms"] for a in both["answers"]], [a["time_ms"] for a in one.values()])
        compared = self.cost("--compare", "H20,H100", *SHAPE)
        self.assertEqual(compared["answers"], both["answers"])
        swept = self.cost("--gpu", "H20,H100", "--recipe", "fpsattention", "--sweep", "window", "--windows",
                          "3x3x1 3,3,3", *SHAPE)
        self.assertEqual([(a["gpu"], a["mask"]["window"]) for a in swept["answers"]],
                         [(one[g]["gpu"], w) for g in one for w in ([3, 3, 1], [3, 3, 3])])
        back = self.cost("--gpu", "H20,H100", "--backward", *SHAPE)
        self.assertEqual([("backward" in a, a["gpu"]) for a in back["answers"]],
                         [(True, one[g]["gpu"]) for g in one])
        run = ["--model", "wan2.1-1.3b", "--schedule", self.schedule(TIMED)]
        schedules = self.cost("--gpu", "H20,H100", *run)["schedules"]
        for told, gpu in zip(schedules, one):
            alone = self.cost("--gpu", gpu, *run)
            self.assertEqual((told["gpu"], told["run_s"]), (one[gpu]["gpu"], alone["schedule"]["run_s"]))
        self.assertEqual(self.succeeds("cost", "--gpu", "H20,H100", *run).stdout.count("whole run"), 2)

    def test_a_schedule_of_a_shape_needs_no_model(self):
        plain = {"phases": [{"first": 10, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]}
        report = self.cost("--schedule", self.schedule(plain), "--steps", "40", *SHAPE)
        times = [self.cost("--recipe", r, *SHAPE)["time_ms"] for r in ("fa3_bf16", "fa3_fp8")]
        self.assertEqual(report["schedule"]["steps"], 40)
        self.assertAlmostEqual(report["schedule"]["attention_ms"], 10 * times[0] + 30 * times[1])
        self.assertEqual([a["title"] for a in report["answers"]], ["10 steps fa3_bf16", "30 steps fa3_fp8"])
        text = self.succeeds("cost", "--schedule", self.schedule(TIMED), *SHAPE).stdout
        self.assertIn("noise level from 0.9 fa3_bf16", text)
        self.assertIn("--model tells it", text)
        self.assertEqual(self.cost("--schedule", "s.json", *SHAPE)["schedule"], {"steps": None})
        self.fails(2, "noise level", "cogvideox-5b", "wan2.1-14b",
                   arguments=["cost", "--schedule", "s.json", "--model", "cogvideox-5b"])

    def test_bad_input(self):
        line = ["cost", *SHAPE]
        self.fails(2, "fa3_pf8", "fa3_fp8", arguments=line + ["--recipes", "fa3_pf8"])
        self.fails(2, "--recipes", "empty", arguments=line + ["--recipes", "fa3_fp8,"])
        self.fails(2, "fa3_bf16", arguments=line + ["--recipes", "fa3_fp8", "--baseline", "fa3_bf61"])
        self.fails(2, "--baseline", "without --recipes", arguments=line + ["--baseline", "fa3_bf16"])
        self.fails(2, "--errors", "without --recipes", arguments=line + ["--errors", "s.csv"])
        self.fails(3, "nowhere.csv", arguments=line + ["--recipes", "fa3_fp8", "--errors", "nowhere.csv"])
        self.fails(2, "--recipe", arguments=line + ["--recipes", "fa3_fp8", "--recipe", "fa3_fp8"])
        self.fails(2, "density", arguments=line + ["--recipes", "fa3_fp8,svg1"])
        self.fails(2, "--density", arguments=line + ["--recipes", "fa3_fp8", "--density", "0.5"])
        self.fails(2, "H20", arguments=line + ["--gpu", "H20,H21"])
        self.fails(2, "--gpu", "empty", arguments=line + ["--gpu", "H20,"])
        self.fails(2, "--gpu", "--compare", arguments=line + ["--gpu", "H20", "--compare", "H100"])
        self.fails(2, "--svg", "one GPU", arguments=line + ["--gpu", "H20,H100", "--svg", "a.svg"])
        self.fails(2, "--json", "--markdown", arguments=line + ["--json", "--markdown"])
        self.fails(2, "--steps", arguments=line + ["--steps", "4"])
        for grid in ("6,40", "6x40", "6,40x64", "6,0,64", "a,b,c", "6x40x64x2", "", "6,40,99999999999"):
            self.fails(2, "--grid", "T,H,W or TxHxW", arguments=["cost", "--grid", grid])
        self.assertEqual(self.cost("--grid", "6x40x64", "--heads", "8"), self.cost(*SHAPE))


if __name__ == "__main__":
    unittest.main()
