"""make -> inspect --export -> attend -> check, and what check says to every kind of sabotage."""
import json
import unittest

import h5py
import numpy as np

from karat import Case, read, write

GRID = "7,11,13"
TOKENS = 7 * 11 * 13


class RoundTrip(Case):
    def setUp(self):
        super().setUp()
        self.succeeds("make", "--recipe", "fpsattention", "--grid", GRID, "--channels", 64, "--heads",
                      2, "--seed", 5, "-o", "g.h5", "--quiet")
        self.succeeds("inspect", "g.h5", "--export", "ex", "--quiet")
        self.stages = read(self.path("ex/stages.safetensors"))

    def check(self, expected, *options, candidate="c.safetensors"):
        done = self.karat("check", "g.h5", candidate, "--json", *options)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def sabotaged(self, stage, change, others=False):
        """Writes the exported stages (or one alone) with one array changed; returns it."""
        tensors = dict(self.stages) if others else {stage: self.stages[stage]}
        dtype, array = tensors[stage]
        array = array.copy()
        tensors[stage] = (dtype, change(array))
        write(self.path("c.safetensors"), tensors)

    def test_attend_on_the_export_matches(self):
        self.succeeds("attend", "--recipe", "ex/recipe.json", "--in", "ex/inputs.safetensors",
                      "--grid", GRID, "--out", "c.safetensors", "--tap", "all")
        report = self.check(0)
        self.assertTrue(report["passed"])
        self.assertEqual({stage["result"] for stage in report["stages"]}, {"equal"})
        names = [stage["stage"] for stage in report["stages"]]
        self.assertEqual(names, ["a", "s", "m by block", "p_codes", "l by block", "o by block", "m",
                                 "l", "lse", "o"])

    def test_what_no_legal_kernel_does_is_undecided(self):
        case = ("--workload", "gaussian", "--grid", "4,16,16", "--heads", 1)
        self.succeeds("make", "--recipe", "fa3_fp8", *case, "-o", "g.h5", "--quiet")
        self.succeeds("make", "--recipe", "fa3_fp8_lazy_rescale", *case, "-o", "lazy.h5", "--quiet")
        self.succeeds("inspect", "lazy.h5", "--export", "lazy", "--quiet")
        o = read(self.path("lazy/stages.safetensors"))["o"]
        write(self.path("c.safetensors"), {"o": o})
        report = self.check(1)
        self.assertEqual((report["passed"], report["verdict"]), (False, "undecided"))
        self.assertIsNone(report["first_difference"])
        self.assertEqual(report["stages"][0]["outside"], 0)
        self.assertEqual(report["stages"][0]["doubts"][0]["reason"], "spread")
        self.assertIn("is undecided against", self.karat("check", "g.h5", "c.safetensors").stdout)
        self.assertEqual(self.karat("diagnose", "g.h5", "c.safetensors").returncode, 1)
        done = self.karat("check", "g.h5", "c.safetensors", "--error-ratio", "0.5")
        self.assertEqual(done.returncode, 2)
        self.assertIn("is not a number from 1 to 1000", done.stderr)

    def test_attend_takes_recipe_and_grid_from_its_input(self):
        for source in ("g.h5", "ex/inputs.safetensors"):
            self.succeeds("attend", "--in", source, "--out", "c.safetensors")
            self.check(0)

    def test_attend_goes_on_from_codes_and_scales(self):
        codes = {name: self.stages[name] for x in "qkv" for name in (x + "_codes", x + "_scale")}
        write(self.path("codes.safetensors"), codes)
        self.succeeds("attend", "--recipe", "fpsattention", "--in", "codes.safetensors", "--grid",
                      GRID, "--out", "c.safetensors")
        self.check(0)
        self.succeeds("make", "--recipe", "fpsattention", "--in", "codes.safetensors", "--grid", GRID,
                      "-o", "coded.h5", "--quiet")
        self.succeeds("check", "coded.h5", "c.safetensors")

    def test_attend_and_make_agree_on_a_generated_workload(self):
        self.succeeds("attend", "--recipe", "fpsattention", "--grid", GRID, "--channels", 64,
                      "--heads", 2, "--seed", 5, "--out", "c.safetensors")
        self.check(0)

    def test_one_head_alone_is_the_same_head(self):
        self.succeeds("attend", "--recipe", "fpsattention", "--grid", GRID, "--channels", 64,
                      "--head", 1, "--seed", 5, "--out", "c.safetensors")
        self.check(0, "--select", "0,1")
        self.assertEqual(self.check(1, "--select", "0,0")["first_difference"], "m")

    def test_the_golden_file_from_its_own_export_has_the_same_stages(self):
        self.succeeds("make", "--recipe", "fpsattention", "--in", "ex/inputs.safetensors", "--grid",
                      GRID, "--seed", 5, "-o", "h.h5", "--quiet")
        self.check(0, candidate="h.h5")

    def test_layouts_orders_and_files(self):
        dtype, o = self.stages["o"]
        write(self.path("c.safetensors"), {"o": (dtype, o.transpose(0, 2, 1, 3))})
        self.check(0, "--layout", "BSHD")
        self.check(2)
        with h5py.File(self.path("g.h5")) as file:
            position = file["order/position_of_token"][:]
            at = file["order/token_at_position"][:]
        self.assertTrue((at[position] == np.arange(TOKENS)).all())
        write(self.path("c.safetensors"), {"o": (dtype, o[:, :, at])})
        self.check(0, "--order", "tiled")
        self.assertEqual(self.check(1)["first_difference"], "o")
        np.save(self.path("o.npy"), o)  # BF16 codes as uint16
        self.check(0, candidate="o.npy")
        widened = (o.astype(np.uint32) << 16).view(np.float32)
        np.save(self.path("o.npy"), widened)
        self.check(0, candidate="o.npy")
        with h5py.File(self.path("kernel.h5"), "w") as file:
            file["o"] = widened
        self.check(0, candidate="kernel.h5")

    def test_transposed_v(self):
        for stage in ("v_codes", "v"):
            if stage not in self.stages:
                continue
            dtype, v = self.stages[stage]
            turned = np.ascontiguousarray(v.transpose(0, 1, 3, 2))
            write(self.path("c.safetensors"), {stage: (dtype, turned), "o": self.stages["o"]})
            self.check(0, "--v-layout", "BHDS")
            done = self.karat("check", "g.h5", "c.safetensors")
            self.assertEqual(done.returncode, 2)
            self.assertIn("--v-layout BHDS", done.stderr)
            turned[0, 1, 9, 137] ^= 1
            write(self.path("c.safetensors"), {stage: (dtype, turned)})
            first = self.check(1, "--v-layout", "BHDS")["stages"][0]["first"]
            self.assertEqual((first["head"], first["token"], first["channel"]), (1, 137, 9))

    def test_another_order_of_the_row_sum_passes_where_it_is_allowed(self):
        self.succeeds("make", "--recipe", "dense_f32", "--grid", "1,1,300", "--channels", 32,
                      "-o", "g.h5", "--tap", "all", "--quiet")
        with open(self.path("sums.json"), "w") as file:
            json.dump({"base": "dense_f32", "softmax": {"row_sum_order": "sequential"},
                       "pv": {"promote_every": 32}}, file)
        self.succeeds("attend", "--recipe", "sums.json", "--in", "g.h5", "--out", "c.safetensors",
                      "--tap", "all")
        self.assertEqual(self.check(1)["first_difference"], "l by block")
        report = self.check(0, "--allow", "order,reciprocal,contraction")
        self.assertEqual(report["free"], ["exp2", "order", "contraction", "reciprocal"])
        results = {stage["stage"]: stage for stage in report["stages"]}
        self.assertEqual(results["m"]["result"], "equal")
        for stage in ("l", "lse", "o"):
            self.assertEqual(results[stage]["result"], "within")
            self.assertEqual(results[stage]["unlikely"], 0)
        self.check(0, "--allow", "order")
        self.check(1, "--allow", "reciprocal")
        done = self.karat("check", "g.h5", "c.safetensors", "--allow", "odrer")
        self.assertEqual(done.returncode, 2)
        self.assertIn("order", done.stderr)

    def test_one_flipped_code(self):
        def flip(array):
            array[0, 1, 137, 9] ^= 1
            return array
        for stage in ("q_codes", "k_codes", "v_codes", "o"):
            self.sabotaged(stage, flip)
            report = self.check(1)
            entry = report["stages"][0]
            self.assertEqual(report["first_difference"], stage)
            self.assertEqual((entry["differing"], entry["outside"]), (1, 1))
            first = entry["first"]
            self.assertEqual((first["batch"], first["head"], first["token"], first["channel"]),
                             (0, 1, 137, 9))
            self.assertIn("query_tile", first)
            self.assertIn("query_block", first)

    def test_one_flipped_sign(self):
        def flip(array):
            array[0, 0, 1000, 63] ^= 0x8000
            return array
        self.sabotaged("o", flip, others=True)
        report = self.check(1)
        self.assertEqual(report["first_difference"], "o")
        first = next(s for s in report["stages"] if s["stage"] == "o")["first"]
        self.assertEqual((first["head"], first["token"], first["channel"]), (0, 1000, 63))
        self.assertEqual(first["golden"], -first["candidate"])

    def test_one_flipped_scale_lse_and_tap(self):
        def nudge(array):
            flat = array.reshape(-1)
            flat[7] = np.nextafter(flat[7], np.float32(np.inf)) * np.float32(1.001)
            return array
        tap = next(name for name in self.stages if name.endswith(".s"))[:-2]
        for stage, label in (("q_scale", "q_scale"), ("lse", "lse"), ("l", "l"), ("m", "m"),
                             (tap + ".s", "s"), (tap + ".a", "a"), (tap + ".o", "o by block")):
            self.sabotaged(stage, nudge)
            self.assertEqual(self.check(1)["first_difference"], label, stage)

    def test_a_flipped_p_code_names_query_and_key(self):
        tap = next(name for name in self.stages if name.endswith(".p_codes"))
        keys = self.stages[tap.replace("p_codes", "key_token")][1]
        queries = self.stages[tap.replace("p_codes", "query_token")][1]

        def flip(array):
            array[3, 40] += 1
            return array
        self.sabotaged(tap, flip)
        first = self.check(1)["stages"][0]["first"]
        self.assertEqual((first["token"], first["key_token"]), (queries[3], keys[40]))
        self.assertIn("key_block", first)
        self.assertIn("key_tile", first)

    def test_swapped_heads_gain_zeros_and_nan(self):
        _, o = self.stages["o"]
        values = (o.astype(np.uint32) << 16).view(np.float32)

        def nan(array):
            array[0, 1, 5, 6] = np.nan
            return array
        for name, changed in {"swapped": values[:, ::-1], "gain": values * np.float32(1.05),
                              "zeros": np.zeros_like(values), "nan": nan(values.copy())}.items():
            write(self.path("c.safetensors"), {"o": ("F32", changed)})
            report = self.check(1)
            self.assertEqual(report["first_difference"], "o", name)
            entry = report["stages"][0]
            if name == "nan":
                self.assertEqual(entry["candidate"]["nan"], 1)
                self.assertEqual((entry["first"]["head"], entry["first"]["token"]), (1, 5))
                self.assertEqual(entry["first"]["candidate"], "NaN")
            if name == "gain":
                self.assertAlmostEqual(entry["relative_l2"], 0.05, places=3)

    def test_the_text_names_the_place(self):
        def flip(array):
            array[0, 1, 137, 9] ^= 0x80
            return array
        self.sabotaged("q_codes", flip)
        text = self.karat("check", "g.h5", "c.safetensors").stdout
        self.assertRegex(text, r"first difference: q_codes, batch 0, head 1, token 137, channel 9, "
                               r"tile \d+, query block \d+: golden 0x[0-9A-F]{2} = ")
        self.assertIn("does not match", text)

    def test_select_leaves_the_rest_out(self):
        def flip(array):
            array[0, 1, 137, 9] ^= 0x8000
            return array
        self.sabotaged("o", flip)
        block = self.check(1)["stages"][0]["first"]["query_block"]
        self.check(0, "--select", "0,0")
        self.check(1, "--select", "0,1")
        self.check(1, "--select", f"*,*,{block}")
        report = self.check(0, "--select", f"0,1,{block + 1}")
        self.assertLess(report["stages"][0]["compared"], 64 * 64 + 1)

    def test_a_legal_output_is_within(self):
        """The other end of a stored range is legal, one step beyond is not."""
        with h5py.File(self.path("g.h5")) as file:
            low, high = file["bound/o_low"][:], file["bound/o_high"][:]
            golden = file["stages/o"][:]
        room = np.argwhere(low != high)
        self.assertGreater(len(room), 0)
        at = tuple(room[0])
        other = low[at] if golden[at] == high[at] else high[at]
        self.sabotaged("o", lambda array: array.__setitem__(at, other) or array)
        report = self.check(0)
        self.assertEqual(report["stages"][0]["result"], "within")
        self.assertEqual(report["stages"][0]["differing"], 1)
        away = int(other) + (int(other) - int(golden[at]))
        self.sabotaged("o", lambda array: array.__setitem__(at, away) or array)
        self.check(1)

    def test_inspect_speaks_json(self):
        report = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)
        self.assertEqual((report["schema"], report["version"]), ("karat.inspect", 1))
        self.assertEqual(report["case"]["grid"], [7, 11, 13])
        self.assertEqual(report["evidence"][0]["evidence"], "hardware_rows")

    def test_fragment_with_tokens(self):
        report = json.loads(self.succeeds("inspect", "g.h5", "--fragment", "d", "--thread", 37,
                                          "--register", 10, "--visit", "0,1", "--json").stdout)
        place = report["places"][0]
        self.assertEqual((place["row"], place["column"]), (25, 18))
        with h5py.File(self.path("g.h5")) as file:
            at = file["order/token_at_position"][:]
            begin = file["mask/key_block_begin"][:]
        self.assertEqual(place["query_token"], at[25])
        self.assertEqual(place["key_token"], at[begin[1] + 18])


