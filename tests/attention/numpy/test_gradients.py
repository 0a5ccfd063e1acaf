# Has the engine write every stage of small gradients and recomputes them from the recipes' pages:
#   test_gradients.py KARAT STAGES FOLDER [NAME...]      STAGES: the program backward_stages
# KARAT_LONG=1: every preset with all hostile values and in windows; ordinarily each with half of the values,
# and windows in one preset of each order of tokens.

import json
import os
import subprocess
import sys
import unittest
from dataclasses import replace
from unittest import mock

import numpy as np

import backward
from casts import given, plain_values
from formats import F32, e5m2_code, e5m2_decoded, int8_code
from check_gradients import compare_gradients, read
from gradients import GRADIENTS
from video import Grid, causal_pairs, window_pairs

KARAT, STAGES, FOLDER = sys.argv[1:4]
NORMAL, TIES, ONE_HOT, ZERO_TILES, SUBNORMAL, WIDE, EQUAL, TAILS = range(8)  # of random_head.hpp
HOSTILE = (ONE_HOT, WIDE, ZERO_TILES, SUBNORMAL)
LONG = os.environ.get("KARAT_LONG") == "1"


def recipe_file(name, base, **edits):
    path = os.path.join(FOLDER, f"{name}.json")
    with open(path, "w") as file:
        json.dump({"base": base, "name": name, **edits}, file)
    return path


def causal(head):
    kept = head.pairs() if head.kept is None else head.kept
    head.keep(kept & causal_pairs(len(kept)), head.KEY_ORDER, head.LISTED)


class Cases(unittest.TestCase):
    def check(self, preset, grid, channels=40, text=0, heads=1, flavour=NORMAL, seed=1, recipe=None,
              choices=None, mask=None, engine="scalar"):
        """The stages of one case are those of the page; also gives the arrays and the comparison."""
        with self.subTest(preset=preset, grid=grid, channels=channels, text=text, heads=heads, flavour=flavour,
                          engine=engine):
            path = os.path.join(FOLDER, "case.safetensors")
            subprocess.run([STAGES, recipe or preset, grid, str(channels), str(text), str(heads), str(flavour),
                            str(seed), engine, path], check=True)
            program, own = GRADIENTS[preset]
            arrays = read(path)
            result = compare_gradients(path, program, choices or own,
                                       Grid((int(n) for n in grid.split(",")), text=text),
                                       mask(arrays) if mask else lambda head: None)
            print(preset, grid, channels, text, heads, flavour, engine, sum(result.values.values()), "values",
                  result.first or "equal", flush=True)
            self.assertIsNone(result.first)
            return arrays


    @staticmethod
    def described(preset):
        return json.loads(subprocess.run([KARAT, "recipes", preset, "--json"], check=True, capture_output=True).stdout)


class Presets(Cases):
    def test_every_preset_with_a_backward_has_a_program(self):
        listed = json.loads(subprocess.run([KARAT, "recipes", "--json"], check=True, capture_output=True).stdout)
        with_backward = {r["name"] for r in listed["recipes"] if "backward" in self.described(r["name"])}
        self.assertEqual(with_backward, set(GRADIENTS))

    def test_ragged_grids_text_and_shared_heads(self):
        for preset in GRADIENTS:
            self.check(preset, "5,5,9")
            self.check(preset, "2,3,9", 64, text=19, heads=3)

    def test_several_scale_tiles(self):
        for preset in ("fps_ste_bf16", "flex_bf16"):
            self.check(preset, "25,9,3", 32)
        for preset in ("fps_qat_fp8", "attn_qat_fp8"):
            self.check(preset, "7,9,5", 32)

    def test_hostile_values(self):
        for i, preset in enumerate(GRADIENTS):
            for flavour in HOSTILE if LONG else HOSTILE[i % 2::2]:
                self.check(preset, "2,5,7", 40, flavour=flavour)

    def test_fast(self):
        for preset in GRADIENTS:
            self.check(preset, "2,9,7", engine="fast", text=5, heads=2)


class Masks(Cases):
    def test_causal(self):
        for preset in GRADIENTS:
            self.check(preset, "5,5,9", 32, recipe=recipe_file("causal", preset, mask={"causal": "on"}),
                       mask=lambda arrays: causal)

    def test_rows_and_columns_without_pairs(self):
        for preset in GRADIENTS:
            def given_pairs(arrays):
                return lambda head: head.keep(arrays["kept"] != 0, head.KEY_ORDER, head.LISTED)
            arrays = self.check(preset, "5,5,9", 32, mask=given_pairs,
                                recipe=recipe_file("given", preset, mask={"kind": "given"}))
            self.assertTrue(np.isneginf(arrays["head/0/lse"]).any())
            self.assertTrue((arrays["head/0/dq"][np.isneginf(arrays["head/0/lse"].ravel())] == 0).all())


    def test_windows(self):
        """A window of 3 x 3 x 3 tokens, or of tiles where the order follows tiles."""
        orders = {str(self.described(preset)["mask"]["tile"]): preset for preset in GRADIENTS}
        for preset in GRADIENTS if LONG else orders.values():
            tile = self.described(preset)["mask"]["tile"]
            edit = {"kind": "window", "window": [3, 3, 3], "unit": "tiles", "border": "clamp", "centre": "query"}
            def windowed(head):
                head.keep(window_pairs(head.order, (3, 3, 3)), head.KEY_ORDER, head.LISTED)
            self.check(preset, "5,7,9" if tile == [1, 1, 1] else "2,3,33", 16, mask=lambda arrays: windowed,
                       recipe=recipe_file("window", preset, mask=edit))


