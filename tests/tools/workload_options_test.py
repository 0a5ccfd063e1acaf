"""Masks from files, text behind the video, shared heads of K and V, causal: against plain NumPy."""
import json
import unittest

import h5py
import numpy as np

from forward_presets import forward_presets
from karat import KARAT, Case, read, write

GRID = (4, 9, 7)
TOKENS = 4 * 9 * 7


def wide(codes):
    if codes.dtype.kind == "f":
        return codes.astype(np.float64)
    return (codes.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def attention(q, k, v, keep):
    """Rows without keys are 0."""
    logits = np.where(keep, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    top = logits.max(1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = weights.sum(1, keepdims=True)
    return np.divide(weights @ v, total, out=np.zeros_like(v[: len(q)]), where=total > 0)


class WorkloadOptions(Case):
    def made(self, *options, recipe="flex_bf16"):
        """Makes, attends on the inputs, checks; returns the golden file's inputs, truth and outputs."""
        self.succeeds("make", "--recipe", recipe, "--channels", 32, *options, "-o", "g.h5", "--quiet")
        self.succeeds("check", "g.h5", "g.h5")
        with h5py.File(self.path("g.h5")) as file:
            arrays = {n: file["inputs/" + n][:] for n in "qkv"}
            arrays["truth"] = file["truth/sparse_o"][:]
            arrays["o"] = wide(file["stages/o"][:])
        return arrays

    def compare(self, arrays, keeps):
        heads = arrays["q"].shape[1]
        group = heads // arrays["k"].shape[1]
        for h in range(heads):
            q, k, v = (wide(arrays[n][0, h if n == "q" else h // group]) for n in "qkv")
            expected = attention(q, k, v, keeps[h])
            np.testing.assert_allclose(arrays["truth"][0, h], expected, rtol=1e-9, atol=1e-12)
            error = np.linalg.norm(arrays["o"][0, h] - expected) / np.linalg.norm(expected)
            self.assertLess(error, 0.01)

    def attend_again(self, *options):
        """The command line alone, given the inputs and the mask once more, gives the same bits."""
        self.succeeds("inspect", "g.h5", "--export", "ex", "--quiet")
        self.succeeds("attend", "--recipe", "ex/recipe.json", "--in", "ex/inputs.safetensors", *options,
                      "-o", "c.safetensors", "--quiet")
        self.succeeds("check", "g.h5", "c.safetensors")

    def test_a_boolean_matrix_in_token_order(self):
        keep = np.random.default_rng(1).random((TOKENS, TOKENS)) < 0.3
        keep[17] = False
        np.save(self.path("m.npy"), keep)
        arrays = self.made("--grid", "4,9,7", "--mask", "m.npy", "--heads", 2)
        self.compare(arrays, [keep, keep])
        self.assertTrue((arrays["o"][0, :, 17] == 0).all())
        self.attend_again("--mask", "m.npy")

    def test_a_matrix_for_every_head(self):
        keep = np.random.default_rng(2).random((1, 2, TOKENS, TOKENS)) < 0.3
        write(self.path("m.safetensors"), {"mask": ("U8", keep.astype(np.uint8))})
        arrays = self.made("--grid", "4,9,7", "--mask", "m.safetensors", "--heads", 2,
                           recipe="fpsattention")
        for h in range(2):
            q, k, v = (wide(arrays[n][0, h]) for n in "qkv")
            np.testing.assert_allclose(arrays["truth"][0, h], attention(q, k, v, keep[0, h]), rtol=1e-9,
                                       atol=1e-12)
        self.attend_again("--mask", "m.safetensors")
        self.fails(2, "1 x 2 heads", arguments=["attend", "--recipe", "flex_bf16", "--grid", "4,9,7",
                                                "--heads", 3, "--mask", "m.safetensors", "-o", "x"])
        self.fails(2, "tokens", arguments=["attend", "--recipe", "flex_bf16", "--grid", "4,9,8",
                                           "--heads", 2, "--mask", "m.safetensors", "-o", "x"])

    def test_blockmask_arrays_are_the_mask_they_came_from(self):
        """Tiles of 384 tokens are three blocks of 128: no partial ones, so the arrays say all."""
        self.succeeds("mask", "--grid", "12,16,16", "--tile", "6,8,8", "--window", "1,1,1",
                      "--blockmask", "b.safetensors")
        recipe = {"base": "flex_bf16", "name": "r", "mask": {"window": [1, 1, 1]}}
        with open(self.path("r.json"), "w") as file:
            json.dump(recipe, file)
        case = ["--grid", "12,16,16", "--channels", 32, "--quiet"]
        self.succeeds("attend", "--recipe", "r.json", *case, "-o", "a.safetensors")
        self.succeeds("attend", "--recipe", "flex_bf16", "--mask", "b.safetensors", *case, "-o",
                      "b2.safetensors")
        np.testing.assert_array_equal(read(self.path("a.safetensors"))["o"][1],
                                      read(self.path("b2.safetensors"))["o"][1])
        report = json.loads(self.succeeds("mask", "--grid", "12,16,16", "--recipe", "flex_bf16", "--mask",
                                          "b.safetensors", "--json").stdout)
        self.assertAlmostEqual(report["density"], 1 / 8)

    def test_masks_without_meaning(self):
        arrays = {"kv_num_blocks": ("I32", np.ones((1, 1, 2), np.int32)),
                  "kv_indices": ("I32", np.zeros((1, 1, 2, 2), np.int32))}
        pairs = {"mask": ("U8", np.ones((TOKENS, TOKENS), np.uint8))}
        wrong = {"full_kv_num_blocks": ("I32", np.ones((1, 1, 2), np.int32)),
                 "full_kv_indices": ("I32", np.zeros((1, 1, 2, 1), np.int32))}

        def refused(code, word, tensors):
            write(self.path("m.safetensors"), tensors)
            self.fails(code, word, arguments=["attend", "--recipe", "flex_bf16", "--grid", "4,9,7",
                                              "--mask", "m.safetensors", "-o", "x"])
        refused(2, "differ in size", arrays | pairs | wrong)
        refused(2, "partial blocks", arrays)
        refused(2, "two numbers", arrays | {"block_size": ("I32", np.ones(3, np.int32))})
        refused(2, "kv_indices", {"kv_num_blocks": arrays["kv_num_blocks"]})
        refused(2, "holds no mask", {"x": ("F32", np.ones(3, np.float32))})
        refused(2, "dimensions", {"mask": ("U8", np.ones(9, np.uint8))})
        refused(2, "store bool", {"mask": ("F32", np.ones((252, 252), np.float32))})
        refused(3, "", arrays | pairs | {"kv_indices": ("I32", np.full((1, 1, 2, 2), 7, np.int32))})
        self.fails(2, "--step", arguments=["attend", "--recipe", "sta_bf16", "--grid", "4,9,7", "--mask",
                                           "s.json", "-o", "x"])

    def test_windows_of_a_strategy(self):
        with open(self.path("s.json"), "w") as file:
            json.dump({"3_5_0": [1, 1, 1], "3_5_1": [1, 3, 1]}, file)
        recipe = {"base": "sta_bf16", "name": "r", "mask": {"tile": [2, 3, 7]}}
        with open(self.path("r.json"), "w") as file:
            json.dump(recipe, file)
        case = ["--grid", "4,9,7", "--channels", 32, "--quiet"]
        self.made("--grid", "4,9,7", "--heads", 2, "--mask", "s.json", "--step", 3, "--layer", 5,
                  recipe="r.json")
        with h5py.File(self.path("g.h5")) as file:
            o = file["stages/o"][0]
        for head, window in enumerate(([1, 1, 1], [1, 3, 1])):
            recipe["mask"]["window"] = window
            with open(self.path("w.json"), "w") as file:
                json.dump(recipe, file)
            self.succeeds("attend", "--recipe", "w.json", *case, "--head", head, "-o", "o.safetensors")
            np.testing.assert_array_equal(read(self.path("o.safetensors"))["o"][1][0, 0], o[head])
        self.fails(2, "nothing about step 4", arguments=["attend", "--recipe", "r.json", *case, "--mask",
                                                         "s.json", "--step", 4, "--layer", 5, "-o", "x"])

    def test_text_behind_the_video(self):
        """Video queries see their window and all text; text sees everything."""
        recipe = {"base": "sta_bf16", "name": "r", "mask": {"tile": [2, 3, 7], "window": [1, 1, 1]}}
        with open(self.path("r.json"), "w") as file:
            json.dump(recipe, file)
        arrays = self.made("--grid", "4,9,7", "--text", 11, recipe="r.json")
        self.assertEqual(arrays["q"].shape[2], TOKENS + 11)
        t, h, _ = np.unravel_index(np.arange(TOKENS), GRID)
        tile = t // 2 * 3 + h // 3
        keep = np.ones((TOKENS + 11, TOKENS + 11), bool)
        keep[:TOKENS, :TOKENS] = tile[:, None] == tile[None]
        self.compare(arrays, [keep])
        self.attend_again()

    def test_heads_that_share_k_and_v(self):
        arrays = self.made("--grid", "4,9,7", "--heads", 4, "--kv-heads", 2, recipe="fa3_bf16")
        self.assertEqual(arrays["k"].shape[:2], (1, 2))
        self.compare(arrays, [np.ones((TOKENS, TOKENS), bool)] * 4)
        self.attend_again()
        tensors = read(self.path("ex/inputs.safetensors"))
        for name in "kv":
            dtype, x = tensors[name]
            tensors[name] = (dtype, np.repeat(x, 2, axis=1))
        write(self.path("all.safetensors"), tensors)
        self.succeeds("attend", "--recipe", "fa3_bf16", "--in", "all.safetensors", "--grid", "4,9,7",
                      "-o", "c.safetensors")
        self.succeeds("check", "g.h5", "c.safetensors")
        stages = read(self.path("ex/stages.safetensors"))
        dtype, k = stages["k_codes"]
        k[0, 1, 5, 6] ^= 1
        write(self.path("c.safetensors"), {"k_codes": (dtype, k)})
        self.assertEqual(self.karat("check", "g.h5", "c.safetensors").returncode, 1)
        self.fails(2, "divide", arguments=["attend", "--recipe", "fa3_bf16", "--grid", "2,2,2", "--heads",
                                           4, "--kv-heads", 3, "-o", "x"])

    def test_causal(self):
        with open(self.path("r.json"), "w") as file:
            json.dump({"base": "fa3_bf16", "name": "r", "mask": {"causal": "on"}}, file)
        arrays = self.made("--grid", "4,9,7", recipe="r.json")
        self.compare(arrays, [np.tril(np.ones((TOKENS, TOKENS), bool))])

    def test_a_schedule_picks_the_recipe_of_a_step(self):
        """The paper's three phases; the golden file says what was picked and holds that recipe."""
        with open(self.path("s.json"), "w") as file:
            file.write('{"base": "fpsattention", "alpha": [0.2, 0.7], "g": [[24,32,32],[6,8,8],[12,16,16]],'
                       ' "W": [[3,3,1],[3,3,3],[3,5,1]]}')
        case = ["--schedule", "s.json", "--grid", "2,9,7", "--channels", 16, "--quiet"]
        for step, phase, tile in ((9, 0, 24), (10, 1, 6), (34, 1, 6), (35, 2, 12)):
            self.succeeds("make", *case, "--step", step, "--steps", 50, "-o", "g.h5", "--tap", "none")
            report = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)
            self.assertEqual(report["case"]["schedule"],
                             {"name": "s.json", "step": step, "steps": 50, "phase": phase})
            self.assertEqual(report["recipe"]["q"]["tile"][0], tile)
        self.succeeds("attend", *case, "--step", 35, "-o", "c.safetensors")
        self.succeeds("check", "g.h5", "c.safetensors")
        cost = json.loads(self.succeeds("cost", "--schedule", "s.json", "--model", "wan2.1-1.3b",
                                        "--resolution", "480p", "--json").stdout)
        self.assertEqual(len(cost["answers"]), 3)
        self.assertAlmostEqual(cost["schedule"]["run_s"],
                               sum(answer["run"]["run_s"] for answer in cost["answers"]), places=6)
        out = ["-o", "x.h5"]
        self.fails(2, "--step", arguments=["make", *case, *out])
        self.fails(2, "50 of 50", arguments=["make", *case, *out, "--step", 50, "--steps", 50])
        self.fails(2, "exclude", arguments=["make", *case, *out, "--step", 1, "--recipe", "sta_bf16"])

    def test_a_fully_masked_row_of_every_preset(self):
        """Lse -inf and zero, NaN or, where masked scores are finite, the mean of V: as recipes say."""
        keep = np.ones((TOKENS, TOKENS), bool)
        keep[100] = False
        np.save(self.path("m.npy"), keep)
        for name in forward_presets(KARAT):
            full = json.loads(self.succeeds("recipes", name, "--json").stdout)
            full = full.get("recipe", full)
            if full["predict"]["rule"] != "never":
                continue
            with self.subTest(name):
                arrays = self.made("--grid", "4,9,7", "--mask", "m.npy", recipe=name)
                with h5py.File(self.path("g.h5")) as file:
                    lse = file["stages/lse"][0, 0, 100]
                if full["softmax"]["masked_score"] != "-inf":
                    mean = wide(arrays["v"][0, 0]).mean(0)
                    self.assertLess(np.linalg.norm(arrays["o"][0, 0, 100] - mean),
                                    0.1 * np.linalg.norm(mean) + 0.02)
                else:
                    self.assertEqual(lse, -np.inf, name)
                    row = arrays["o"][0, 0, 100]
                    nan = full["finish"]["fully_masked"] == "nan"
                    self.assertTrue((np.isnan(row) if nan else row == 0).all(), name)


if __name__ == "__main__":
    unittest.main()
