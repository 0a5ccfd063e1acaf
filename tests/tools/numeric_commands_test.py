# karat codec and karat mma as a user runs them: worked examples, rows captured on GPUs, bad input.
# Expected words come from published captures and the formats' definitions, not from karat.
# usage: numeric_commands_test.py KARAT DATA_FOLDER
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

KARAT, DATA = sys.argv[1:3]


def karat(*arguments, text=None):
    return subprocess.run([KARAT, *arguments], input=text, capture_output=True, text=True)


def mma(instruction, lines, *options):
    return karat("mma", "--instruction", instruction, "--in", "-", "--quiet", *options,
                 text="\n".join(lines) + "\n")


class Commands(unittest.TestCase):
    def refused(self, result, *parts):
        """Exit 2 and one line on stderr that holds all parts."""
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class Mma(Commands):
    # a, b, c and D of hopper.wgmma.e4m3.f32; missing operands are zero.
    F32 = """
        38 38 00000000 3f800000
        3801 3818 00000000 3f800400
        3801 3810 00000000 3f800000
        3881 3810 00000000 3f800000
        7e01 7e01 00000000 48440000
        00 00 3f800001 3f800000
        00 00 bf800600 bf800400
        3c 38 46000000 46000400
        7e7e38 7efe01 00000000 00000000
        3f 3f 00000000 40610000
        07 38 00000000 3c600000
        01 01 33000000 36810000
        01 01 32800000 36800000
        7f 38 00000000 7fffffff
        ff 00 00000000 7fffffff
        38 38 7f800000 7f800000
        38 38 ff800000 ff800000
        38 38 ff800001 7fffffff
        00 00 007fffff 007ffc00
        """
    F16 = """
        38 38 0000 3c00
        00 00 3c01 3c01
        3c 38 7000 7000
        3f 3f 0000 4308
        07 38 0000 2300
        7f 38 0000 7fff
        """

    def check(self, instruction, table):
        rows = [line.split() for line in table.split("\n") if line.strip()]
        result = mma(instruction, [" ".join(row[:3]) for row in rows])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.split(), [row[3] for row in rows])

    def test_worked_examples(self):
        full = " ".join(["7e" * 32, "7e" * 32, "00000000", "4ac40000"])
        negative = " ".join(["80" * 32, "38" * 32, "80000000", "00000000"])
        self.check("hopper.wgmma.e4m3.f32", self.F32 + full + "\n" + negative)
        self.check("hopper.wgmma.e4m3.f16", self.F16)

    def test_chains_stop_growing(self):
        # 1/16 squared, 32 at a time, grows by 1/8 a step up to 64, where 1/8 is below the grid.
        for steps, word in [(1, "3e000000"), (8, "3f800000"), (512, "42800000"), (600, "42800000")]:
            operands = "18" * 32 * steps
            result = mma("hopper.wgmma.e4m3.f32", [f"{operands} {operands} 00000000"])
            self.assertEqual(result.stdout.strip(), word)

    def test_integers_wrap(self):
        result = mma("hopper.wgmma.s8.s32", ["80 80 7fffffff", "ff 7f 00000000"])
        self.assertEqual(result.stdout.split(), ["80003fff", "ffffff81"])

    def test_hardware_rows(self):
        path = os.path.join(DATA, "hardware", "H100_E4M3_fp32.txt")
        if not os.path.exists(path):
            self.skipTest(f"rows captured on an H100: no {path}")
        with open(path) as file:
            rows = [line.split() for line in file if not line.startswith("#")]
        result = mma("hopper.wgmma.e4m3.f32", [" ".join(row[:3]) for row in rows])
        self.assertGreater(len(rows), 0)
        self.assertEqual(result.stdout.split(), [row[3] for row in rows])

    def test_explain_names_the_grid(self):
        result = mma("hopper.wgmma.e4m3.f32", ["3801 3810 00000000"], "--explain")
        self.assertIn("largest exponent 0, grid 2^-13", result.stdout)
        self.assertIn("truncated", result.stdout)

    def test_bad_input_names_its_line(self):
        good = "38 38 00000000"
        name = "hopper.wgmma.e4m3.f32"
        self.refused(mma(name, [good, "3g 38 00000000"]), "line 2", "g")
        self.refused(mma(name, [good, good, "38 38"]), "line 3", "2 fields")
        self.refused(mma(name, ["38" * 33 + " " + "38" * 33 + " 00000000"]), "line 1", "33", "32")
        self.refused(mma(name, ["3838 38 00000000"]), "line 1")
        self.refused(mma(name, ["38 38 0000"]), "line 1", "c has 4")
        self.refused(mma(name, ["383 383 00000000"]), "line 1")
        self.refused(mma("hopper.wgmma.e4m4.f32", [good]), "hopper.wgmma.e4m3.f32")


