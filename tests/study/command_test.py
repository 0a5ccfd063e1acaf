"""karat study as a user drives it: killed and continued, its files, its errors."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from karat import KARAT, Case, write  # noqa: E402

RECIPE = {"base": "fpsattention", "name": "small", "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},
          "q": {"tile": [2, 4, 4]}, "k": {"tile": [2, 4, 4]}, "block": {"q": 16, "k": 32},
          "pv": {"promote_every": 32}}
SMALL = ["--grid", "4,16,24", "--channels", "32", "--prompts", "3", "--steps", "0,25,49", "--heads", "0,1",
         "--rows", "64", "--draws", "8", "--recipes", "small.json", "--threads", "2"]


class Study(Case):
    def setUp(self):
        super().setUp()
        with open(self.path("small.json"), "w") as file:
            json.dump(RECIPE, file)

    def bytes_of(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_killed_at_any_moment(self):
        begin = time.monotonic()
        self.succeeds("study", *SMALL, "--out", "whole.h5", "--csv", "whole.csv", "--html", "whole.html")
        seconds = time.monotonic() - begin
        finished = 0
        for share in (0.15, 0.3, 0.45, 0.2):
            running = subprocess.Popen([KARAT, "study", *SMALL, "--out", "killed.h5"], cwd=self.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(share * seconds)
            running.send_signal(signal.SIGKILL)
            running.wait()
            if os.path.exists(self.path("killed.h5.journal")):
                lines = self.bytes_of("killed.h5.journal").count(b"\n")
                self.assertGreaterEqual(lines, finished)
                finished = lines
            else:
                finished = 0  # killed before its first line, or already done
        done = self.succeeds("study", *SMALL, "--out", "killed.h5")
        if finished > 1:
            self.assertIn("continuing: %d of 18 cells" % (finished - 1), done.stderr)
        self.assertEqual(self.bytes_of("killed.h5"), self.bytes_of("whole.h5"))
        self.assertNotIn("killed.h5.journal", self.files())
        again = self.succeeds("study", *SMALL, "--out", "whole.h5", "--json")
        self.assertIn("holds this study already", again.stderr)
        report = json.loads(again.stdout)
        self.assertEqual((report["schema"], report["version"], report["cells"]), ("karat.study", 1, 18))
        self.check_files(report)

    def check_files(self, report):
        with open(self.path("whole.csv")) as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 36)
        both = np.mean([float(row["error"]) for row in rows])
        self.assertAlmostEqual(both, report["recipes"][0]["quantities"]["both"]["value"], places=12)
        with h5py.File(self.path("whole.h5")) as file:
            self.assertEqual(file.attrs["schema"], "karat-study/1")
            names = json.loads(file["figures"].attrs["quantities"])
            chosen = np.array(file["figures/quantity"]) == names.index("both")
            self.assertAlmostEqual(np.array(file["figures/value"])[chosen].mean(), both, places=12)
            self.assertEqual(len(file["sensitivity/error"]), 36)
        page = self.bytes_of("whole.html").decode()
        self.assertIn("karat study --grid 4,16,24", page)
        for word in ("http:", "https:", "<script", "src="):
            self.assertNotIn(word, page.replace("http://www.w3.org/2000/svg", ""))

    def test_plan(self):
        self.succeeds("study", "--plan", "plan.json", "--model", "wan2.1-14b", "--resolution", "720p")
        with open(self.path("plan.json")) as file:
            plan = json.load(file)
        self.assertEqual((plan["schema"], plan["version"]), ("karat.study_plan", 1))
        self.assertEqual(plan["branches"], ["cond", "uncond"])
        self.assertEqual(len(plan["cells"]), 40)
        self.succeeds("study", "--plan", "one.json", "--conditional-only")
        with open(self.path("one.json")) as file:
            one = json.load(file)
        self.assertEqual(one["branches"], ["cond"])
        self.fails(2, "--sweep", "--plan", arguments=["study", "--plan", "p.json", "--sweep", "p"])
        self.fails(2, "--cells", "--plan", arguments=["study", "--cells", "3", "--out", "a.h5"])

    def test_gradients(self):
        backward = {"loop": "two_kernels", "plain": "bf16", "p_format": "e4m3", "p_scale_rule": "given",
                    "p_multiplier": 448, "do_format": "bf16", "ds_format": "bf16"}
        with open(self.path("small.json"), "w") as file:
            json.dump({**RECIPE, "backward": backward}, file)
        arguments = ["study", "--backward", "--grid", "4,8,8", "--channels", "16", "--prompts", "2", "--steps", "25",
                     "--heads", "0", "--rows", "32", "--draws", "4", "--recipes", "small.json", "--threads", "2"]
        made = self.succeeds(*arguments, "--out", "g.h5", "--figures", "g.csv", "--html", "g.html")
        self.assertIn("dO generated", made.stdout)
        again = self.succeeds(*arguments, "--out", "g.h5", "--json")
        self.assertIn("holds this study already", again.stderr)
        report = json.loads(again.stdout)
        self.assertEqual((report["schema"], report["version"], report["pass"], report["output_gradient"]),
                         ("karat.study", 1, "backward", "generated"))
        with open(self.path("g.csv")) as file:
            rows = list(csv.DictReader(file))
        quantities = report["recipes"][0]["quantities"]
        for name in ("dq.both", "dk.alone.ds", "dv.cosine.alone_dense.p"):
            values = [float(row["value"]) for row in rows if row["quantity"] == name]
            self.assertEqual(len(values), 2)
            self.assertAlmostEqual(np.mean(values), quantities[name]["value"], places=12)
        self.fails(2, "--csv", "--backward", arguments=[*arguments, "--out", "a.h5", "--csv", "a.csv"])
        self.fails(2, "fpsattention", "has no backward",
                   arguments=["study", "--backward", "--recipes", "fpsattention", "--out", "a.h5"])
        self.fails(2, "--sweep", "edits a backward", "--backward",
                   arguments=["study", "--sweep", "ds", "--recipes", "small.json", "--out", "a.h5"])
        self.fails(2, "--sweep", "no edit", arguments=["study", "--backward", "--sweep", "ds", "--recipes",
                                                       "fpsattention", "--out", "a.h5"])
        self.fails(3, "sensitivity", arguments=["tune", "--from", "g.h5"])

    def test_one_line_for_what_is_wrong(self):
        self.fails(2, "--steps", arguments=["study", "--steps", ",", "--out", "a.h5"])
        self.fails(2, "steps", "0..49", arguments=["study", "--steps", "50", "--out", "a.h5"])
        self.fails(2, "recipes", "empty", arguments=["study", "--recipes", "", "--out", "a.h5"])
        self.fails(2, "out", "missing", arguments=["study"])
        self.fails(2, "--ladder", arguments=["study", "--ladder", "other", "--out", "a.h5"])
        self.fails(2, "--grid", "--capture", arguments=["study", "--capture", ".", "--grid", "1,1,1",
                                                        "--out", "a.h5"])
        self.fails(3, "nowhere", arguments=["study", "--capture", "nowhere", "--out", "a.h5"])
        self.fails(3, "no .safetensors", arguments=["study", "--capture", ".", "--out", "a.h5"])
        os.mkdir(self.path("capture"))
        row = np.ones((6, 8), np.float32)
        names = ["p0.s0.l0.h%d.cond.%s" % (head, tensor) for head in (0, 1) for tensor in "qkv"]
        write(self.path("capture/a.safetensors"), {name: ("F32", row) for name in names[:-1]})
        self.fails(3, "grid", "missing", arguments=["study", "--capture", "capture", "--out", "a.h5"])
        self.assertNotIn("a.h5", self.files())


if __name__ == "__main__":
    unittest.main()
