"""Names that lead nowhere, sizes that nobody can mean, and signals in the middle of long work."""
import json
import os
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from karat import KARAT, Case, write


class Names(Case):
    """Whatever a person types as the name of a file: one line, exit 3."""
    READ = {"attend": ["attend", "--recipe", "dense_f32", "--quiet", "--out", "o.safetensors", "--in"],
            "recipe": ["attend", "--grid", "1,2,2", "--quiet", "--out", "o.safetensors", "--recipe"],
            "check": ["check", "--quiet", "{}", "c.safetensors"],
            "candidate": ["check", "--quiet", "g.h5", "{}"],
            "diagnose": ["diagnose", "--quiet", "{}", "c.safetensors"],
            "inspect": ["inspect"], "mask": ["mask", "--grid", "1,2,2", "--mask"],
            "evidence": ["evidence"], "tune": ["tune", "--from"],
            "weights": ["tune", "--quick", "--weights"],
            "times": ["tune", "--quick", "--times"],
            "mma": ["mma", "--quiet", "--instruction", "hopper.wgmma.e4m3.f32", "--in"],
            "codec": ["codec", "--from", "f32", "--to", "e4m3", "--out", "c.raw", "--in"]}
    WRITE = {"attend": ["attend", "--recipe", "dense_f32", "--grid", "1,2,2", "--quiet", "--out"],
             "make": ["make", "--recipe", "dense_f32", "--grid", "1,2,2", "--quiet", "-o"],
             "svg": ["mask", "--grid", "2,2,2", "--tile", "1,1,1", "--window", "1,1,1", "--quiet",
                     "--svg"],
             "trace": ["cost", "--seqlen", "1024", "--trace"],
             "codec": ["codec", "--from", "f32", "--to", "e4m3", "--in", "x.raw", "--out"]}

    def setUp(self):
        super().setUp()
        os.symlink("loop_b", self.path("loop_a"))
        os.symlink("loop_a", self.path("loop_b"))
        with open(self.path("file"), "w") as file:
            file.write("no folder")
        with open(self.path("x.raw"), "wb") as file:
            file.write(bytes(16))
        self.succeeds("make", "--recipe", "dense_f32", "--grid", "1,2,2", "--quiet", "-o", "g.h5")

    def command(self, arguments, name):
        return [name if word == "{}" else word for word in arguments] + (
            [] if "{}" in arguments else [name])

    def refuses(self, arguments, name):
        before = self.files()
        self.fails(3, arguments=self.command(arguments, name))
        self.assertEqual(self.files(), before)

    def test_reading(self):
        for what, arguments in self.READ.items():
            ending = ".json" if what == "recipe" else ""  # else it is the name of a preset
            for name in ("n" * 300, "d/" * 3000 + "x", "loop_a/x", "file/x", "nothing"):
                with self.subTest(what=what, name=name[:20]):
                    self.refuses(arguments, name + ending)
            if what != "recipe":
                for name in ("loop_a", "/"):
                    with self.subTest(what=what, name=name):
                        if what == "evidence" and name == "/":
                            continue  # a folder is what it wants
                        self.refuses(arguments, name)

    def test_writing(self):
        for what, arguments in self.WRITE.items():
            for name in ("n" * 300, "d/" * 3000 + "x", "loop_a", "loop_a/x", "file/x", "no/x", ".", "/"):
                with self.subTest(what=what, name=name[:20]):
                    self.refuses(arguments, name)

    def test_empty_names(self):
        for table in (self.READ, self.WRITE):
            for what, arguments in table.items():
                if what == "recipe":
                    continue  # no preset is called so: a wrong word, not a wrong file
                with self.subTest(what=what):
                    before = self.files()
                    command = self.command(arguments, "")
                    done = self.karat(*command)
                    self.assertIn(done.returncode, (2, 3), done.stderr)
                    self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
                    self.assertEqual(self.files(), before)

    def test_folders(self):
        os.mkdir(self.path("rows"))
        for name in ("file", "file/x", "n" * 300, "loop_a/x"):
            with self.subTest(name=name[:20]):
                if name != "file/x":  # could become a folder as far as anyone has looked
                    self.fails(3, name[:20],
                               arguments=["evidence", "rows", "--quiet", "--tables", name])
                self.fails(3, name[:20], arguments=["evidence", "--quiet", "--emulate", name])
                self.fails(3, name[:20], arguments=["inspect", "g.h5", "--quiet", "--export", name])