def e4m3_given(p, ds):
    """Edits and choices: P and dS in E4M3 by given multipliers."""
    edits = {f"{name}_{field}": value for name, multiplier in (("p", p), ("ds", ds))
             for field, value in (("format", "e4m3"), ("group", "tensor"), ("scale_rule", "given"),
                                  ("multiplier", multiplier), ("enters", "codes"))}
    return edits, {"p": given(p), "ds": given(ds)}


def int8_given(p, ds):
    edits = {f"{name}_{field}": value for name, multiplier in (("p", p), ("ds", ds))
             for field, value in (("group", "tensor"), ("scale_rule", "given"), ("multiplier", multiplier))}
    def plain(codes):
        return codes.astype(F32)
    return edits, {"p": given(p, int8_code, plain), "ds": given(ds, int8_code, plain)}


def e5m2_given(p, ds):
    return ({"p_multiplier": p, "ds_multiplier": ds},
            {"p": given(p), "ds": given(ds, e5m2_code, e5m2_decoded)})


# P passes the largest code, dS too; every other preset as e4m3_given(1000, 60000).
SATURATING = {"cudnn_fp8_hopper": (e5m2_given(1000, 1e9), 0x7E), "sage_bwd_int8": (int8_given(200, 2e5), 127)}


class Saturation(Cases):
    def test_of_p_and_ds(self):
        for preset in GRADIENTS:
            (edits, choices), largest = SATURATING.get(preset, (e4m3_given(1000, 60000), 0x7E))
            arrays = self.check(preset, "2,9,7", 40, flavour=TAILS, heads=2,
                                recipe=recipe_file("saturating", preset, backward=edits),
                                choices=replace(GRADIENTS[preset][1], **choices))
            codes = [arrays[name] for name in arrays if name.endswith("/p_codes")]
            with self.subTest(preset=preset):
                self.assertTrue(any((c == largest).any() for c in codes))
                self.assertGreater(arrays["saturated_ds_codes"][0], 0)


class Fields(Cases):
    def test_what_presets_leave_at_rest(self):
        """Output and gradients times a number, heads added, blocks in reverse."""
        edits = {"dq_multiplier": 1024, "dk_multiplier": 300, "dv_multiplier": 7, "head_sum": "add",
                 "query_order": "descending", "key_order": "descending"}
        self.check("cudnn_fp8_hopper", "2,9,7", 40, heads=3,
                   recipe=recipe_file("scaled", "cudnn_fp8_hopper", backward=edits, finish={"multiplier": 90}),
                   choices=replace(GRADIENTS["cudnn_fp8_hopper"][1], head_sum="add", query_order="descending",
                                   key_order="descending", o_multiplier=90, multipliers={"dq": 1024, "dk": 300, "dv": 7}))
        self.check("te_delayed", "2,9,7", 40, recipe=recipe_file("scaled_o", "te_delayed", finish={"multiplier": 90}),
                   choices=replace(GRADIENTS["te_delayed"][1], o_multiplier=90))


# Mistakes of a kernel or of a page, each with a preset in which it must show.
def instead(name, mistaken):
    return lambda: mock.patch.object(backward, name, mistaken(getattr(backward, name)))


MISTAKES = {
    "delta added as a tree": (
        instead("row_products", lambda right: lambda order, o, g: right("pairwise", o, g)), "fps_ste_bf16"),
    "delta of the coded P's output": (
        instead("output_of_uncoded_p", lambda right: lambda forward: np.concatenate(
            [backward.bf16_value(forward.run(i).out) for i in range(len(forward.query_blocks))])), "fps_qat_fp8"),
    "the softmax scale left out": (instead("root", lambda right: lambda channels: np.float32(1)), "fa3_bf16"),
    "full blocks first": (
        instead("in_order", lambda right: lambda *of: right(*of)[::-1]), "flex_bf16"),
    "lse in log2 units taken for natural ones": (
        instead("LOG2_E", lambda right: np.float64(1)), "fa3_bf16"),
    "scale of P left out of dV": (
        instead("product", lambda right: lambda a, b: None if a is None or b is None else right(a, b)),
        "fps_qat_fp8"),
    "v's scales left out": (
        instead("dequantised", lambda right: lambda operand: right(operand)
                if operand.group_of_row is not None else backward.bf16(plain_values(operand))), "attn_qat_fp8"),
}


class Mistakes(Cases):
    def test_each_is_found(self):
        for what, (wrong, preset) in MISTAKES.items():
            with self.subTest(what):
                path = os.path.join(FOLDER, "mistake.safetensors")
                grid = "25,9,3" if preset == "flex_bf16" else "5,5,9"
                subprocess.run([STAGES, preset, grid, "40", "0", "1", "0", "1", "scalar", path], check=True)
                of = path, *GRADIENTS[preset], Grid(int(n) for n in grid.split(","))
                with wrong():
                    self.assertIsNotNone(compare_gradients(*of).first)


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
