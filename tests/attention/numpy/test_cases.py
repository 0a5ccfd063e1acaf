# Has karat make small golden files of cases that add to their recipe and recomputes every stage of
# every query block from docs/recipes/cases.md and the recipe's page:  test_cases.py KARAT FOLDER [NAME...]
# Text behind every preset: with KARAT_LONG=1; ordinarily behind those of WITH_TEXT.

import json
import os
import sys
import unittest

import h5py
import numpy as np

from case_files import FOLDER, KARAT, differs, full_lists, make, path_of, random_lists, random_mask, safetensors
from check_golden import compare
from forward_presets import forward_presets
from mistakes import MISTAKES

class Cases(unittest.TestCase):
    def check(self, recipe, grid, channels=40, **options):
        with self.subTest(recipe=recipe, grid=grid, **options):
            path = make(recipe, grid, channels, **options)
            result = compare(path)
            print(recipe, grid, *options.values(), sum(result.values.values()), "values",
                  result.first or "equal", flush=True)
            self.assertIsNone(result.first)
            return path


# One preset of each order of tokens, kind of mask, prediction and kind of scale.
WITH_TEXT = ("dense_f32", "fa3_fp8", "fpsattention", "nabla", "rainfusion_fp8", "sage2_sm90", "skip_softmax_bf16", "sla",
             "sparge_sm90", "sta_bf16", "subblock", "svg1_spatial", "svg2", "vsa")


class Text(Cases):
    def test_behind_every_preset(self):
        presets = forward_presets(KARAT)
        self.assertLessEqual(set(WITH_TEXT), set(presets))
        for recipe in presets if os.environ.get("KARAT_LONG") == "1" else WITH_TEXT:
            self.check(recipe, "2,3,9", 32, text=19)

    def test_behind_windows_bands_and_several_scale_tiles(self):
        for recipe in ("sta_bf16", "flex_bf16", "svg1_temporal", "fpsattention_coarse"):
            self.check(recipe, "25,9,3", 32, text=70)
        self.check("svg1_spatial", "31,10,3", 32, text=30)  # with the text's its band would be 128 wider

    def test_counts_among_the_tokens_svg1_draws(self):
        self.check("svg1", "5,9,7", 32, workload="gaussian", text=19)  # other draws choose the other mask

    def test_of_several_blocks(self):
        self.check("fpsattention", "7,3,5", 40, text=150)


class SharedHeads(Cases):
    def test_groups_of_heads(self):
        for recipe in ("fa3_fp8", "sage2_sm90", "fpsattention", "svg2_few_clusters", "sparge_sm90"):
            self.check(recipe, "2,3,9", 32, batch=2, heads=6, kv_heads=2, text=5)
        self.check("dense_f32", "2,3,9", 32, heads=3, kv_heads=1)


class Causal(Cases):
    def test_masks(self):
        for recipe in ("fa3_causal", "fps_causal", "flex_causal", "sage2_causal", "sparge_causal",
                       "temporal_causal"):
            self.check(recipe, "9,9,7", 32)
        for seed in (1, 2):  # one head of either kind
            self.check("svg1_causal", "9,9,7", 32, seed=seed)
        self.check("fps_causal", "25,9,3", 32, text=30)


class KeyOrders(Cases):
    def test_orders(self):
        for recipe in ("sta_partial_first", "sta_descending", "fa3_ascending", "flex_listed_256",
                       "flex_listed_own"):
            self.check(recipe, "25,9,3", 32)
        self.check("flex_listed_256", "5,9,7", 32)  # its last block is short and full


class SkippedVisits(Cases):
    def test_more_than_a_thousand_keys(self):
        for recipe in ("skip_softmax_fp8", "skip_softmax_bf16", "trtllm_sage"):
            with h5py.File(self.check(recipe, "1,8,129", 32)) as golden:
                taps = golden["stages/tap/0/0"].values()
                left_out = [np.all(tap["p_codes"][:, begin:end] == 0)
                            for tap in taps for begin, end in zip(tap["column_begin"][:-1], tap["column_begin"][1:])]
            self.assertGreater(sum(left_out), 15, recipe)
            self.assertLess(sum(left_out), len(left_out) / 2, recipe)


