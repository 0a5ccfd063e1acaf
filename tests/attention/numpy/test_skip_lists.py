# Runs karat over denoising steps whose lists of tiles depend on the step before, and the NumPy
# program of lite_fp8 beside it: outputs and lists must be equal.  test_skip_lists.py KARAT FOLDER

import json
import os
import struct
import subprocess
import sys
import unittest

import numpy as np

from formats import F32, bf16_bits
from quantise import bf16_of
from skip import LiteFp8
from video import Grid

KARAT, FOLDER = sys.argv[1:3]
DTYPES = {"uint16": "BF16", "uint8": "U8", "int32": "I32"}


class SmallTiles(LiteFp8):
    QUERY_BLOCK, KEY_BLOCK = 32, 32
    THRESHOLD, DECIDING_ROWS = F32(2), 16


SMALL_TILES = {"base": "lite_fp8", "block": {"q": 32, "k": 32}, "skip": {"threshold": 2, "rows": 16}}


def path_of(name):
    return os.path.join(FOLDER, name)


def write(name, arrays):
    header, data = {}, b""
    for key, array in arrays.items():
        header[key] = {"dtype": DTYPES[str(array.dtype)], "shape": array.shape,
                       "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    with open(path_of(name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    return path_of(name)


def read(name, key, dtype):
    with open(path_of(name), "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(size))[key]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        return np.frombuffer(file.read(end - begin), dtype).reshape(entry["shape"])


def karat(*words):
    return subprocess.run([KARAT, *words], check=False, capture_output=True, text=True)


def step_inputs(tokens, channels, heads, step):
    """A scene that settles: neighbours look alike, and the noise is less with every step."""
    noise = np.random.default_rng(step)
    shape = 1, heads, tokens, channels
    alike = 4 * (np.arange(tokens)[:, None] // 32 == np.arange(channels))
    scenes = {"q": alike, "k": alike, "v": 0}
    return {name: bf16_of((scene + noise.standard_normal(shape) * 3 / (1 + step)).astype(F32))
            for name, scene in scenes.items()}


class Run(unittest.TestCase):
    def steps(self, program, recipe, grid, channels, heads, count, standing=None):
        """Both sides over `count` steps; the tiles visited, step by step."""
        tokens = int(np.prod(grid))
        blocks = [len(program(Grid(grid, text=0), *(np.zeros((tokens, channels), F32),) * 3, bf16_of).query_blocks),
                  -(-tokens // program.KEY_BLOCK)]
        standing = standing or {}
        orders = [f"--{name}={write(f'{name}.safetensors', mask)}" for name, mask in standing.items()]
        of_grid = "--grid=" + ",".join(map(str, grid))
        first = karat("mask", f"--recipe={recipe}", of_grid, f"--skip-lists={path_of('1.safetensors')}", *orders)
        self.assertEqual(first.returncode, 0, first.stderr)
        lists = np.ones((1, heads, *blocks), np.uint8)
        lists = self.ordered(lists, standing)
        first = read("1.safetensors", "mask_id", np.uint8)
        np.testing.assert_array_equal(np.broadcast_to(first, lists.shape), lists)
        density = []
        for step in range(1, count + 1):
            x = step_inputs(tokens, channels, heads, step)
            inputs = write("inputs.safetensors", {name: bf16_bits(values) for name, values in x.items()})
            made = karat("attend", f"--recipe={recipe}", f"--in={inputs}", of_grid,
                         f"--mask={path_of(f'{step}.safetensors')}",
                         f"--skip-lists={path_of(f'{step + 1}.safetensors')}", *orders,
                         "--threads=1", "-o", path_of("o.safetensors"))
            self.assertEqual(made.returncode, 0, made.stderr)
            outputs = read("o.safetensors", "o", np.uint16)
            density.append(lists.mean())
            following = lists.copy()
            for h in range(heads):
                head = program(Grid(grid, text=0), *(x[name][0, h] for name in "qkv"), bf16_of)
                kept = np.repeat(np.repeat(lists[0, h], program.QUERY_BLOCK, 0)[:tokens],
                                 program.KEY_BLOCK, 1)[:, :tokens] != 0
                head.keep(kept, "descending")
                for index in range(blocks[0]):
                    block = head.run(index)
                    np.testing.assert_array_equal(outputs[0, h, block.begin:block.end], block.out)
                    for begin, _ in head.leaving(index):
                        following[0, h, index, begin // program.KEY_BLOCK] = 0
            lists = self.ordered(following, standing)
            np.testing.assert_array_equal(read(f"{step + 1}.safetensors", "mask_id", np.uint8), lists)
        return density

    def ordered(self, lists, standing):
        if "must-do" in standing:
            lists = lists | standing["must-do"]["mask_id"]
        if "must-skip" in standing:
            lists = lists & (1 - standing["must-skip"]["mask_id"])
        return lists

    def recipe(self):
        with open(path_of("small_tiles.json"), "w") as file:
            json.dump({"name": "small_tiles", **SMALL_TILES}, file)
        return path_of("small_tiles.json")

    def test_five_steps(self):
        density = self.steps(SmallTiles, self.recipe(), (5, 7, 5), 16, 2, 5)
        print("visited", *(f"{share:.3f}" for share in density), flush=True)
        self.assertEqual(density[0], 1)
        self.assertEqual(density, sorted(density, reverse=True))
        self.assertLess(density[-1], density[1])
        self.assertGreater(density[-1], 0.2)

    def test_standing_lists(self):
        size = np.array([32, 32], np.int32)
        do, skip = np.zeros((2, 6, 6), np.uint8)
        do[:, 0] = do[3, 3] = skip[1:, 4] = 1
        standing = {"must-do": {"mask_id": do, "block_size": size},
                    "must-skip": {"mask_id": skip, "block_size": size}}
        free, density = (self.steps(SmallTiles, self.recipe(), (5, 7, 5), 16, 1, 3, lists)
                         for lists in (None, standing))
        self.assertNotEqual(free, density)
        self.assertLess(density[0], 1)

    def test_standing_lists_of_each_head(self):
        size = np.array([32, 32], np.int32)
        do, skip = np.zeros((2, 1, 2, 6, 6), np.uint8)
        do[0, 0, :, 0] = do[0, 1, 3, 3] = skip[0, 0, 1:, 4] = skip[0, 1, 2, 1:5] = 1
        density = self.steps(SmallTiles, self.recipe(), (5, 7, 5), 16, 2, 3,
                             {"must-do": {"mask_id": do, "block_size": size},
                              "must-skip": {"mask_id": skip, "block_size": size}})
        self.assertEqual(density[0], 1 - (5 + 4) / 72)
        heads = ["mask", "--recipe=lite_fp8", "--block=32,32", "--grid=5,7,5",
                 f"--mask={path_of('must-do.safetensors')}", "--head"]
        self.assertEqual(karat(*heads, "1").returncode, 0)
        refused = karat(*heads, "2")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--head: 2 is not among the mask's heads", refused.stderr)

    def test_masks_finer_than_tiles_are_refused(self):
        with open(path_of("window.json"), "w") as file:
            json.dump({"base": "lite_fp8", "mask": {"kind": "window", "tile": [2, 2, 2], "window": [3, 1, 3]},
                       "block": {"q": 32, "k": 32}}, file)
        with open(path_of("causal.json"), "w") as file:
            json.dump({"name": "causal", **SMALL_TILES, "mask": {"causal": "on"}}, file)
        pairs = np.ones((175, 175), np.uint8)
        pairs[40, 3] = 0
        fine = write("pairs.safetensors", {"mask": pairs})
        picture, lists = path_of("window.svg"), path_of("none.safetensors")
        for words in ([f"--recipe={path_of('window.json')}"], [f"--recipe={self.recipe()}", f"--mask={fine}"]):
            refused = karat("mask", *words, "--grid=5,7,5", f"--skip-lists={lists}", f"--svg={picture}")
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn("keeps a part of the tile of query block", refused.stderr)
            self.assertFalse(os.path.exists(picture) or os.path.exists(lists))
        step = step_inputs(175, 16, 1, 1)
        inputs = write("inputs.safetensors", {name: bf16_bits(values) for name, values in step.items()})
        refused = karat("attend", f"--recipe={self.recipe()}", f"--in={inputs}", "--grid=5,7,5", f"--mask={fine}",
                        f"--skip-lists={lists}", "-o", path_of("o.safetensors"))
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("query block 1 and key block 0", refused.stderr)
        causal = karat("mask", f"--recipe={path_of('causal.json')}", "--grid=5,7,5",
                       f"--skip-lists={path_of('causal.safetensors')}")
        self.assertEqual(causal.returncode, 0, causal.stderr)
        np.testing.assert_array_equal(read("causal.safetensors", "mask_id", np.uint8)[0, 0],
                                      np.tri(6, dtype=np.uint8))

    def test_the_presets_own_tiles(self):
        self.steps(LiteFp8, "lite_fp8", (5, 5, 9), 16, 1, 2)

    def test_contradictions_are_refused(self):
        size = np.array([32, 32], np.int32)
        both = write("both.safetensors", {"mask_id": np.eye(6, dtype=np.uint8), "block_size": size})
        recipe = self.recipe()
        words = ["mask", f"--recipe={recipe}", "--grid=5,7,5", f"--must-do={both}", f"--must-skip={both}"]
        refused = karat(*words, f"--skip-lists={path_of('none.safetensors')}")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("must be both done and skipped", refused.stderr)
        self.assertIn("--skip-lists", karat(*words).stderr)
        other = karat("mask", "--recipe=fa3_fp8", "--grid=5,7,5", f"--skip-lists={path_of('none.safetensors')}")
        self.assertIn("lite_fp8", other.stderr)
        self.assertFalse(os.path.exists(path_of("none.safetensors")))


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    unittest.main(argv=sys.argv[:1])