class Codec(Commands):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = os.path.join(folder.name, "x.bin")
        self.target = os.path.join(folder.name, "y.bin")

    def convert(self, content, *options):
        with open(self.source, "wb") as file:
            file.write(content)
        return karat("codec", "--in", self.source, "--out", self.target, *options)

    def converted(self, content, *options):
        result = self.convert(content, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(self.target, "rb") as file:
            return file.read()

    def test_values_and_neighbours(self):
        result = karat("codec", "--format", "e4m3", "448", "code:7f")
        self.assertEqual(result.returncode, 0)
        for part in ["7e", "0'1111'110", "416", "nan"]:
            self.assertIn(part, result.stdout)
        self.assertEqual(len(karat("codec", "--format", "e4m3", "--table").stdout.splitlines()), 256)

    def test_decimals_are_rounded_once(self):
        for name, given, code, value in [
            ("e4m3", "1e-46", "00", "0"),
            ("e4m3", "-1e-400", "80", "-0"),
            ("e4m3", "1e400", "7e", "448"),
            ("e4m3", "-431.99999999999994", "fd", "-416"),
            ("e4m3", "-432", "fe", "-448"),
            ("f16", "1e-46", "0000", "0"),
            ("f32", "1e-46", "00000000", "0"),
            ("int32", "16777217", "01000001", "16777217"),
            ("int32", "-2147483648", "80000000", "-2147483648"),
        ]:
            result = karat("codec", "--format", name, "--json", "--", given)
            self.assertEqual(result.returncode, 0, result.stderr)
            shown = json.loads(result.stdout)["values"][0]["code"]
            self.assertEqual((shown["code"], shown["value"]), (code, value), (name, given))
        self.refused(karat("codec", "--format", "e4m3", "1.5x"), "1.5x", "is no number")

    def test_ties_of_powers_of_two(self):
        for policy, value in [("nvidia_satfinite", "2"), ("ml_dtypes", "4"), ("torch", "4")]:
            result = karat("codec", "--format", "e8m0", "--policy", policy, "--json", "3")
            self.assertEqual(json.loads(result.stdout)["values"][0]["code"]["value"], value)

    def test_raw_files(self):
        x = struct.pack("<6f", 1.0, -448.0, 465.0, float("inf"), float("nan"), 2.0**-10)
        pair = ["--from", "f32", "--to", "e4m3", "--policy"]
        self.assertEqual(self.converted(x, *pair, "nvidia_satfinite").hex(), "38fe7e7e7f00")
        self.assertEqual(self.converted(x, *pair, "nvidia_nosat").hex(), "38fe7f7f7f00")
        back = self.converted(b"\x38\x7e\x81", "--from", "e4m3", "--to", "f32")
        self.assertEqual(struct.unpack("<3f", back), (1.0, 448.0, -(2.0**-9)))

    def test_functions_of_the_special_function_unit(self):
        """A word that a GB200 printed and correct rounding does not give; special values."""
        x = struct.pack("<5I", 0xC1238D46, 0x00000001, 0x7F800000, 0xFF800000, 0x7FC00000)
        for name, words in [
            ("ex2", [0x3A5B7D5C, 0x3F800000, 0x7F800000, 0x00000000, 0x7FFFFFFF]),
            ("rcp", [None, 0x7F800000, 0x00000000, 0x80000000, 0x7FFFFFFF]),
            ("rsqrt", [0x7FFFFFFF, 0x7F800000, 0x00000000, 0x7FFFFFFF, 0x7FFFFFFF]),
            ("lg2", [0x7FFFFFFF, 0xFF800000, 0x7F800000, 0x7FFFFFFF, 0x7FFFFFFF]),
        ]:
            given = struct.unpack("<5I", self.converted(x, "--function", f"{name}.approx.ftz.f32"))
            for word, expected in zip(given, words):
                if expected is not None:
                    self.assertEqual(word, expected, name)

    def test_a_function_explains_its_value(self):
        result = karat("codec", "--function", "ex2.approx.ftz.f32", "--explain", "--json", "0.5", "inf")
        half, infinity = json.loads(result.stdout)["values"]
        steps = half["steps"]
        self.assertEqual(half["result"]["bits"], "3fb504f3")
        c0, c1, c2 = steps["coefficients"]
        self.assertEqual(steps["segment"], 32)
        self.assertEqual(
            steps["sum"], c0 * 2**13 + c1 * steps["offset"] + c2 * steps["square"] + 0x77E2)
        (value,) = struct.unpack("<f", struct.pack("<I", 0x3FB504F3))
        self.assertEqual(steps["significand"] * 2.0 ** steps["exponent"], value)
        self.assertEqual((infinity["result"]["bits"], infinity["steps"]), ("7f800000", None))

    def test_bad_input(self):
        self.refused(self.convert(b"abc", "--function", "ex2.approx.ftz.f32"), "3", "multiple", "4")
        self.refused(karat("codec", "--function", "ex2.approx.f32", "1"), "ex2.approx.ftz.f32")
        self.refused(karat("codec", "--function", "ex2.approx.ftz.f32"), "give values")
        self.refused(self.convert(b"abcde", "--from", "f32", "--to", "e4m3"), "5", "multiple", "4")
        self.assertFalse(os.path.exists(self.target))
        self.refused(self.convert(b"", "--from", "int8", "--to", "e8m0"), "no meaning")
        self.refused(self.convert(b"", "--from", "e4m3", "--to", "e4m3"), "no meaning")
        self.refused(self.convert(b"", "--from", "f32", "--to", "e4m4"), "e4m3")
        self.refused(self.convert(b"", "--from", "f32", "--to", "e4m3", "--policy", "tortch"), "torch")
        self.refused(karat("codec", "--format", "e4m3", "code:1ff"), "1ff")
        self.refused(karat("codec", "--format", "e4m3", "--tabel"), "--table")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
