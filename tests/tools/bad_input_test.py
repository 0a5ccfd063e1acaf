"""Everything a user or a machine can get wrong: one line, the exit code, nothing half written."""
import json
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from karat import KARAT, Case, read, write


def tensors(shape=(1, 1, 24, 16), dtype="F32", seed=0):
    random = np.random.default_rng(seed)
    return {name: (dtype, random.standard_normal(shape).astype(np.float32)) for name in "qkv"}


class BadInputs(Case):
    def setUp(self):
        super().setUp()
        write(self.path("in.safetensors"), tensors())

    def attend(self, *arguments):
        return ["attend", "--recipe", "dense_f32", "--out", "o.safetensors", *arguments]

    def refuses(self, code, *words, arguments):
        before = self.files()
        self.fails(code, *words, arguments=self.attend(*arguments))
        self.assertEqual(self.files(), before)

    def test_missing_and_empty_files(self):
        self.refuses(3, "no.safetensors", arguments=["--in", "no.safetensors"])
        for name in ("e.safetensors", "e.npy", "e.h5"):
            open(self.path(name), "w").close()
            self.refuses(3, name, arguments=["--in", name])
        os.mkdir(self.path("folder"))
        self.refuses(3, "folder", arguments=["--in", "folder"])

    def test_studies_take_no_scales_of_all_heads(self):
        cells = ["--grid", "2,4,4", "--steps", "0", "--layers", "0", "--heads", "0"]
        self.fails(2, "xdit_flash3_fp8", "all heads",
                   arguments=["study", *cells, "--out", "s", "--recipes", "xdit_flash3_fp8"])

    def test_studies_of_whole_runs(self):
        loop = {"schema": "karat.loop", "version": 1, "origin": "", "model": "m", "steps": 3,
                "layers": 1, "grid": [1, 2, 2], "guidance": "none", "sigma": None, "recipes": [],
                "local": {"columns": ["seed", "step", "layer", "head", "branch", "recipe", "error",
                                      "sampling_error"], "rows": []},
                "runs": [], "weights": None, "schedules": [], "prediction": None, "spearman": None}
        report, quick = ["study", "--loop", "l.json"], ["tune", "--quick", "--weights", "l.json"]
        table = ["tune", "--from", "l.json"]

        def stands(text):
            with open(self.path("l.json"), "w") as file:
                file.write(text)

        for arguments in (report, quick, table):
            self.fails(3, "l.json", arguments=arguments)
        whole = json.dumps(loop)
        for text in (whole[:-1], "{}", whole.replace('"karat.loop"', "[1]"),
                     whole.replace('"steps": 3', '"steps": 1e9'),
                     whole.replace('"version": 1', '"version": "1"'),
                     whole.replace('"runs": []', '"runs": {"drift": []}'),
                     whole.replace('"prediction": null', '"prediction": "aligned"'),
                     whole.replace('"recipes": []', '"recipes": ["fa3_bf16"]')):
            stands(text)
            for arguments in (report, quick, table):
                self.fails(3, "l.json", arguments=arguments)
        stands(whole)
        self.succeeds(*report)
        self.fails(3, "holds no measured cell", arguments=report + ["--csv", "t.csv"])
        self.fails(3, "has no weights", arguments=quick)
        self.fails(3, "holds no measured cell", arguments=table)
        self.fails(2, "--out", arguments=report + ["--out", "s.h5"])
        self.fails(2, "--rows", arguments=report + ["--rows", "8"])
        self.assertEqual(self.files(), ["in.safetensors", "l.json"])

    def test_truncated_and_corrupt_safetensors(self):
        with open(self.path("in.safetensors"), "rb") as file:
            whole = file.read()
        for size in (1, 7, 8, 9, 60, len(whole) - 1):
            with open(self.path("bad.safetensors"), "wb") as file:
                file.write(whole[:size])
            self.refuses(3, "bad.safetensors", arguments=["--in", "bad.safetensors"])
        for at, byte in ((0, 0xFF), (7, 0x7F), (8, ord("[")), (12, 0xFF)):
            spoiled = bytearray(whole)
            spoiled[at] = byte
            with open(self.path("bad.safetensors"), "wb") as file:
                file.write(spoiled)
            self.refuses(3, "bad.safetensors", arguments=["--in", "bad.safetensors"])

    def test_messages_stay_one_line_of_text(self):
        self.refuses(3, "gr\u00f6\u00dfe.h5", arguments=["--in", "gr\u00f6\u00dfe.h5"])
        self.refuses(3, "two?lines", arguments=["--in", "two\nlines"])

    def test_truncated_and_corrupt_npy(self):
        for name in "qkv":
            np.save(self.path(name + ".npy"), tensors()[name][1])
        with open(self.path("q.npy"), "rb") as file:
            whole = file.read()
        for spoiled in (whole[:5], whole[:40], whole[:-1], whole + b"x",
                        whole.replace(b"'<f4'", b"'|O' ")):
            with open(self.path("q.npy"), "wb") as file:
                file.write(spoiled)
            self.refuses(3, "q.npy", arguments=["--in", "q.npy,k.npy,v.npy"])

    def test_truncated_and_corrupt_hdf5(self):
        with h5py.File(self.path("good.h5"), "w") as file:
            for name, (_, x) in tensors().items():
                file[name] = x
        with open(self.path("good.h5"), "rb") as file:
            whole = file.read()
        for size in (9, 100, 600, 2000, len(whole) - 1):
            with open(self.path("bad.h5"), "wb") as file:
                file.write(whole[:size])
            self.refuses(3, "bad.h5", arguments=["--in", "bad.h5"])

    def test_unknown_types_and_wrong_shapes(self):
        bad = tensors()
        bad["k"] = ("F32", bad["k"][1][:, :, :20])
        write(self.path("bad.safetensors"), bad)
        self.refuses(2, "k", "shape", arguments=["--in", "bad.safetensors"])
        bad = tensors()
        bad["q"] = ("I32", bad["q"][1].astype(np.int32))
        write(self.path("bad.safetensors"), bad)
        self.refuses(3, "q", arguments=["--in", "bad.safetensors"])
        with open(self.path("in.safetensors"), "rb") as file:
            whole = file.read()
        with open(self.path("bad.safetensors"), "wb") as file:
            file.write(whole.replace(b'"F32"', b'"F33"', 1))
        self.refuses(3, "F33", arguments=["--in", "bad.safetensors"])
        write(self.path("bad.safetensors"), tensors((2, 2, 2, 3, 16)))
        self.refuses(2, "dimensions", arguments=["--in", "bad.safetensors"])
        write(self.path("bad.safetensors"), tensors((1, 1, 0, 16)))
        self.refuses(2, "no elements", arguments=["--in", "bad.safetensors"])
        write(self.path("bad.safetensors"), {"q": tensors()["q"]})
        self.refuses(2, "q, k and v", arguments=["--in", "bad.safetensors"])

    def test_nan_and_infinity_are_located(self):
        for value, word in ((np.nan, "NaN"), (np.inf, "Inf"), (-np.inf, "Inf")):
            for name in "qkv":
                bad = tensors((2, 3, 24, 16))
                bad[name][1][1, 2, 7, 5] = value
                write(self.path("bad.safetensors"), bad)
                self.refuses(3, name, word, "batch 1, head 2, token 7, channel 5",
                             arguments=["--in", "bad.safetensors"])

    def test_help_of_a_command_and_the_version(self):
        for words in (["make"], ["sweep", "plan"]):
            help_first = self.succeeds("help", *words).stdout
            self.assertEqual(help_first, self.succeeds(*words, "--help").stdout)
            self.assertIn("Usage:", help_first)
        self.assertEqual(self.succeeds("-V").stdout, self.succeeds("--version").stdout)
        self.fails(2, "mke: no such command", "did you mean karat make", arguments=["help", "mke"])

    def test_grids(self):
        for grid, code in (("2,3,5", 2), ("0,1,24", 2), ("2,3", 2), ("a,b,c", 2), ("-1,2,3", 2),
                           ("2,3,99999999999", 2)):
            self.refuses(code, "grid", arguments=["--in", "in.safetensors", "--grid", grid])
        self.refuses(2, "24", arguments=["--in", "in.safetensors", "--grid", "5,5,5"])
        for command in ("attend", "make"):
            line = [command, "--in", "in.safetensors", "--out", "o.safetensors", "--recipe"]
            self.fails(2, "grid: is missing", "mask.tile 6,8,8", "1,1,24",
                       arguments=[*line, "fpsattention"])
            self.assertFalse(os.path.exists(self.path("o.safetensors")))
            self.succeeds(*line, "fpsattention", "--grid", "1,1,24", "--quiet")
            os.remove(self.path("o.safetensors"))

    def test_masks_of_types_that_are_not_read(self):
        write(self.path("m.safetensors"), {"mask": ("F32", np.ones((24, 24), np.float32))})
        self.refuses(2, "bool, int8, uint8, int32 or int64",
                     arguments=["--in", "in.safetensors", "--mask", "m.safetensors"])
        for name, shape in (("mask_id", (2, 1)), ("mask", (3, 24))):
            write(self.path("m.safetensors"), {name: ("BOOL", np.ones(shape, bool))})
            self.refuses(2, "24", arguments=["--in", "in.safetensors", "--mask", "m.safetensors"])
        write(self.path("m.safetensors"), {"mask_id": ("BOOL", np.ones((1, 1), bool)),
                                           "mask": ("BOOL", np.ones((24, 24), bool))})
        self.refuses(2, "mask_id and mask",
                     arguments=["--in", "in.safetensors", "--mask", "m.safetensors"])

    def test_skip_lists(self):
        line = ["attend", "--in", "in.safetensors", "--out", "o.safetensors", "--recipe"]
        self.fails(2, "--skip-lists: recipe fa3_fp8", "lite_fp8",
                   arguments=[*line, "fa3_fp8", "--skip-lists", "next.safetensors"])
        self.fails(2, "--must-do: says nothing without --skip-lists",
                   arguments=[*line, "lite_fp8", "--must-do", "m.safetensors"])
        write(self.path("m.safetensors"), {"mask_id": ("BOOL", np.ones((2, 2), bool))})
        self.fails(2, "m.safetensors", "24 tokens",
                   arguments=[*line, "lite_fp8", "--skip-lists", "next.safetensors", "--must-skip", "m.safetensors"])
        write(self.path("m.safetensors"), {"mask_id": ("BOOL", np.ones((1, 1), bool)),
                                           "block_size": ("I32", np.array([128, 224], np.int32))})
        self.fails(2, "--must-skip: the tile of query block 0", "both done and skipped",
                   arguments=[*line, "lite_fp8", "--skip-lists", "next.safetensors", "--must-skip", "m.safetensors",
                              "--must-do", "m.safetensors"])
        self.assertFalse(os.path.exists(self.path("next.safetensors")))

    def test_a_scale_of_all_heads_is_not_one_heads(self):
        self.fails(2, "--head: is one head alone", "xdit_flash3_fp8", "leave --head out",
                   arguments=["attend", "--recipe", "xdit_flash3_fp8", "--grid", "1,1,8", "--head", "0", "-o", "o.st"])

    def test_options_that_contradict(self):
        self.refuses(2, "--model", arguments=["--in", "in.safetensors", "--model", "wan2.1-14b"])
        self.refuses(2, "--head 3", arguments=["--in", "in.safetensors", "--head", "3"])
        self.refuses(2, "layout", arguments=["--in", "in.safetensors", "--layout", "SBHD"])
        self.refuses(2, "--tap", arguments=["--in", "in.safetensors", "--tap", "99"])
        self.refuses(2, "nothing to compute", arguments=[])
        self.refuses(2, "wan2.1-14b", arguments=["--model", "wan2.1-14", "--resolution", "480p"])
        self.refuses(2, "640p", arguments=["--model", "wan2.1-14b", "--resolution", "640p"])
        self.refuses(2, "--threads", arguments=["--in", "in.safetensors", "--threads", "two"])

    def test_densities_of_masks(self):
        shape = ["--seqlen", "4096"]
        self.fails(2, "density", "predicts none",
                   arguments=["cost", "--density", "0.3", *shape])
        for density in ("0", "1.5", "nan"):
            self.fails(2, "density", arguments=["cost", "--recipe", "svg2", "--density", density,
                                                *shape])
        self.fails(2, "density", arguments=["cost", "--recipe", "svg2", *shape])
        self.fails(2, "causal", "predicted",
                   arguments=["cost", "--recipe", "subblock", "--causal", *shape])

    def test_recipes(self):
        def with_recipe(text):
            with open(self.path("r.json"), "w") as file:
                file.write(text)
            return ["attend", "--recipe", "r.json", "--in", "in.safetensors", "--out", "o.safetensors"]
        good = json.loads(self.succeeds("recipes", "fpsattention", "--json").stdout)
        good = good.get("recipe", good)
        for change, words in (
                (lambda r: r["mask"].update(window=[0, 3, 3]), ["mask.window"]),
                (lambda r: r["mask"].update(tile=[6, 8]), ["mask.tile"]),
                (lambda r: r["mask"].update(bordr="clamp"), ["mask.bordr", "mask.border"]),
                (lambda r: r["qk"].update(instruction="hopper.wgmma.e4m3"), ["qk.instruction"]),
                (lambda r: r["p"].update(multiplier="many"), ["p.multiplier"]),
                (lambda r: r["pv"].update(promote_every=33), ["pv.promote_every"]),
                (lambda r: r.update(output="bf17"), ["output"])):
            recipe = json.loads(json.dumps(good))
            change(recipe)
            self.fails(2, "r.json", *words, arguments=with_recipe(json.dumps(recipe)))
        self.fails(2, "r.json", "line 1", arguments=with_recipe("{"))
        self.fails(2, "fpsattention", arguments=["attend", "--recipe", "fpsatention", "--grid",
                                                 "2,2,2", "--out", "o.safetensors"])
        self.fails(3, "no.json", arguments=["attend", "--recipe", "no.json", "--grid", "2,2,2",
                                            "--out", "o.safetensors"])