class Inputs(Case):
    """Every way in gives the same bits."""

    def test_types_layouts_and_files(self):
        random = np.random.default_rng(3)
        q, k, v = (random.standard_normal((1, 2, 60, 32)).astype(np.float16) for _ in range(3))
        wide = {name: x.astype(np.float32) for name, x in zip("qkv", (q, k, v))}

        def outputs(*arguments):
            self.succeeds("attend", "--recipe", "fpsattention", "--out", "o.safetensors", "--grid",
                          "3,4,5", *arguments)
            return read(self.path("o.safetensors"))["o"][1]

        write(self.path("f32.safetensors"), {n: ("F32", x) for n, x in wide.items()})
        expected = outputs("--in", "f32.safetensors")
        write(self.path("f16.safetensors"), {n: ("F16", x) for n, x in zip("qkv", (q, k, v))})
        np.testing.assert_array_equal(outputs("--in", "f16.safetensors"), expected)
        write(self.path("names.safetensors"), {n: ("F32", x) for n, x in
                                               zip(("query", "key", "value"), wide.values())})
        np.testing.assert_array_equal(outputs("--in", "names.safetensors"), expected)
        write(self.path("bshd.safetensors"), {n: ("F32", x.transpose(0, 2, 1, 3))
                                              for n, x in wide.items()})
        np.testing.assert_array_equal(outputs("--in", "bshd.safetensors", "--layout", "BSHD"),
                                      expected)
        for name, x in wide.items():
            np.save(self.path(name + ".npy"), x)
        np.testing.assert_array_equal(outputs("--in", "q.npy,k.npy,v.npy"), expected)
        with h5py.File(self.path("in.h5"), "w") as file:
            for name, x in wide.items():
                file[name] = x
        np.testing.assert_array_equal(outputs("--in", "in.h5"), expected)
        np.testing.assert_array_equal(outputs("--in", "in.h5", "--head", 1), expected[:, 1:])

    def test_without_a_grid_it_is_one_line_of_tokens(self):
        x = np.random.default_rng(1).standard_normal((40, 16)).astype(np.float32)
        write(self.path("x.safetensors"), {n: ("F32", x) for n in "qkv"})
        self.succeeds("make", "--recipe", "dense_f32", "--in", "x.safetensors", "-o", "g.h5",
                      "--quiet")
        report = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)
        self.assertEqual(report["case"]["grid"], [1, 1, 40])

    def test_truth_is_softmax_of_the_inputs(self):
        self.succeeds("make", "--recipe", "sta_bf16", "--grid", "4,9,7", "--channels", 16, "-o",
                      "g.h5", "--quiet")
        with h5py.File(self.path("g.h5")) as file:
            q, k, v = ((file["inputs/" + n][0, 0].astype(np.uint32) << 16).view(np.float32)
                       .astype(np.float64) for n in "qkv")
            logits = q @ k.T / 4
            weights = np.exp(logits - logits.max(1, keepdims=True))
            truth = weights @ v / weights.sum(1, keepdims=True)
            np.testing.assert_allclose(file["truth/dense_o"][0, 0], truth, rtol=1e-11, atol=1e-13)
            lse = np.log(weights.sum(1)) + logits.max(1)
            np.testing.assert_allclose(file["truth/dense_lse"][0, 0], lse, rtol=1e-12)
            o = (file["stages/o"][0, 0].astype(np.uint32) << 16).view(np.float32)
            sparse = file["truth/sparse_o"][0, 0]
            self.assertLess(np.linalg.norm(o - sparse), 0.01 * np.linalg.norm(sparse))


if __name__ == "__main__":
    unittest.main()
