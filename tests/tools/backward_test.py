"""karat attend --backward and karat make --backward: one run, the same bits, and what is refused."""
import json
import unittest

import h5py
import numpy as np

from karat import Case, read, write

GRID = ["--grid", "3,5,7"]


class Backward(Case):
    def make(self, *arguments, recipe="fps_qat_fp8"):
        self.succeeds("make", "--backward", "--recipe", recipe, *GRID, "--channels", 32, "-o", "g.h5",
                      *arguments)
        self.succeeds("inspect", "g.h5", "--export", "e")

    def attend(self, *arguments, out="c.safetensors"):
        self.succeeds("attend", "--backward", "--in", "e/inputs.safetensors", "-o", out, *arguments)
        return read(self.path(out))

    def test_attend_and_make_write_the_same_gradients(self):
        self.make("--heads", 4, "--kv-heads", 2)
        golden = read(self.path("e/stages.safetensors"))
        made = self.attend("--tap", "all")
        for name in ("o", "lse", "delta", "dq", "dk", "dv"):
            np.testing.assert_array_equal(made[name][1], golden[name][1], name)
        self.assertEqual(made["dk"][1].shape, (1, 2, 105, 32))
        taps = [name for name in golden if name.startswith(("dq_tap", "dkv_tap"))]
        self.assertGreater(len(taps), 40)
        for name in taps:
            self.assertEqual(made[name][0], golden[name][0], name)
            np.testing.assert_array_equal(made[name][1], golden[name][1], name)

    def test_a_backward_enters_in_the_middle(self):
        self.make()
        inputs, stages = (read(self.path(f"e/{name}.safetensors")) for name in ("inputs", "stages"))
        given = inputs | {name: stages[name] for name in ("o", "lse")}
        write(self.path("given.safetensors"), given)
        self.succeeds("attend", "--backward", "--forward", "given", "--recipe", "fps_qat_fp8", *GRID,
                      "--in", "given.safetensors", "-o", "m.safetensors")
        middle = read(self.path("m.safetensors"))
        self.assertEqual(sorted(middle), ["delta", "dk", "dq", "dv"])
        for name in middle:
            np.testing.assert_array_equal(middle[name][1], stages[name][1], name)
        # The forward's outputs are read: others give other gradients.
        given["lse"] = ("F32", given["lse"][1] + 1)
        write(self.path("given.safetensors"), given)
        self.succeeds("attend", "--backward", "--forward", "given", "--recipe", "fps_qat_fp8", *GRID,
                      "--in", "given.safetensors", "-o", "m.safetensors")
        self.assertTrue((read(self.path("m.safetensors"))["dv"][1] != stages["dv"][1]).any())

    def given(self, *arguments, recipe="fps_qat_fp8"):
        """karat attend --backward --forward given on given.safetensors: what it says, what it writes."""
        done = self.succeeds("attend", "--backward", "--forward", "given", "--recipe", recipe, *GRID,
                             "--in", "given.safetensors", "-o", "m.safetensors", "--json", *arguments)
        return done, read(self.path("m.safetensors"))

    def test_an_fp8_output_enters_in_the_middle(self):
        for recipe in ("cudnn_fp8_hopper", "te_delayed"):
            self.make("--channels", 128, recipe=recipe)
            inputs, stages = (read(self.path(f"e/{name}.safetensors"))
                              for name in ("inputs", "stages"))
            self.assertEqual(stages["o"][0], "F8_E4M3")
            write(self.path("given.safetensors"),
                  inputs | {name: stages[name] for name in ("o", "lse")})
            made = self.given(recipe=recipe)[1]
            for name in ("dq", "dk", "dv", "delta"):
                np.testing.assert_array_equal(made[name][1], stages[name][1], name)
            write(self.path("bad.safetensors"),
                  inputs | {"o": ("F8_E5M2", stages["o"][1]), "lse": stages["lse"]})
            self.fails(2, "o: holds e5m2 codes where the recipe's output is e4m3",
                       arguments=self.arguments("bad.safetensors", "--forward", "given",
                                                recipe=recipe))

    def test_given_outputs_are_held_against_the_recipe_s_own(self):
        self.make()
        inputs, stages = (read(self.path(f"e/{name}.safetensors")) for name in ("inputs", "stages"))
        given = inputs | {name: stages[name] for name in ("o", "lse")}
        write(self.path("given.safetensors"), given)
        done, _ = self.given()
        self.assertIn("o and lse are taken as given", done.stderr)
        self.assertNotIn("not of this recipe", done.stderr)
        told = json.loads(done.stdout)["given_forward"]
        self.assertGreater(told["rows_compared"], 20)
        self.assertEqual((told["o_relative_l2"], told["lse_largest_difference"]), (0, 0))
        given["lse"] = ("F32", given["lse"][1] * np.float32(1.442695))  # log2 units
        write(self.path("given.safetensors"), given)
        done, _ = self.given()
        self.assertIn("not of this recipe, mask or input? (lse in natural units)", done.stderr)
        self.assertGreater(json.loads(done.stdout)["given_forward"]["lse_largest_difference"], 0.5)
        for name, spoil, words in (("lse", np.nan, "lse: NaN at batch 0, head 0, token 3"),
                                   ("lse", np.inf, "lse: Inf at batch 0, head 0, token 3"),
                                   ("o", 0x7FC0, "o: NaN at batch 0, head 0, token 3")):
            dtype, values = stages[name]
            values = values.copy()
            values[0, 0, 3] = spoil
            write(self.path("bad.safetensors"),
                  inputs | {n: stages[n] for n in ("o", "lse")} | {name: (dtype, values)})
            self.fails(3, words, arguments=self.arguments("bad.safetensors", "--forward", "given"))
        wide = (stages["o"][1].astype(np.uint32) << 16).view(np.float32)
        for off, code in ((0, 0), (2**-12, 3)):
            wide = wide * np.float32(1 + off)
            write(self.path("given.safetensors"),
                  inputs | {"o": ("F32", wide), "lse": stages["lse"]})
            if code == 0:
                np.testing.assert_array_equal(self.given()[1]["dq"][1], stages["dq"][1])
            else:
                self.fails(code, "is none of bf16, the recipe's output", arguments=self.arguments(
                    "given.safetensors", "--forward", "given"))

    def test_gradients_that_overflow_are_told(self):
        self.make()
        inputs = read(self.path("e/inputs.safetensors"))
        huge = np.full_like(inputs["do"][1], 0x7F7F)  # the largest BF16
        write(self.path("huge.safetensors"), inputs | {"do": ("BF16", huge)})
        for command, out in (("attend", "x.safetensors"), ("make", "x.h5")):
            done = self.succeeds(command, "--backward", "--recipe", "fps_qat_fp8", *GRID, "--in",
                                 "huge.safetensors", "-o", out, "--json")
            self.assertRegex(done.stderr, r"gradients: Inf or NaN in \d+ values of dq, \d+ of dk")
            told = json.loads(done.stdout)
            found = (told if command == "attend" else told["backward"])["not_finite"]
            if command == "attend":
                made = read(self.path(out))
            for name in ("dq", "dk", "dv"):
                count = np.count_nonzero((made[name][1] & 0x7F80) == 0x7F80)
                self.assertEqual(found[name], count, name)
            self.assertGreater(found["dq"] + found["dv"], 0)

    def test_taps_of_the_backward_have_lists_of_their_own(self):
        self.make("--channels", 128, recipe="cudnn_fp8_hopper")
        inspected = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)["backward"]
        self.assertEqual(inspected["tapped_query_blocks"], [0, 1])
        self.make("--channels", 128, "--tap", "none", "--dq-tap", "1", "--dkv-tap", "0",
                  recipe="cudnn_fp8_hopper")
        inspected = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)["backward"]
        self.assertEqual(inspected["tapped_query_blocks"], [1])
        made = self.attend("--tap", "0", "--dq-tap", "1", "--dkv-tap", "none")
        taps = {name.rsplit(".", 1)[0] for name in made if "tap." in name}
        self.assertEqual(taps, {"tap.0.0.0", "dq_tap.0.0.1"})
        run = ["attend", "--in", "e/inputs.safetensors", "-o", "x.safetensors"]
        self.fails(2, "--dq-tap: \"2\" is no query block of the backward; there are 2",
                   arguments=[*run, "--backward", "--dq-tap", "2"])
        self.fails(2, "--dkv-tap: says nothing without --backward",
                   arguments=[*run, "--dkv-tap", "1"])

    def test_the_group_of_v_in_training_and_in_use_is_told_apart(self):
        """docs/diagnose.md, the worked example."""
        trained = {"base": "sta_bf16", "name": "trained",
                   "v": {"format": "e2m1", "scale": "e4m3", "enters": "bf16",
                         "group": "channels_16", "tile": [1, 1, 16]}}
        for name, group in (("trained", "channels_16"), ("served", "tile_channel")):
            trained["v"]["group"] = group
            with open(self.path(name + ".json"), "w") as file:
                json.dump(trained, file)
        self.succeeds("make", "--recipe", "trained.json", "--grid", "3,8,16", "--heads", 1, "-o",
                      "trained.h5")
        self.succeeds("attend", "--recipe", "served.json", "--in", "trained.h5", "-o",
                      "served.safetensors")
        self.assertEqual(self.karat("check", "trained.h5", "served.safetensors").returncode, 1)
        told = self.karat("diagnose", "trained.h5", "served.safetensors").stdout
        self.assertIn('1. recipe: v.group "channels_16" -> "tile_channel"', told)

    def test_do_is_given_or_made_from_the_seed(self):
        self.make("--seed", 3)
        inputs = read(self.path("e/inputs.safetensors"))
        given = self.attend("--recipe", "fps_qat_fp8")
        generated = self.attend("--do", "generated", "--seed", 3)
        for name in ("dq", "dk", "dv"):
            np.testing.assert_array_equal(given[name][1], generated[name][1], name)
        other = self.attend("--do", "generated", "--seed", 4)
        self.assertTrue((given["dq"][1] != other["dq"][1]).any())
        del inputs["do"]
        write(self.path("none.safetensors"), inputs)
        self.fails(2, "none.safetensors", "do", arguments=self.arguments("none.safetensors"))

    def arguments(self, file, *more, recipe="fps_qat_fp8"):
        return ["attend", "--backward", "--recipe", recipe, *GRID, "--in", file, "-o",
                "x.safetensors", *more]

    def test_what_no_gradient_has(self):
        self.make()
        inputs = read(self.path("e/inputs.safetensors"))
        dtype, do = inputs["do"]
        self.assertEqual(dtype, "BF16")

        def with_do(values, dtype="BF16"):
            write(self.path("bad.safetensors"), inputs | {"do": (dtype, values)})

        with_do(do[:, :, :-1])
        self.fails(2, "do: shape", arguments=self.arguments("bad.safetensors"))
        for code, word in ((0x7FC0, "NaN"), (0xFF80, "Inf")):
            spoiled = do.copy()
            spoiled[0, 0, 17, 5] = code
            with_do(spoiled)
            self.fails(3, "do", f"{word} at batch 0, head 0, token 17, channel 5",
                       arguments=self.arguments("bad.safetensors"))
            self.fails(3, word, arguments=["make", "--backward", "--recipe", "fps_qat_fp8", *GRID,
                                           "--in", "bad.safetensors", "-o", "x.h5"])
        with_do((do >> 8).astype(np.uint8), "F8_E4M3")
        self.fails(2, "do", "codes", arguments=self.arguments("bad.safetensors"))
        self.fails(2, "fpsattention", "has no backward",
                   arguments=self.arguments("e/inputs.safetensors", recipe="fpsattention"))
        write(self.path("o.safetensors"), inputs | {"o": inputs["q"]})
        self.fails(2, "not lse",
                   arguments=self.arguments("o.safetensors", "--forward", "given"))
        self.fails(2, "--forward given", arguments=[
            "make", "--backward", "--forward", "given", "--recipe", "fps_qat_fp8", *GRID, "--in",
            "e/inputs.safetensors", "-o", "x.h5"])
        self.fails(2, "--do", "--backward", arguments=[
            "make", "--do", "generated", "--recipe", "fps_qat_fp8", *GRID, "-o", "x.h5"])
        self.assertFalse({"x.h5", "x.safetensors"} & set(self.files()))

    def test_what_would_be_another_gradient(self):
        self.make("--heads", 4, "--kv-heads", 2)
        inputs = read(self.path("e/inputs.safetensors"))
        stages = read(self.path("e/stages.safetensors"))
        self.fails(2, "--head 1", "add up",
                   arguments=self.arguments("e/inputs.safetensors", "--head", 1))
        write(self.path("two.safetensors"), inputs | {"dout": inputs["do"]})
        self.fails(2, "dout", "two gradients", arguments=self.arguments("two.safetensors"))
        coded = {name: stages[name] for name in stages if name.endswith(("_codes", "_scale"))}
        write(self.path("coded.safetensors"), coded | {"do": inputs["do"]})
        with open(self.path("r.json"), "w") as file:
            json.dump({"base": "fps_qat_fp8",
                       "backward": {"straight_through": "zero_where_saturated"}}, file)
        self.fails(2, "backward", "before coding",
                   arguments=self.arguments("coded.safetensors", recipe="r.json"))

    def test_inspect_and_json_tell_of_the_backward(self):
        self.make()
        told = json.loads(self.succeeds("inspect", "g.h5", "--json").stdout)
        self.assertEqual(sorted(told["backward"]), ["tapped_key_blocks", "tapped_query_blocks"])
        self.assertIn("dk, dv", self.succeeds("inspect", "g.h5").stdout)
        forward = self.succeeds("make", "--recipe", "fps_qat_fp8", *GRID, "--channels", 32, "-o",
                                "f.h5", "--json")
        self.assertNotIn("backward", json.loads(forward.stdout))
        self.assertNotIn("backward", json.loads(self.succeeds("inspect", "f.h5", "--json").stdout))
        with h5py.File(self.path("g.h5")) as golden, h5py.File(self.path("f.h5")) as plain:
            def same(name, dataset):
                if isinstance(dataset, h5py.Dataset):
                    np.testing.assert_array_equal(golden[name][()], dataset[()], name)
            plain.visititems(same)


if __name__ == "__main__":
    unittest.main()