class BadCodes(Case):
    def test_scales_and_codes_that_do_not_fit(self):
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,9,9", "--channels", 16, "-o",
                      "g.h5", "--quiet")
        self.succeeds("inspect", "g.h5", "--export", "ex", "--quiet")
        stages = read(self.path("ex/stages.safetensors"))
        codes = {x + y: stages[x + y] for x in "qkv" for y in ("_codes", "_scale")}

        def refuses(code, *words, **changes):
            write(self.path("c.safetensors"), {**codes, **changes})
            self.fails(code, *words, arguments=["attend", "--recipe", "fpsattention", "--grid", "2,9,9",
                                                "--in", "c.safetensors", "--out", "o.safetensors"])
            self.assertFalse(os.path.exists(self.path("o.safetensors")))
        refuses(2, "q_scale", q_scale=("F32", codes["q_scale"][1][:, :, :1]))
        refuses(3, "q_scale", "NaN", q_scale=("F32", codes["q_scale"][1] * np.float32("nan")))
        bad = codes["k_codes"][1].copy()
        bad[0, 0, 11, 3] = 0x7F
        refuses(3, "k_codes", "token 11, channel 3", k_codes=("F8_E4M3", bad))
        refuses(2, "v_codes", v_codes=("F32", codes["v_codes"][1].astype(np.float32)))

    def test_codes_by_the_names_of_values(self):
        """q, k and v of one byte an element are codes: with scales the same as q_codes and so on."""
        self.succeeds("make", "--recipe", "fa3_fp8", "--grid", "2,4,8", "--channels", 16, "-o", "g.h5",
                      "--quiet")
        self.succeeds("inspect", "g.h5", "--export", "ex", "--quiet")
        stages = read(self.path("ex/stages.safetensors"))
        codes = {x: stages[x + "_codes"] for x in "qkv"}
        scales = {x + "_scale": stages[x + "_scale"] for x in "qkv"}
        line = ["attend", "--recipe", "fa3_fp8", "--in", "c.safetensors", "--out", "o.safetensors"]
        write(self.path("c.safetensors"), {**codes, **scales})
        self.succeeds(*line, "--quiet")
        np.testing.assert_array_equal(read(self.path("o.safetensors"))["o"][1], stages["o"][1])
        os.remove(self.path("o.safetensors"))
        write(self.path("c.safetensors"), codes)
        self.fails(2, "codes without scales", "q_scale", arguments=line)
        write(self.path("c.safetensors"), {**codes, **scales, "k": ("F32", codes["k"][1].astype(np.float32))})
        self.fails(2, ": k: is f32 where q is not", arguments=line)
        self.assertFalse(os.path.exists(self.path("o.safetensors")))