class Sizes(Case):
    """Work is bounded before it begins, and the limit stands in the message."""

    def costs_little(self, arguments):
        """An answer in 200 MB and a second of processor time, which other work on the machine can
        only lengthen: the best of three counts. (What instrumented or unoptimised code takes
        besides is not the model's.)"""
        with open(KARAT, "rb") as file:
            program = file.read()
        best = None
        for _ in range(3):
            command = subprocess.Popen([KARAT, "cost", *arguments], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(command.pid, 0)
            command.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(command.returncode, 0, arguments)
            if b"__asan_init" in program:
                return
            self.assertLess(usage.ru_maxrss, 200 * 1024, arguments)
            seconds = usage.ru_utime + usage.ru_stime
            best = seconds if best is None else min(best, seconds)
            if best < 1 or b".debug_info" in program:
                return
        self.assertLess(best, 1, arguments)

    def test_cost(self):
        # Equal tiles are counted, not walked: any launch is answered, until it cannot be counted.
        for arguments in (["--causal", "--seqlen", "2147483647"], ["--seqlen", "2147483647"],
                          ["--seqlen", "1048576", "--heads", "100000"],
                          ["--causal", "--seqlen", "4096", "--batch", "100000", "--heads", "40"],
                          ["--recipe", "fa2_bf16", "--causal", "--seqlen", "4096", "--batch",
                           "100000"],
                          ["--varlen", "--seqlen", "4096", "--batch", "100000", "--heads", "40"],
                          ["--split-keys", "--causal", "--seqlen", "2147483647"],
                          ["--varlen", "--split-keys", "--causal", "--seqlen", "4096", "--batch",
                           "100000"],
                          ["--recipe", "subblock", "--seqlen", "2147483647", "--heads", "40"],
                          ["--recipe", "svg2", "--density", "0.3", "--seqlen", "1048576",
                           "--batch", "100000"],
                          ["--recipe", "lite_fp8", "--density", "0.3", "--seqlen", "2147483647",
                           "--batch", "100"],
                          ["--recipe", "fpsattention", "--grid", "30,100,110"],
                          ["--recipe", "fpsattention", "--causal", "--grid", "30,100,110"],
                          ["--recipe", "svg1_spatial", "--grid", "24,100,100"],
                          ["--recipe", "fps_ste_bf16", "--backward", "--grid", "21,100,100"],
                          ["--backward", "--causal", "--seqlen", "2147483647"],
                          ["--backward", "--seqlen", "4096", "--batch", "100000", "--heads", "40"]):
            self.costs_little(arguments)
        self.fails(2, "has no backward",
                   arguments=["cost", "--recipe", "fa2_bf16", "--backward", "--seqlen", "4096"])
        self.fails(2, "multiplies codes", arguments=["cost", "--recipe", "cudnn_fp8_hopper",
                                                     "--backward", "--seqlen", "4096"])
        self.fails(2, "query tiles", "1000000000000000",
                   arguments=["cost", "--seqlen", "2147483647", "--heads", "2147483647"])
        windowed = ["cost", "--recipe", "fpsattention"]
        self.fails(2, "8388608", arguments=windowed + ["--grid", "1000,1000,100"])
        self.fails(2, "pairs", arguments=windowed + ["--grid", "100,100,100", "--tile", "1,1,1"])
        self.fails(2, "4194304", arguments=windowed + ["--grid", "1000,1000,1000"])
        self.fails(2, "4194304", arguments=windowed + ["--grid", "1000,1000,1000", "--sweep",
                                                       "window,tile"])
        self.fails(2, "2^31 - 1", arguments=windowed + ["--grid", "2147483647,2147483647,2147483647"])
        self.succeeds("cost", "--seqlen", "1048576", "--heads", "40")
        self.succeeds("cost", "--causal", "--seqlen", "1048576")

    def test_grids(self):
        huge = "2147483647,2147483647,2147483647"
        for arguments in (["attend", "--recipe", "dense_f32", "--out", "o.safetensors"],
                          ["make", "--recipe", "dense_f32", "-o", "g.h5"],
                          ["mask", "--tile", "1,1,1", "--window", "1,1,1"]):
            self.fails(2, "--grid", "2^31 - 1", arguments=arguments + ["--quiet", "--grid", huge])

    def test_padding(self):
        self.fails(2, "positions", "16 times",
                   arguments=["mask", "--grid", "2,9,9", "--tile", "500,500,500", "--window", "1,1,1",
                              "--ragged", "pad", "--quiet"])
        self.succeeds("mask", "--grid", "2,9,9", "--tile", "24,32,32", "--window", "1,1,1", "--ragged",
                      "pad", "--quiet")

    def test_texts_of_very_many_keys(self):
        """Reading takes as many steps as there are keys; the square of these would take minutes."""
        many = {f"key_{i}": i for i in range(400_000)}
        with open(self.path("r.json"), "w") as file:
            json.dump(many, file)
        self.fails(2, "key_0", arguments=["attend", "--recipe", "r.json", "--grid", "1,2,2", "--quiet",
                                          "--out", "o.safetensors"])

    def test_files_of_very_many_attributes_and_datasets(self):
        for version in ("earliest", "latest"):
            with h5py.File(self.path("a.h5"), "w", libver=version) as file:
                file["x"] = np.zeros(3, np.float32)
                for i in range(4000):
                    file["x"].attrs[f"attribute_{i}"] = i
                for i in range(4000):
                    file[f"group/{i}"] = np.float32(i)
            listed = json.loads(self.succeeds("inspect", "a.h5", "--json").stdout)["tensors"]
            self.assertEqual(len(listed), 4001)
            os.remove(self.path("a.h5"))


class Signals(Case):
    def ends(self, arguments, seconds=1.5):
        """The command is in the middle of its work when the signal comes."""
        for sent in (signal.SIGINT, signal.SIGTERM):
            child = subprocess.Popen([KARAT, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
            time.sleep(seconds)
            self.assertIsNone(child.poll(), "the work is too short for this test")
            child.send_signal(sent)
            _, told = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 128 + sent, told)
            self.assertIn("interrupted", told)
            self.assertEqual([name for name in self.files() if name.endswith(".part")], [])

    def test_tune(self):
        self.ends(["tune", "--quick", "--gpu", "H20,H100,H200,H800,H100-PCIe", "--out",
                   "schedule.json"], seconds=1)
        self.assertEqual(self.files(), [])

    def test_evidence_of_an_emulator(self):
        self.ends(["evidence", "--emulate", "capture", "--threads", "1"])
        self.assertNotIn("manifest.json", os.listdir(self.path("capture")))

    def test_codec(self):
        with open(self.path("x.raw"), "wb") as file:
            file.truncate(8 << 30)  # a hole: no disk is used
        self.ends(["codec", "--from", "f32", "--to", "f16", "--in", "x.raw", "--out", "y.raw"],
                  seconds=0.7)
        self.assertEqual(self.files(), ["x.raw"])

    def test_attend(self):
        x = np.random.default_rng(0).standard_normal((1, 1, 40000, 64)).astype(np.float32)
        write(self.path("x.safetensors"), {name: ("F32", x) for name in "qkv"})
        self.ends(["attend", "--recipe", "dense_f64", "--in", "x.safetensors", "--out", "o.safetensors",
                   "--threads", "1", "--quiet"])


if __name__ == "__main__":
    unittest.main()
