"""Every preset through make, attend and check on small grids. KARAT_LONG=1: all at 480p, a head at 720p,
and a wrong output of each; ordinarily one preset with 33 of 480p's 81 frames, and a wrong output of every
fifth."""
import json
import os
import unittest

import h5py
import numpy as np

from forward_presets import forward_presets
from karat import KARAT, Case, read, write

LONG = os.environ.get("KARAT_LONG")


class Presets(Case):
    def names(self):
        return forward_presets(KARAT)

    def round(self, name, *case):
        """make, attend on its inputs, check; then a wrong output must not pass."""
        def run(*arguments):
            return self.succeeds(*arguments, timeout=3600).stdout
        run("make", "--recipe", name, *case, "-o", "g.h5", "--quiet")
        run("attend", "--in", "g.h5", "-o", "c.safetensors", "--quiet")
        report = json.loads(run("check", "g.h5", "c.safetensors", "--json"))
        self.assertEqual({stage["result"] for stage in report["stages"]}, {"equal"}, name)
        return report

    def test_all_on_small_grids(self):
        for i, name in enumerate(self.names()):
            with self.subTest(name):
                self.round(name, "--grid", "4,9,7", "--channels", 64, "--heads", 2)
                if not LONG and i % 5 != 0:
                    continue
                self.succeeds("check", "g.h5", "g.h5")
                tensors = read(self.path("c.safetensors"))
                dtype, o = tensors["o"]
                o = o.copy()
                o[0, 1, 100] = o[0, 1, 101]
                write(self.path("c.safetensors"), {"o": (dtype, o)})
                self.assertEqual(self.karat("check", "g.h5", "c.safetensors").returncode, 1, name)

    def test_predicted_masks_are_stored_head_by_head(self):
        for name in ("sparge_sm90", "svg1", "svg2"):
            self.succeeds("make", "--recipe", name, "--grid", "4,9,7", "--channels", 64, "--heads", 2,
                          "-o", "g.h5", "--quiet")
            self.succeeds("attend", "--in", "g.h5", "-o", "c.safetensors", "--quiet", "--tap", "0")
            self.succeeds("check", "g.h5", "c.safetensors")
            with h5py.File(self.path("g.h5")) as file:
                o = file["stages/o"][:]
                for head in "01":
                    order = file["order/0/" + head]
                    at, position = order["token_at_position"][:], order["position_of_token"][:]
                    np.testing.assert_array_equal(at[position], np.arange(4 * 9 * 7))
                    self.assertEqual("key_token_at_position" in order, name == "svg2")
                    counts = file["mask/0/" + head + "/kv_num_blocks"][:]
                    counts = counts + file["mask/0/" + head + "/full_kv_num_blocks"][:]
                    for block in file["stages/tap/0/" + head]:
                        visited = file[f"stages/tap/0/{head}/{block}/key_block"][:]
                        self.assertEqual(len(visited), counts[int(block)], name)
                at = file["order/0/0/token_at_position"][:]
            write(self.path("t.safetensors"), {"o": ("BF16", o[:, :1, at])})
            self.succeeds("check", "g.h5", "t.safetensors", "--order", "tiled", "--select", "0,0")

    def test_skip_softmax_leaves_out_a_share_of_a_thousand_keys(self):
        for name in ("skip_softmax_fp8", "skip_softmax_bf16", "trtllm_sage"):
            self.round(name, "--grid", "1,8,129", "--channels", 64)
            skip = json.loads(self.succeeds("attend", "--in", "g.h5", "-o", "c.safetensors", "--quiet",
                                            "--json").stdout)["skip"]
            self.assertTrue(0.1 < skip["small"] / skip["visits"] < 0.9, (name, skip))

    def test_at_480p(self):
        for name in self.names() if LONG else ("fpsattention",):
            with self.subTest(name):
                self.round(name, "--model", "wan2.1-1.3b", "--resolution", "480p" if LONG else "832x480x33")

    def test_480p_by_other_numbers_of_threads(self):
        made = []
        for threads in (1, 3):
            self.succeeds("attend", "--recipe", "fpsattention", "--model", "wan2.1-1.3b", "--resolution", "480p",
                          "--heads", 1, "--threads", threads, "-o", "c.safetensors", "--quiet", timeout=3600)
            dtype, o = read(self.path("c.safetensors"))["o"]
            self.assertEqual((dtype, o.shape), ("BF16", (1, 1, 32760, 128)))
            made.append(o)
        self.assertTrue((made[0] == made[1]).all())
        self.assertGreater(len(np.unique(made[0])), 1000)

    @unittest.skipUnless(LONG, "KARAT_LONG=1")
    def test_one_head_at_720p(self):
        for name in self.names():
            with self.subTest(name):
                self.round(name, "--model", "wan2.1-14b", "--resolution", "720p")


if __name__ == "__main__":
    unittest.main()
