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
