# Has karat make small golden files of every preset and recomputes every stage of every query block
# from the recipe's page:  test_recipes.py KARAT PAGES FOLDER [RECIPE...]
# Every case of every recipe with KARAT_LONG=1. Ordinarily one recipe of each kind of arithmetic (and a
# recipe named on the command line) gets every case, the others THREE and a third of SPARSE.

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy as np

from check_golden import compare
from forward_presets import forward_presets
from formats import bf16_bits
from programs import EDITED, PROGRAMS

KARAT, PAGES, FOLDER = sys.argv[1:4]
PRESETS = [r["name"] for r in json.loads(subprocess.run([KARAT, "recipes", "--json"], check=True,
                                                        capture_output=True).stdout)["recipes"]]
LONG = os.environ.get("KARAT_LONG") == "1"
NAMED = sys.argv[4:]
CHOSEN = NAMED or [name for name in forward_presets(KARAT) if name in PROGRAMS] + list(EDITED)

# grid (T,H,W), channels, workload, seed, and where not 1, batch and heads. 273 and 225 tokens leave
# a short last block whatever the block's size; the one key left of 225 by blocks of 224 stands
# alone. A step of the tensor core takes 16 or 32 channels or keys: 40 channels leave a short one.
EVERYWHERE = [
    ("1,1,1", 64, "gaussian", 1),
    ("3,7,13", 128, "video", 2),
    ("5,5,9", 40, "outliers", 3),
    ("5,5,9", 40, "zero_tiles", 4),
    ("2,3,9", 64, "gaussian", 5, 2, 3),
]
# One key alone; a short last block and a short step of the tensor core; several heads.
THREE = [EVERYWHERE[0], EVERYWHERE[2], EVERYWHERE[4]]
# For one recipe of each kind of arithmetic.
ADVERSARIAL = [
    ("5,5,9", 40, "ties", 11),
    ("5,5,9", 40, "saturating_p", 12),
    ("5,5,9", 64, "one_hot", 13),
    ("5,5,9", 40, "subnormals", 14),
    ("5,5,9", 40, "dynamic_range", 15),
    ("5,5,9", 40, "tiny_tails", 16),
    ("5,5,9", 40, "equal_keys", 17),
]
ADVERSARIES = ["attn_qat_nvfp4", "dense_f32", "fa3_fp8_lazy_rescale", "fpsattention", "sage1", "sage2_sm90",
               "sage2pp", "sage_bwd_int8", "sta_bf16"]
# For edited recipes: several blocks or clusters of which some are left out.
EDITED_CASES = [("9,9,7", 64, "video", 31), ("5,9,7", 40, "outliers", 32)]
# More tiles than a window on every axis, several scale tiles; more positions than a band.
SPARSE = [("25,9,3", 40, "video", 21), ("7,3,17", 64, "video", 22), ("1,49,2", 32, "video", 23),
          ("1,2,33", 32, "video", 24)]
ROTATED = ["fa3_fp8_block_hadamard", "rainfusion_fp8"]  # takes powers of two: 32 channels for 40


def cases(recipe):
    if recipe in EDITED:
        rotated = EDITED[recipe][1]["base"] in ROTATED
        return [(grid, 64 if rotated else channels, *rest) for grid, channels, *rest in EDITED_CASES]
    if recipe == "svg2":  # hundreds of clusters: as many blocks as tokens
        return [("1,1,1", 64, "gaussian", 1), ("2,5,7", 40, "video", 2), ("2,2,3", 64, "outliers", 3, 2, 3)]
    about = described(recipe)
    left_out = about["mask"]["kind"] != "none" or about["predict"]["rule"] == "means"
    whole = LONG or recipe in ADVERSARIES or recipe in NAMED
    chosen = EVERYWHERE if whole else THREE
    chosen = chosen + (ADVERSARIAL if recipe in ADVERSARIES else [])
    chosen = chosen + ((SPARSE if whole else SPARSE[PRESETS.index(recipe) % 3::3]) if left_out else [])
    return [(grid, 32 if recipe in ROTATED and channels == 40 else channels, *rest)
            for grid, channels, *rest in chosen]


def described(recipe):
    return json.loads(subprocess.run([KARAT, "recipes", recipe, "--json"], check=True,
                                     capture_output=True).stdout)


def text_of(page):
    with open(os.path.join(PAGES, page)) as file:
        return file.read()


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.M)
    return [re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings]


def recipe_argument(recipe):
    """A preset's name, or a file of the edited recipe."""
    if recipe not in EDITED:
        return recipe
    path = os.path.join(FOLDER, f"{recipe}.json")
    with open(path, "w") as file:
        json.dump({"name": recipe, **EDITED[recipe][1]}, file)
    return path


