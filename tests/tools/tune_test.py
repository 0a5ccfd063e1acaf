"""karat tune as a user runs it: what it claims, what karat cost says of its schedule, bad input."""
import csv
import json
import unittest

from karat import Case

KINDS = ["three_phase", "general", "uniform", "dense_warmup", "sta_search"]


class Tune(Case):
    def tuned(self, *arguments):
        return json.loads(self.succeeds("tune", "--quick", "--json", *arguments).stdout)

    def test_quick_gives_alphas_fronts_and_a_schedule_that_cost_agrees_with(self):
        report = self.tuned("--gpu", "H20,H100", "--model", "wan2.1-14b", "--resolution", "480p",
                            "--out", "schedule.json", "--html", "page.html", "--csv", "fronts.csv")
        self.assertEqual((report["schema"], report["version"]), ("karat.tune", 1))
        self.assertTrue(0 < report["alpha1"] < report["alpha2"] < 1)
        fronts = {kind: [p for p in report["pareto"] if p["kind"] == kind] for kind in KINDS}
        self.assertEqual(sum(map(len, fronts.values())), len(report["pareto"]))
        for kind, points in fronts.items():
            self.assertTrue(points, kind)
            for before, after in zip(points, points[1:]):
                self.assertLess(before["time_s"], after["time_s"], kind)
                self.assertGreater(before["error"], after["error"], kind)
        for kind in KINDS:
            for point in fronts[kind]:
                best = min(p["error"] for p in fronts["general"]
                           if p["time_s"] <= point["time_s"] * (1 + 1e-9))
                self.assertLessEqual(best, point["error"] * (1 + 1e-9), kind)
        with open(self.path("schedule.json")) as file:
            self.assertEqual(json.load(file), report["schedule"])
        cost = json.loads(self.succeeds("cost", "--json", "--gpu", "H20", "--model", "wan2.1-14b",
                                        "--resolution", "480p", "--schedule",
                                        "schedule.json").stdout)
        chosen = next(p for p in report["tuned"][1]["within_budget"] if p["kind"] == "three_phase")
        self.assertEqual(report["tuned"][1]["weights"], report["weights"])
        self.assertAlmostEqual(cost["schedule"]["run_s"] / chosen["time_s"], 1, places=9)
        self.assertLessEqual(chosen["time_s"], report["budget_s"] * (1 + 1e-9))
        self.assertTrue(any("do not fix the alphas" in note for note in report["notes"]))
        with open(self.path("page.html")) as file:
            self.assertIn("<svg", file.read())

    def test_the_decision_comes_first_in_words(self):
        line = ["--resamples", "10", "--per", "step"]
        for kind, schedule in (("three_phase", []), ("general_by_step", ["--schedule", "general"])):
            report = self.tuned(*line, *schedule)
            decision = report["decision"]
            self.assertEqual(decision["gpu"], report["gpu"])
            steps = decision["steps"]
            self.assertEqual((steps[0]["first"], steps[-1]["last"]), (1, 50))
            for before, after in zip(steps, steps[1:]):
                self.assertEqual(before["last"] + 1, after["first"])
                self.assertNotEqual(before["recipe"], after["recipe"])
            self.assertEqual([s["recipe"] for s in steps], [p["recipe"] for p in report["schedule"]["phases"]])
            self.assertLessEqual(decision["time_s"], report["budget_s"] * (1 + 1e-9))
            within = {p["kind"]: p for p in report["tuned"][1]["within_budget"]}
            self.assertEqual(decision["error"], within[kind]["error"])
            self.assertEqual(decision["dense_warm_up_error"], within["dense_warmup"]["error"])
            self.assertRegex(decision["text"], r"^steps 1 .*: \d+ s, error [\d.]+; a dense warm-up: [\d.]+$")
            if kind == "three_phase":
                told = [f"{s['first']} to {s['last']} {s['recipe']}" for s in steps]
                self.assertIn("steps " + ", ".join(told) + ": ", decision["text"])
                lines = self.succeeds("tune", "--quick", *line, "--gpu", "H20,H100").stdout.splitlines()
                self.assertEqual(lines[0], "H20: " + decision["text"])
                self.assertTrue(lines[1].startswith("H100 SXM: steps 1 to "), lines[1])
        form = self.tuned(*line, "--format", "xdit")
        ends = [s["recipe"] for s in form["decision"]["steps"]]
        self.assertLessEqual(len(ends), 3)
        best = next(p for p in report["tuned"][1]["within_budget"] if p["kind"] == "general_by_step")
        self.assertGreaterEqual(form["decision"]["error"], best["error"] * (1 - 1e-9))

    def test_equal_recipes_have_no_transition(self):
        line = ["tune", "--quick", "--candidates", "fpsattention", "--resamples", "20", "--budget", "1x"]
        text = self.succeeds(*line, "--csv", "f.csv").stdout
        self.assertTrue(text.startswith("H20: all 50 steps fpsattention: "), text)
        rows = [row.split() for row in text.split("under every weighting\n")[1].split("\n\n")[0].splitlines()[1:]]
        self.assertTrue(rows)
        for row in rows:
            self.assertEqual((row[2:4], row[-1]), (["-", "-"], "fpsattention"), row)
        with open(self.path("f.csv")) as file:
            for point in csv.DictReader(file):
                self.assertEqual((point["alpha1"], point["alpha2"]), ("", ""))

    def test_the_study_says_model_grid_steps_and_recipes(self):
        with open(self.path("own.json"), "w") as file:
            json.dump({"base": "fa3_fp8", "name": "own", "softmax": {"row_sum": "quantized"}}, file)
        self.succeeds("study", "--recipes", "fa3_bf16,own.json", "--model", "wan2.1-1.3b", "--grid", "4,8,8", "--channels",
                      "64", "--prompts", "1", "--steps", "0,49", "--heads", "0", "--rows", "16", "--draws", "2",
                      "--ladder", "none", "-o", "s.h5", "--csv", "s.csv", "--quiet")
        tune = ["tune", "--json", "--resamples", "20"]
        done = self.succeeds(*tune, "--from", "s.h5")
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual((report["model"], report["grid"], report["steps"], report["candidates"]),
                         ("wan2.1-1.3b", [4, 8, 8], 50, ["fa3_bf16", "own"]))
        with open(self.path("own.json"), "w") as file:
            json.dump({"base": "fa3_fp8", "name": "own"}, file)
        done = self.succeeds(*tune, "--from", "s.h5", "--model", "wan2.1-14b", "--resolution", "480p", "--steps", "40",
                             "--candidates", "fa3_bf16,own.json")
        report = json.loads(done.stdout)
        self.assertEqual((report["model"], report["grid"], report["steps"]), ("wan2.1-14b", [21, 30, 52], 40))
        warnings = done.stderr.strip().splitlines()
        self.assertEqual(len(warnings), 4, warnings)
        for warning, words in zip(warnings, (("--model wan2.1-14b", "wan2.1-1.3b"), ("21,30,52", "4,8,8"),
                                             ("--steps 40", "50"), ("own.json", "softmax.row_sum", "quantized"))):
            self.assertTrue(warning.startswith("warning: "), warning)
            for word in words:
                self.assertIn(word, warning)
        self.assertEqual(self.succeeds(*tune, "--from", "s.h5", "--steps", "40", "--quiet").stderr, "")
        done = self.succeeds(*tune, "--from", "s.csv", "--candidates", "fa3_bf16,own.json")
        self.assertIn("names no model: times are of wan2.1-14b", done.stderr)
        self.assertEqual(json.loads(done.stdout)["grid"], [21, 30, 52])

    def test_weights_of_the_user_can_decide(self):
        with open(self.path("w.txt"), "w") as file:
            file.write("\n".join(["1"] * 10 + ["0"] * 40))
        report = self.tuned("--weights", "w.txt", "--per", "step")
        self.assertEqual(report["weights"], "user")
        self.assertEqual({w["name"] for w in report["weightings"]},
                         {"uniform", "sigma", "propagation", "user"})

    def test_times_of_the_user_can_stand_for_a_gpus(self):
        with open(self.path("t.json"), "w") as file:
            json.dump({"about": "work", "dense": 16,
                       "recipes": {"fpsattention": 4, "fpsattention_coarse": 3}}, file)
        report = self.tuned("--times", "t.json", "--budget", "190s", "--steps", "50",
                            "--candidates", "fpsattention,fpsattention_coarse")
        self.assertEqual((report["gpu"], report["budget_s"]), ("work", 190))
        self.assertEqual(sorted(x["step_s"] for x in report["times"][0]["recipes"]), [3, 4, 16])
        uniform = [round(p["time_s"], 6) for p in report["pareto"] if p["kind"] == "uniform"]
        self.assertEqual(uniform[:2], [150, 200])
        every = self.tuned("--times", "t.json")
        self.assertTrue(any("without a time" in note and "sta_bf16" in note
                            for note in every["notes"]))

    def test_schedules_of_other_systems(self):
        for form in ("xdit", "sglang"):
            report = self.tuned("--format", form, "--out", "s.txt", "--resolution", "480p")
            with open(self.path("s.txt")) as file:
                text = file.read()
            if form == "sglang":
                high, low, start, end = text.strip().split(":")
                counts = int(start), int(end)
            else:
                (key, body), = json.loads(text).items()
                self.assertEqual(key, "xdit")
                counts = (body["steps_at_both_ends"],) * 2
            phases = report["schedule"]["phases"]
            self.assertEqual(counts, tuple(next((p[end] for p in phases if end in p), 0)
                                           for end in ("first", "last")))
            cost = json.loads(self.succeeds("cost", "--gpu", "H20", "--model", "wan2.1-14b",
                                            "--resolution", "480p", "--schedule", "s.txt",
                                            "--json").stdout)
            self.assertLessEqual(cost["schedule"]["run_s"], report["tuned"][1]["budget_s"] * 1.0001)

    def test_tensorrt_llms_form_has_a_target(self):
        with open(self.path("s.csv"), "w") as file:
            file.write("prompt,step,steps,sigma,layer,head,branch,recipe,error,sampling_error,guided_error\n")
            for recipe, error in (("fa3_bf16", 0.001), ("subblock", 0.05)):
                for step in range(50):
                    file.write(f"0,{step},50,,0,0,conditional,{recipe},{error / (1 + step)},0,\n")
        shape = ["--gpu", "H20", "--model", "wan2.1-14b", "--resolution", "480p"]
        report = json.loads(self.succeeds("tune", "--from", "s.csv", "--json", "--format", "trtllm", "--budget", "1.3x",
                                          "--out", "t.json", *shape).stdout)
        with open(self.path("t.json")) as file:
            form = json.load(file)["trtllm"]
        self.assertEqual((form["dense"], form["sparse"], form["target_sparsity"]), ("fa3_bf16", "subblock", 0.75))
        self.assertTrue(0 < form["disabled_until"] < 1)
        dense = report["schedule"]["phases"][0]["first"]
        self.assertTrue(0 < dense < 50)
        steps = json.loads(self.succeeds("recipes", "--schedule", "t.json", "--model", "wan2.1-14b", "--json").stdout)
        self.assertEqual([step["recipe"] for step in steps["steps"]], ["fa3_bf16"] * dense + ["subblock"] * (50 - dense))
        cost = json.loads(self.succeeds("cost", "--schedule", "t.json", "--json", *shape).stdout)
        self.assertLessEqual(cost["schedule"]["run_s"], report["tuned"][1]["budget_s"] * 1.0001)

    def test_one_line_for_bad_input(self):
        quick = ["tune", "--quick"]
        self.fails(2, "xdit", arguments=quick + ["--format", "xdot"])
        self.fails(2, "--format", arguments=quick + ["--format", "xdit", "--schedule", "general"])
        self.fails(2, "no candidate selects a share", arguments=quick + ["--format", "trtllm"])
        self.fails(2, "--from", arguments=["tune"])
        self.fails(2, "H20", arguments=quick + ["--gpu", "H21"])
        self.fails(2, "wan", arguments=quick + ["--model", "wan3"])
        self.fails(2, "empty", arguments=quick + ["--candidates", ""])
        self.fails(2, "empty", arguments=quick + ["--candidates", "fpsattention,"])
        self.fails(2, "did not measure", arguments=quick + ["--candidates", "fa2_bf16"])
        self.fails(2, "fastest", arguments=quick + ["--budget", "1s"])
        self.fails(2, "no budget", arguments=quick + ["--budget", "soon"])
        self.fails(3, "nowhere.h5", arguments=["tune", "--from", "nowhere.h5"])
        self.fails(3, "is a folder", arguments=["tune", "--from", "."])
        self.fails(3, "nowhere.json", arguments=quick + ["--times", "nowhere.json"])
        with open(self.path("t.json"), "w") as file:
            file.write('{"about": "", "dense": 1, "recipes": {"fpsattention": 0}}')
        self.fails(3, "t.json", "fpsattention", arguments=quick + ["--times", "t.json"])
        self.fails(2, "--times", arguments=quick + ["--times", "t.json", "--gpu", "H20"])
        with open(self.path("half.csv"), "w") as file:
            file.write("prompt,step,steps,sigma,layer,head,branch,recipe,error,sampling_error,"
                       "guided_error\n")
            for step in range(20):
                file.write(f"0,{step},50,,0,0,conditional,fpsattention,0.1,0,\n")
        self.fails(2, "measures steps 0 to 19", arguments=["tune", "--from", "half.csv"])


if __name__ == "__main__":
    unittest.main()
