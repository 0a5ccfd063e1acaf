"""Files that nobody's program writes: odd entries among good ones, shapes that contradict each other,
golden files changed and sealed again. One line, exit 0 to 3, never a signal, never exit 4."""
import json
import os
import struct
import unittest

import h5py
import numpy as np

import mutants
from karat import Case, bf16, read, write

LONG = os.environ.get("KARAT_LONG") == "1"
ATTEND = ["attend", "--recipe", "dense_f32", "--quiet", "--out", "o.safetensors", "--in"]


def tensors(shape=(1, 1, 12, 8)):
    dice = np.random.default_rng(0)
    return {name: dice.standard_normal(shape).astype(np.float32) for name in "qkv"}


def write_raw(path, entries):
    """safetensors of (name, dtype, shape, bytes), whatever they say."""
    header, data = {}, b""
    for name, dtype, shape, raw in entries:
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def small_float(size, exponent_at, exponent, mantissa, bias):
    """A floating-point type of HDF5 by its bits; ml_dtypes' types come out so too."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(8 * size - 1, exponent_at, exponent, 0, mantissa)
    kind.set_size(size)
    kind.set_ebias(bias)
    return kind


def create_raw(file, name, kind, codes):
    space = h5py.h5s.create_simple(codes.shape)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, space)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, codes, kind)


class OddEntries(Case):
    """One entry that cannot be read; everything beside it can."""

    def listed(self, name):
        return {row["name"]: row for row in
                json.loads(self.succeeds("inspect", name, "--json").stdout)["tensors"]}

    def test_safetensors(self):
        good = [(name, "F32", x.shape, x.tobytes()) for name, x in tensors().items()]
        write_raw(self.path("good.safetensors"), good)
        self.succeeds(*ATTEND, "good.safetensors")
        expected = read(self.path("o.safetensors"))["o"][1]
        for dtype, shape, size in (("F4", [2, 8], 8), ("F6_E2M3", [4], 3), ("F6_E3M2", [4], 3),
                                   ("F8_E4M3FNUZ", [3], 3), ("F8_E5M2FNUZ", [3], 3),
                                   ("C64", [2], 16), ("F32", [1] * 40, 4)):
            write_raw(self.path("odd.safetensors"), good + [("odd", dtype, shape, bytes(size))])
            self.succeeds(*ATTEND, "odd.safetensors")
            np.testing.assert_array_equal(read(self.path("o.safetensors"))["o"][1], expected)
            listed = self.listed("odd.safetensors")
            self.assertEqual(listed["q"]["dtype"], "f32")
            self.assertEqual(listed["odd"]["shape"], shape)
            reason = "40 dimensions" if len(shape) > 32 else dtype
            self.assertIn(reason, listed["odd"]["problem"])
            write_raw(self.path("asked.safetensors"), good[1:] + [("q", dtype, shape, bytes(size))])
            self.fails(3, "asked.safetensors: q", reason, arguments=ATTEND + ["asked.safetensors"])

    def test_a_rank_that_no_case_has(self):
        good = [(name, "F32", x.shape, x.tobytes()) for name, x in tensors().items()]
        write_raw(self.path("odd.safetensors"), good + [("odd", "F32", [1] * 9, bytes(4))])
        self.succeeds(*ATTEND, "odd.safetensors")

    def test_hdf5_siblings(self):
        x = tensors()
        with h5py.File(self.path("s.h5"), "w") as file:
            for name in "qkv":
                file[name] = x[name]
            for name in ("step/x", "step-1", "step.2", "step/a/b"):
                file[name] = np.float32([len(name)])
            file["words"] = "text"
            file["records"] = np.zeros(2, [("a", "i4"), ("b", "f4")])
        self.succeeds(*ATTEND, "s.h5")
        listed = self.listed("s.h5")
        self.assertEqual(sorted(listed), ["k", "q", "records", "step-1", "step.2", "step/a/b", "step/x",
                                          "v", "words"])
        self.assertIn("text", listed["words"]["problem"])
        self.assertIn("records", listed["records"]["problem"])
        self.assertNotIn("problem", listed["step-1"])

    def test_values_come_from_the_right_sibling(self):
        x = tensors()
        write_raw(self.path("x.safetensors"), [(n, "F32", a.shape, a.tobytes()) for n, a in x.items()])
        self.succeeds(*ATTEND, "x.safetensors")
        expected = read(self.path("o.safetensors"))["o"][1]
        with h5py.File(self.path("s.h5"), "w") as file:
            for name in "qkv":
                file["inputs/" + name] = x[name]
            file["inputs-1"] = np.zeros((1, 1, 12, 8), np.float32)
            file["inputs.0"] = np.zeros((1, 1, 12, 8), np.float32)
        self.succeeds(*ATTEND, "s.h5")
        np.testing.assert_array_equal(read(self.path("o.safetensors"))["o"][1], expected)

    def test_hdf5_small_floats(self):
        codes = {name: bf16(x) for name, x in tensors().items()}
        write(self.path("b.safetensors"), {name: ("BF16", x) for name, x in codes.items()})
        self.succeeds(*ATTEND, "b.safetensors")
        expected = read(self.path("o.safetensors"))["o"][1]
        kinds = {"native": small_float(2, 7, 8, 7, 127), "opaque": h5py.h5t.create(h5py.h5t.OPAQUE, 2)}
        for how, kind in kinds.items():
            with h5py.File(self.path(how + ".h5"), "w") as file:
                for name in "qkv":
                    create_raw(file, name, kind, codes[name])
                    if how == "opaque":
                        file[name].attrs["format"] = "bf16"
            self.assertEqual(self.listed(how + ".h5")["q"]["dtype"], "bf16")
            self.succeeds(*ATTEND, how + ".h5")
            np.testing.assert_array_equal(read(self.path("o.safetensors"))["o"][1], expected)
        with h5py.File(self.path("kinds.h5"), "w") as file:
            byte = np.arange(8, dtype=np.uint8)
            create_raw(file, "e4m3", small_float(1, 3, 4, 3, 7), byte)
            create_raw(file, "e5m2", small_float(1, 2, 5, 2, 15), byte)
            create_raw(file, "fnuz", small_float(1, 3, 4, 3, 8), byte)
            create_raw(file, "unnamed", h5py.h5t.create(h5py.h5t.OPAQUE, 1), byte)
            file["half"] = np.arange(4, dtype=np.float16)
            file["half_big"] = np.arange(4, dtype=">f2")
        listed = self.listed("kinds.h5")
        for name, dtype in (("e4m3", "e4m3"), ("e5m2", "e5m2"), ("half", "f16"), ("fnuz", "?"),
                            ("unnamed", "?")):
            self.assertEqual(listed[name]["dtype"], dtype, name)
        self.assertIn("bias 8", listed["fnuz"]["problem"])
        self.assertIn("format", listed["unnamed"]["problem"])

    def test_big_endian_halves(self):
        x = {name: a.astype(np.float16) for name, a in tensors().items()}
        for how in ("<f2", ">f2"):
            with h5py.File(self.path("h.h5"), "w") as file:
                for name in "qkv":
                    file[name] = x[name].astype(how)
            self.succeeds(*ATTEND, "h.h5")
            made = read(self.path("o.safetensors"))["o"][1]
            if how == "<f2":
                expected = made
        np.testing.assert_array_equal(made, expected)

    def test_python_2_wrote_long_shapes(self):
        names = []
        for name, x in tensors().items():
            np.save(self.path(name + ".npy"), x)
            with open(self.path(name + ".npy"), "rb") as file:
                whole = file.read()
            old = whole.replace(b"(1, 1, 12, 8), }    ", b"(1L, 1L, 12L, 8L), }")
            self.assertEqual(len(old), len(whole))
            self.assertNotEqual(old, whole)
            with open(self.path(name + ".npy"), "wb") as file:
                file.write(old)
            names.append(name + ".npy")
        self.succeeds(*ATTEND, ",".join(names))


class Contradictions(Case):
    def test_scales_of_no_head(self):
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,9,9", "--channels", 16, "-o",
                      "g.h5", "--quiet")
        self.succeeds("inspect", "g.h5", "--export", "ex", "--quiet")
        stages = read(self.path("ex/stages.safetensors"))
        codes = {x + y: stages[x + y] for x in "qkv" for y in ("_codes", "_scale")}
        for name in codes:
            if not name.endswith("_scale"):
                continue
            for shape in ((0, 1, 8), (1, 0, 8), (2, 1, 16), (1, 1, 0)):
                write(self.path("c.safetensors"),
                      {**codes, name: ("F32", np.ones(shape, np.float32))})
                for command in (["attend", "--out", "o.safetensors"], ["make", "-o", "o.h5"]):
                    self.fails(2, name, arguments=command + ["--recipe", "fpsattention", "--grid",
                                                             "2,9,9", "--quiet", "--in",
                                                             "c.safetensors"])
                    self.assertEqual(self.files(), ["c.safetensors", "ex", "g.h5"])


class Mutants(Case):
    """Each mutant goes through some commands, all of them with KARAT_LONG=1."""
    COUNT = int(os.environ.get("KARAT_MUTANTS", 1000 if LONG else 60))
    EACH = 9 if LONG else 2

    def survives(self, what, arguments):
        done = self.karat(*arguments, timeout=600)
        told = f"{what}: karat {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}"
        self.assertIn(done.returncode, (0, 1, 2, 3), told)
        if done.returncode in (2, 3):
            lines = [line for line in done.stderr.splitlines() if line.startswith("karat: ")]
            self.assertEqual(len(lines), 1, told)
        left = [name for name in self.files() if name.endswith(".part")]
        self.assertEqual(left, [], told)
        return done.returncode

    def some(self, number, commands):
        first = number * self.EACH
        return [commands[(first + i) % len(commands)] for i in range(min(self.EACH, len(commands)))]

    def bases(self):
        """A windowed FP8 file, one whose recipe leaves freedom, one of codes and one with a mask."""
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,9,9", "--channels", 16, "-o",
                      "g0.h5", "--quiet")
        self.succeeds("make", "--recipe", "fa3_fp8", "--grid", "1,9,16", "--channels", 16, "--heads", 2,
                      "-o", "g1.h5", "--quiet")
        self.succeeds("inspect", "g0.h5", "--export", "ex", "--quiet")
        stages = read(self.path("ex/stages.safetensors"))
        write(self.path("c.safetensors"),
              {x + y: stages[x + y] for x in "qkv" for y in ("_codes", "_scale")})
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,9,9", "--in", "c.safetensors",
                      "-o", "g2.h5", "--quiet")
        keep = np.random.default_rng(1).random((1, 2, 36, 36)) < 0.6
        keep[..., np.arange(36), np.arange(36)] = True
        write_raw(self.path("m.safetensors"), [("mask", "BOOL", keep.shape, keep.tobytes())])
        self.succeeds("make", "--recipe", "fa2_bf16", "--grid", "1,6,6", "--channels", 16, "--heads", 2,
                      "--mask", "m.safetensors", "-o", "g3.h5", "--quiet")
        for i in range(4):
            mask = ["--mask", "m.safetensors"] if i == 3 else []
            self.succeeds("attend", "--in", f"g{i}.h5", "--tap", "all", "--out", f"a{i}.safetensors",
                          "--quiet", *mask)
        return 4

    def test_golden_files(self):
        bases, refused = self.bases(), 0
        for number in range(self.COUNT):
            i = number % bases
            change = mutants.golden(self.path(f"g{i}.h5"), self.path("m.h5"), number)
            commands = [["inspect", "m.h5"], ["inspect", "m.h5", "--export", "out", "--quiet"],
                        ["check", "m.h5", f"a{i}.safetensors", "--quiet"],
                        ["check", f"g{i}.h5", "m.h5", "--quiet"],
                        ["diagnose", "m.h5", f"a{i}.safetensors", "--quiet"],
                        ["diagnose", f"g{i}.h5", "m.h5", "--quiet"],
                        ["attend", "--in", "m.h5", "--out", "o.safetensors", "--quiet"],
                        ["make", "--in", "m.h5", "-o", "o.h5", "--quiet"],
                        ["mask", "--grid", "1,6,6", "--mask", "m.h5", "--quiet"]]
            for arguments in self.some(number, commands):
                refused += self.survives(f"mutant {number}, {change}", arguments) == 3
        self.assertGreater(refused, self.COUNT // 4)  # most changes are of a kind that is noticed

    def test_safetensors(self):
        self.bases()
        for number in range(self.COUNT):
            base = ("c.safetensors", "a0.safetensors", "m.safetensors")[number % 3]
            change = mutants.safetensors(self.path(base), self.path("x.safetensors"), number)
            commands = {"c": [["attend", "--recipe", "fpsattention", "--grid", "2,9,9", "--in",
                               "x.safetensors", "--out", "o.safetensors", "--quiet"],
                              ["make", "--recipe", "fpsattention", "--grid", "2,9,9", "--in",
                               "x.safetensors", "-o", "o.h5", "--quiet"], ["inspect", "x.safetensors"]],
                        "a": [["check", "g0.h5", "x.safetensors", "--quiet"],
                              ["diagnose", "g0.h5", "x.safetensors", "--quiet"],
                              ["inspect", "x.safetensors"]],
                        "m": [["mask", "--grid", "1,6,6", "--mask", "x.safetensors", "--quiet"],
                              ["attend", "--recipe", "fa2_bf16", "--grid", "1,6,6", "--channels", 16,
                               "--heads", 2, "--mask", "x.safetensors", "--out", "o.safetensors",
                               "--quiet"], ["inspect", "x.safetensors"]]}[base[0]]
            for arguments in self.some(number // 3, commands):
                self.survives(f"mutant {number} of {base}, {change}", arguments)

    def test_npy(self):
        for name, x in tensors().items():
            np.save(self.path(name + ".npy"), x)
        os.mkdir(self.path("m"))
        for number in range(self.COUNT):
            change = mutants.npy(self.path("q.npy"), self.path("m/q.npy"), number)
            commands = [ATTEND + ["m/q.npy,k.npy,v.npy"], ["inspect", "m/q.npy"]]
            for arguments in self.some(number, commands):
                self.survives(f"mutant {number}, {change}", arguments)


if __name__ == "__main__":
    unittest.main()
