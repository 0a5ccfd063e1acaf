# Has karat make small golden files of one recipe and recomputes every stage of every query block from the
# recipe's page:  test_recipes.py RECIPE KARAT FOLDER

import os
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy as np

from check_golden import compare

RECIPE, KARAT, FOLDER = sys.argv[1:4]

# grid (T,H,W), channels, workload, seed, and where not 1, batch and heads. A step of the tensor core
# takes 16 or 32 channels or keys: 40 channels leave a short one. 25x9x3 tokens are more tiles than the
# window of a tiled recipe.
CASES = [
    ("1,1,1", 64, "gaussian", 1),
    ("7,11,13", 64, "video", 2),
    ("5,9,17", 128, "video", 3),
    ("25,9,3", 40, "video", 4),
    ("5,9,17", 40, "ties", 5),
    ("5,9,11", 40, "outliers", 6),
    ("5,9,11", 40, "saturating_p", 7),
    ("5,9,11", 64, "one_hot", 8),
    ("5,9,17", 64, "zero_tiles", 9),
    ("5,9,17", 40, "subnormals", 10),
    ("5,9,17", 40, "dynamic_range", 11),
    ("5,9,11", 40, "tiny_tails", 12),
    ("5,9,11", 40, "equal_keys", 13),
    ("2,3,9", 64, "gaussian", 14, 2, 3),
]


def make(grid, channels, workload, seed, batch=1, heads=1):
    path = os.path.join(FOLDER, f"{RECIPE}_{grid.replace(',', 'x')}_{channels}_{workload}.h5")
    subprocess.run([KARAT, "make", "--recipe", RECIPE, "--grid", grid, "--channels", str(channels),
                    "--workload", workload, "--seed", str(seed), "--batch", str(batch),
                    "--heads", str(heads), "--threads", "1", "--tap", "all", "--quiet",
                    "-o", path], check=True)
    return path


def flip_one_bit(path, dataset, bit=0):
    with h5py.File(path, "r+") as file:
        values = file[dataset][...]
        word = values.view(f"u{values.dtype.itemsize}").reshape(-1)
        word[-1] ^= np.array(1 << bit, word.dtype)
        file[dataset][...] = values


class Page(unittest.TestCase):
    def test_every_stage_is_equal(self):
        for case in CASES:
            with self.subTest(case=case):
                path = make(*case)
                result = compare(path)
                print(RECIPE, *case, sum(result.values.values()), "values", result.first or "equal",
                      flush=True)
                self.assertIsNone(result.first)
                os.remove(path)

    def test_one_flipped_bit_is_found(self):
        sound = make("2,3,9", 40, "video", 20)
        stages = {name: f"stages/{name}" for name in ("q_codes", "k_codes", "v_codes", "l", "o")}
        tap = "stages/tap/0/0/0/"
        stages |= {"a": tap + "a", "s": tap + "s", "m": tap + "m", "p_codes": tap + "p_codes",
                   "l per block": tap + "l", "o per block": tap + "o",
                   "key_token": tap + "key_token", "query_token": tap + "query_token",
                   "order": "order/token_at_position"}
        if RECIPE == "fpsattention":
            stages |= {name: f"stages/{name}" for name in ("q_scale", "k_scale", "v_scale")}
        self.assertIsNone(compare(sound).first)
        for stage, dataset in stages.items():
            with self.subTest(stage=stage):
                self.assert_found(sound, stage, dataset, bit=0)
        self.assert_found(sound, "lse", "stages/lse", bit=2)  # its last bit is free

    def test_the_exit_code_tells(self):
        path = make("1,1,1", 40, "gaussian", 21)
        self.assertEqual(self.exit_code(path), 0)
        flip_one_bit(path, "stages/o")
        self.assertEqual(self.exit_code(path), 1)

    def exit_code(self, path):
        checker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_golden.py")
        return subprocess.run([sys.executable, "-B", checker, path], stdout=subprocess.DEVNULL,
                              check=False).returncode

    def assert_found(self, sound, stage, dataset, bit):
        broken = sound.replace(".h5", "_broken.h5")
        shutil.copyfile(sound, broken)
        flip_one_bit(broken, dataset, bit)
        result = compare(broken)
        self.assertEqual({s: n for s, n in result.differing.items() if n}, {stage: 1})
        self.assertIn(f"first difference: {stage},", result.first)


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    unittest.main(argv=sys.argv[:1])