class Golden(Case):
    def setUp(self):
        super().setUp()
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "3,9,9", "--channels", 16, "-o",
                      "g.h5", "--quiet")
        self.succeeds("attend", "--in", "g.h5", "--out", "o.safetensors", "--quiet")

    def test_any_flipped_byte_is_noticed(self):
        with open(self.path("g.h5"), "rb") as file:
            whole = file.read()
        random = np.random.default_rng(0)
        places = [0, 30, 100, 511, 512, 600, len(whole) - 1, *random.integers(0, len(whole), 20)]
        for at in places:
            spoiled = bytearray(whole)
            spoiled[at] ^= 0x10
            with open(self.path("bad.h5"), "wb") as file:
                file.write(spoiled)
            for arguments in (["check", "bad.h5", "o.safetensors"], ["inspect", "bad.h5"],
                              ["check", "g.h5", "bad.h5"]):
                self.fails(3, "bad.h5", arguments=arguments)

    def test_truncated(self):
        size = os.path.getsize(self.path("g.h5"))
        for keep in (0, 100, 512, 513, size // 2, size - 1):
            shutil.copy(self.path("g.h5"), self.path("bad.h5"))
            os.truncate(self.path("bad.h5"), keep)
            self.fails(3, "bad.h5", arguments=["check", "bad.h5", "o.safetensors"])

    def test_hdf5_that_is_no_golden_file(self):
        with h5py.File(self.path("other.h5"), "w") as file:
            file["o"] = np.zeros((1, 1, 243, 16), np.float32)
        self.fails(3, "no golden file", arguments=["check", "other.h5", "o.safetensors"])
        with h5py.File(self.path("fake.h5"), "w") as file:
            file.attrs["schema"] = "karat-golden/1"
            file["stages/o"] = np.zeros((1, 1, 243, 16), np.float32)
        self.fails(3, "fake.h5", arguments=["check", "fake.h5", "o.safetensors"])
        with h5py.File(self.path("next.h5"), "w") as file:
            file.attrs["schema"] = "someone-elses/2"
        self.fails(3, "someone-elses/2", arguments=["check", "next.h5", "o.safetensors"])

    def test_candidates_that_cannot_be_compared(self):
        def candidate(**arrays):
            write(self.path("c.safetensors"), arrays)
            return ["check", "g.h5", "c.safetensors"]
        o = read(self.path("o.safetensors"))["o"]
        self.fails(2, "no stage", arguments=candidate(x=o))
        self.fails(2, "1 x 1 x 200 x 16", arguments=candidate(o=(o[0], o[1][:, :, :200])))
        self.fails(2, "--layout", arguments=candidate(o=(o[0], o[1].transpose(0, 2, 1, 3))))
        self.fails(2, "i32", arguments=candidate(o=("I32", o[1].astype(np.int32))))
        self.fails(2, "f32", "e4m3", arguments=candidate(q_codes=("F32", o[1].astype(np.float32))))
        self.fails(3, "none.safetensors", arguments=["check", "g.h5", "none.safetensors"])
        self.fails(2, "candidate", "missing", arguments=["check", "g.h5"])
        good = ["check", "g.h5", "o.safetensors"]
        self.fails(2, "head 1 of 1", arguments=good + ["--select", "0,1"])
        self.fails(2, "--select", arguments=good + ["--select", "0,0,0,0"])
        self.fails(2, "--order", "tiled", arguments=good + ["--order", "tile"])


class FourBits(Case):
    def test_a_golden_file_refuses_codes_it_has_no_type_for(self):
        for name in ("q", "k", "v"):
            for form in ("e2m1", "int4"):
                for base in ("fa3_fp8", "fa3_bf16", "sage2_sm90"):
                    with open(self.path("r.json"), "w") as file:
                        json.dump({"base": base, name: {"format": form}}, file)
                    case = ["--recipe", "r.json", "--grid", "2,4,8", "--channels", "64", "--quiet", "-o"]
                    self.fails(2, f"{name}.format", "4 bits", form, f"{name}.enters bf16",
                               arguments=["make", *case, "g.h5"])
                    self.assertNotIn("g.h5", self.files())
                    self.succeeds("attend", *case, "o.safetensors")  # the action it names
        with open(self.path("r.json"), "w") as file:
            json.dump({"base": "fa3_bf16", "v": {"format": "e2m1", "enters": "bf16"}}, file)
        self.succeeds("make", *case, "g.h5")


class Disk(Case):
    MAKE = ["make", "--recipe", "fpsattention", "--grid", "6,16,16", "--quiet", "-o"]

    def test_unwritable_places(self):
        self.fails(3, "no/g.h5", arguments=self.MAKE + ["no/g.h5"])
        os.mkdir(self.path("g.h5"))
        self.fails(3, "g.h5", arguments=self.MAKE + ["g.h5"])
        self.fails(3, "/dev/full", arguments=self.MAKE + ["/dev/full"])
        self.fails(3, "/proc", arguments=self.MAKE + ["/proc/g.h5"])
        if os.geteuid() != 0:
            os.mkdir(self.path("locked"), 0o500)
            self.fails(3, "locked", arguments=self.MAKE + ["locked/g.h5"])

    def test_a_full_disk_leaves_nothing(self):
        """A limit on file size stands for a full disk: the write fails half way."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        for command in (self.MAKE + ["g.h5"],
                        ["attend", "--recipe", "fpsattention", "--grid", "6,16,16", "--quiet", "--out",
                         "o.safetensors"]):
            done = self.karat(*command, preexec_fn=limit)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertEqual(self.files(), [])

    def test_an_old_file_survives_a_failure(self):
        with open(self.path("g.h5"), "w") as file:
            file.write("precious")
        done = self.karat(*self.MAKE, "g.h5",
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000,) * 2))
        self.assertEqual(done.returncode, 3)
        with open(self.path("g.h5")) as file:
            self.assertEqual(file.read(), "precious")
        self.assertEqual(self.files(), ["g.h5"])


class Kernels(Case):
    def test_kernels_and_launch_files(self):
        def launch(**changed):
            fields = {"schema": "karat.launch", "version": 1, "ptx": "k.ptx", "block": [32],
                      "tensors": {"o": {"dtype": "u32", "shape": [32], "output": True}},
                      "parameters": [{"pointer": "o"}], **changed}
            with open(self.path("l.json"), "w") as file:
                json.dump(fields, file)

        def kernel(body):
            with open(self.path("k.ptx"), "w") as file:
                file.write(".version 8.0\n.target sm_90a\n.entry k(.param .u64 o) {\n"
                           ".reg .b64 %d<9>; ld.param.u64 %d1, [o];\n" + body + "}\n")

        line = ["run", "l.json", "-o", "o.safetensors", "--limit", "1000"]
        self.fails(3, "l.json", arguments=line)
        launch()
        self.fails(3, "k.ptx", arguments=line)
        kernel("frob.b32 %d1;\n")
        self.fails(3, "k.ptx:5", "frob.b32", arguments=line)
        kernel("ret;\n")
        launch(parameters=[])
        self.fails(2, "parameters", arguments=line)
        launch(grid=[0])
        self.fails(2, "grid", arguments=line)
        launch()
        self.fails(2, "--limit", arguments=line[:-1] + ["0"])
        self.fails(2, "out", arguments=["run", "l.json"])
        for body, words in (("st.global.u32 [%d1+128], 1;\n", "128 bytes"), ("L: bra L;\n", "limit"),
                            ("bar.sync 1, 64;\n", "deadlock")):
            kernel(body)
            self.fails(1, "k.ptx:5", words, arguments=line)
            self.assertNotIn("o.safetensors", self.files())
        kernel("mov.b64 %d2, %d1;\n")
        tap = {"stage": "s", "line": 5, "registers": ["%d1"], "layout": "lanes"}
        for changed, code, words in (
                ({"layout": "tile"}, 2, ["layout", "tile"]), ({"stage": ""}, 3, ["stage"]),
                ({"registers": ["%d1..%e2"]}, 3, ["%d1..%e2"]), ({"dtype": "f64"}, 3, ["dtype"]),
                ({"lines": 5}, 3, ["lines"]), ({"line": 99}, 2, ["line 99"]),
                ({"ctas": [[0, -1]]}, 3, ["ctas"]), ({"registers": ["%q"]}, 2, ["%q"]), ({}, 2, ["%d1"])):
            launch(taps=[{**tap, **changed}])
            self.fails(code, *words, arguments=line + ["--taps"])
        shared = {"stage": "s", "line": 5, "shared": 1024, "shape": [4, 32], "swizzle": "64B"}
        launch(taps=[shared])
        self.fails(3, "swizzle", "128", arguments=line + ["--taps"])
        launch()
        self.fails(2, "--timeline", "t.png", arguments=line + ["--timeline", "t.png"])
        self.fails(2, "timeline", arguments=line + ["--timeline", "t.svg", "--timeline-cta", "7"])
        self.fails(2, "timeline", arguments=line + ["--timeline", "t.svg", "--hazards"])
        self.fails(2, "--timeline-cta", arguments=line + ["--timeline-cta", "0,0"])
        for changed, words in (({"address": 100}, "256"), ({"address": 1 << 40, "variable": "v"}, "v"),
                               ({"address": 256}, "2 MiB")):
            launch(tensors={"o": {"dtype": "u32", "shape": [32], "output": True, **changed},
                            "p": {"dtype": "u32", "shape": [32], "address": 512}})
            self.fails(2, words, arguments=line)


class Killed(Case):
    LONG = [KARAT, "make", "--recipe", "dense_f32", "--grid", "12,40,40", "--quiet", "-o", "g.h5"]

    def started(self):
        child = subprocess.Popen(self.LONG, cwd=self.folder, stderr=subprocess.PIPE, text=True,
                                 start_new_session=True)
        deadline = time.time() + 60
        while not self.files():
            self.assertLess(time.time(), deadline)
            time.sleep(0.02)
        time.sleep(0.3)
        self.assertIsNone(child.poll(), "the case is too short for this test")
        self.assertNotIn("g.h5", self.files())
        return child

    def test_interrupted_runs_clean_up(self):
        for sent in (signal.SIGINT, signal.SIGTERM):
            child = self.started()
            child.send_signal(sent)
            _, narration = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 128 + sent)
            self.assertIn("interrupted", narration)
            self.assertEqual(self.files(), [])

    def test_control_c_reaches_all_processes_and_still_cleans_up(self):
        child = self.started()
        os.killpg(child.pid, signal.SIGINT)
        child.communicate(timeout=60)
        self.assertEqual(child.returncode, 128 + signal.SIGINT)
        self.assertEqual(self.files(), [])

    def test_a_killed_run_leaves_nothing_under_the_name(self):
        child = self.started()
        child.kill()
        child.communicate(timeout=60)
        self.assertNotIn("g.h5", self.files())


if __name__ == "__main__":
    unittest.main()