def make(recipe, grid, channels, workload, seed, batch=1, heads=1):
    path = os.path.join(FOLDER, f"{recipe}_{grid.replace(',', 'x')}_{channels}_{workload}.h5")
    subprocess.run([KARAT, "make", "--recipe", recipe_argument(recipe), "--grid", grid, "--channels", str(channels),
                    "--workload", workload, "--seed", str(seed), "--batch", str(batch),
                    "--heads", str(heads), "--threads", "1", "--tap", "all", "--quiet",
                    "-o", path], check=True)
    return path


def special_inputs():
    """BF16 q, k, v of 4x8x8 tokens and 64 channels: a mean of K just past a tie of BF16, zeros of either sign, a
    channel of V whose scale would flush to zero and one that just does not."""
    rng = np.random.default_rng(7)
    q, k, v = (rng.standard_normal((256, 64)).astype(np.float32) for _ in range(3))
    k[:, 0] = 0
    k[:4, 0] = 128, 128, 1, 2.0**-30
    v[:, 3] = 0
    v[::2, 3] = -0.0
    v[:, 5] *= 1e-38
    v[:, 6] *= 1e-35
    q[:64] = 0
    q[:64:2] = -0.0
    header, data = {}, b""
    for name, x in (("q", q), ("k", k), ("v", v)):
        bits = bf16_bits(x).tobytes()
        header[name] = {"dtype": "BF16", "shape": [1, 1, *x.shape],
                        "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    path = os.path.join(FOLDER, "special.safetensors")
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)
    return path


def flip_one_bit(path, dataset, bit=0):
    with h5py.File(path, "r+") as file:
        values = file[dataset][...]
        word = values.view(f"u{values.dtype.itemsize}").reshape(-1)
        word[-1] ^= np.array(1 << bit, word.dtype)
        file[dataset][...] = values


class Presets(unittest.TestCase):
    def test_every_preset_has_a_page_and_a_program(self):
        for recipe in PRESETS:
            with self.subTest(recipe=recipe):
                self.assertTrue(os.path.exists(os.path.join(PAGES, f"{recipe}.md")))
                self.assertIn(recipe, PROGRAMS)
        self.assertEqual(set(PROGRAMS) - set(PRESETS), set())

    def test_every_link_of_a_page_leads_somewhere(self):
        pages = [name for name in os.listdir(PAGES) if name.endswith(".md")]
        for page in pages:
            for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text_of(page)):
                with self.subTest(page=page, link=target, anchor=anchor):
                    self.assertTrue(os.path.exists(os.path.join(PAGES, target or page)))
                    if anchor:
                        self.assertIn(anchor, anchors(target or page))


class Page(unittest.TestCase):
    def test_every_stage_is_equal(self):
        for recipe in CHOSEN:
            for case in cases(recipe):
                with self.subTest(recipe=recipe, case=case):
                    path = make(recipe, *case)
                    result = compare(path)
                    print(recipe, *case, sum(result.values.values()), "values",
                          result.first or "equal", flush=True)
                    self.assertIsNone(result.first)
                    os.remove(path)

    def test_means_past_a_tie_and_zeros_of_either_sign(self):
        inputs = special_inputs()
        for recipe in {"deepseek_fp8", "fa3_fp8", "fa3_fp8_block_hadamard", "fpsattention", "sage1",
                       "sage2_sm90"}.intersection(CHOSEN):
            with self.subTest(recipe=recipe):
                path = os.path.join(FOLDER, f"{recipe}_special.h5")
                subprocess.run([KARAT, "make", "--recipe", recipe, "--in", inputs, "--grid", "4,8,8",
                                "--threads", "1", "--tap", "all", "--quiet", "-o", path], check=True)
                self.assertIsNone(compare(path).first)

    def test_one_flipped_bit_is_found(self):
        sound = make("fpsattention", "2,3,9", 40, "video", 20)
        stages = {name: f"stages/{name}" for name in ("q_codes", "k_codes", "v_codes", "q_scale",
                                                      "k_scale", "v_scale", "l", "o")}
        tap = "stages/tap/0/0/0/"
        stages |= {"a": tap + "a", "s": tap + "s", "m": tap + "m", "p_codes": tap + "p_codes",
                   "l per block": tap + "l", "o per block": tap + "o",
                   "key_token": tap + "key_token", "query_token": tap + "query_token",
                   "order": "order/token_at_position"}
        self.assertIsNone(compare(sound).first)
        for stage, dataset in stages.items():
            with self.subTest(stage=stage):
                self.assert_found(sound, stage, dataset, bit=0)
        self.assert_found(sound, "lse", "stages/lse", bit=2)  # its last bit is free

    def test_the_exit_code_tells(self):
        path = make("sta_bf16", "1,1,1", 40, "gaussian", 21)
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