class StochasticRounding(Cases):
    def test_operands_and_p(self):
        self.check("fps_stochastic", "7,9,9", 32, heads=2, text=9)
        self.check("fps_stochastic", "5,5,9", 40, workload="dynamic_range")
        self.check("sta_stochastic", "7,9,9", 32)


class GivenMasks(Cases):
    GRID, TOKENS = "9,9,7", 567

    def check_given(self, recipe, arrays, mask, **options):
        """Also that the golden file holds the arrays as given."""
        path = self.check(recipe, options.pop("grid", self.GRID), 32, mask=mask, **options)
        self.assertIsNotNone(path)
        with h5py.File(path) as golden:
            for name, array in arrays.items():
                np.testing.assert_array_equal(golden[f"mask/given/{name}"][:], array)

    def test_a_matrix(self):
        mask = random_mask(self.TOKENS, 1)
        np.save(path_of("mask", "npy"), mask)
        for recipe in ("flex_bf16", "sta_bf16", "fa3_bf16", "fpsattention", "sage2_sm90", "dense_f32", "flex_nan",
                       "flex_causal", "svg1_temporal"):
            self.check_given(recipe, {"mask": mask}, path_of("mask", "npy"))

    def test_a_matrix_of_every_head_over_text_too(self):
        mask = random_mask(self.TOKENS + 40, 2, 2, 3)
        path = safetensors("masks", mask=mask)
        self.check_given("sta_bf16", {"mask": mask}, path, text=40, batch=2, heads=3, kv_heads=1)

    def test_blockmask_arrays(self):
        arrays = full_lists(9, 5, 3, 2) | {"block_size": np.array([64, 128], np.int32)}
        path = safetensors("lists", **arrays)
        for recipe in ("flex_bf16", "sta_bf16", "flex_listed_own"):
            for order in (None, "positions"):
                self.check_given(recipe, arrays, path, heads=2, mask_order=order)

    def test_partial_blocks_of_a_matrix(self):
        arrays = random_lists(5, 5, 4) | {"mask": random_mask(self.TOKENS, 5)}
        path = safetensors("lists", **arrays)
        for recipe in ("flex_bf16", "sta_bf16", "fa3_causal"):
            self.check_given(recipe, arrays, path)

    def test_the_order_of_the_lists(self):
        arrays = random_lists(5, 9, 6, 1, 2) | {"block_size": np.array([128, 64], np.int32),
                                                "mask": random_mask(self.TOKENS, 7)}
        path = safetensors("lists", **arrays)
        self.assertIsNone(compare(make("flex_as_listed", self.GRID, 32, mask=path, heads=2,
                                       mask_order="positions")).first)

    def test_fastvideos_strategy(self):
        with open(path_of("strategy", "json"), "w") as file:
            json.dump({"3_1_0": [1, 2, 1], "3_1_1": [3, 1, 2], "1_3_0": [9, 9, 9], "1_3_1": [9, 9, 9]}, file)
        windows = {"window": [[[1, 2, 1], [3, 1, 2]]]}
        for recipe, text in (("sta_bf16", 10), ("flex_bf16", None)):
            self.check_given(recipe, windows, path_of("strategy", "json"), grid="13,9,17", step=3, layer=1,
                             heads=2, text=text)


class Mistakes(unittest.TestCase):
    def test_each_is_found(self):
        for what, (wrong, recipe, options) in MISTAKES.items():
            with self.subTest(what):
                path = make(recipe, **{"grid": "5,9,7", "channels": 32, **options()})
                self.assertIsNone(compare(path).first)
                with wrong():
                    self.assertTrue(differs(path))


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
