# Has karat pick recipes from schedules step by step, compares its choice with what
# docs/schedules.md says and
# recomputes every stage with that recipe's program:  test_schedules.py KARAT FOLDER [NAME...]

import json
import os
import sys
import unittest

import h5py

import schedule as page
from case_files import FOLDER, differs, make, path_of
from check_golden import compare

FRACTIONS = {"name": "careful start",
             "phases": [{"until": 0.3, "recipe": "fa3_bf16"},
                        {"until": 0.58, "recipe": "fpsattention_fine"},
                        {"recipe": {"base": "fpsattention", "mask": {"window": [1, 3, 1]}}}]}
NOISE = {"name": "noise",
         "phases": [{"sigma_from": 0.97, "recipe": "sta_bf16"},
                    {"until": 0.5, "recipe": "sage2_sm90"},
                    {"sigma_from": 0.5, "recipe": "fa3_fp8"},
                    {"recipe": "fpsattention"}]}
PAPER = {"base": "fpsattention", "alpha": [0.2, 0.7], "g": [[24, 32, 32], [6, 4, 8], [3, 4, 4]],
         "W": [[3, 3, 1], [1, 1, 3], [3, 1, 1]]}


class Schedules(unittest.TestCase):
    def golden(self, schedule, step, steps, sigma=None, **options):
        """The file karat makes, and the program of the recipe it must have picked."""
        path = path_of("schedule", "json")
        with open(path, "w") as file:
            json.dump(schedule, file)
        path = make(None, "7,9,9", 32, heads=1, schedule=path, step=step, steps=steps, sigma=sigma, **options)
        with h5py.File(path) as golden:
            picked = json.loads(golden.attrs["case"])["schedule"]
        if "model" in options:
            sigma = page.wan_sigma(step, steps)
            self.assertAlmostEqual(picked.pop("sigma"), sigma, delta=1e-14)
        phase, recipe = page.pick(schedule, step, steps, sigma)
        expected = {"name": schedule.get("name", "schedule.json"), "step": step, "steps": steps, "phase": phase}
        if sigma is not None and "model" not in options:
            expected["sigma"] = sigma
        self.assertEqual(picked, expected)
        return path, page.program_of(recipe)

    def check(self, *arguments, **options):
        self.assertIsNone(compare(*self.golden(*arguments, **options)).first)

    def test_fractions_count_as_written(self):
        for step, steps in ((0, 10), (2, 10), (3, 10), (14, 50), (15, 50), (28, 50), (29, 50), (0, 3)):
            with self.subTest(step=step, steps=steps):
                self.check(FRACTIONS, step, steps)

    def test_noise_levels(self):
        for step, sigma in ((0, 0.97), (0, 0.96), (5, 0.5), (5, 0.4), (4, 0.1)):
            with self.subTest(step=step, sigma=sigma):
                self.check(NOISE, step, 10, sigma)

    def test_the_models_noise_levels(self):
        for step in (6, 7, 8, 24, 25, 41, 42):
            with self.subTest(step=step):
                self.check(NOISE, step, 50, model="wan2.1-14b")

    def test_the_papers_three_phases(self):
        for step in (9, 10, 34, 35):
            with self.subTest(step=step):
                self.check(PAPER, step, 50)

    def test_another_phase_is_found(self):
        path, _ = self.golden(PAPER, 40, 50)
        (_, right), (_, window) = page.pick(PAPER, 40, 50), page.pick(PAPER, 20, 50)
        self.assertFalse(differs(path, page.program_of(right)))
        for mistaken in (window, right | {"mask": window["mask"]}, right | {"q": window["q"]}):
            self.assertTrue(differs(path, page.program_of(mistaken)), mistaken)


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
