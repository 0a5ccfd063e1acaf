# Holds the NumPy arithmetic against hand-worked steps, measured Hopper rows and exact rationals:
#   test_arithmetic.py [DIRECTORY OF MEASURED ROWS]

import os
import struct
import sys
import unittest
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

from exp2 import MARGIN, exp2, exp2_exact
from formats import E4M3_VALUES, F32, F64, bf16_bits, e4m3_code, fl
from steps import chain_wgmma_e4m3, wgmma_e4m3_step

ROWS = None  # the file of measured rows


def codes(text):
    """'7e 01x31' -> 32 codes, the rest zero."""
    out = []
    for word in text.split():
        code, _, times = word.partition("x")
        out += [int(code, 16)] * int(times or 1)
    return np.array([out + [0] * (32 - len(out))], np.uint8)


def word_f32(text):
    return np.array([[int(text, 16)]], np.uint32).view(F32)


# a, b, c, D of one step; listed codes lead, the rest are 00
WORKED = [
    ("38", "38", "00000000", "3f800000"),
    ("7ex32", "7ex32", "00000000", "4ac40000"),
    ("7e 01", "7e 01", "00000000", "48440000"),
    ("38 01", "38 18", "00000000", "3f800400"),
    ("38 01", "38 10", "00000000", "3f800000"),
    ("38 81", "38 10", "00000000", "3f800000"),
    ("38 01x31", "38 10x31", "00000000", "3f800000"),
    ("00", "00", "3f800001", "3f800000"),
    ("00", "00", "bf800600", "bf800400"),
    ("3c", "38", "46000000", "46000400"),
    ("38", "38", "46800000", "46800000"),
    ("7e 7e 38", "7e fe 01", "00000000", "00000000"),
    ("3f", "3f", "00000000", "40610000"),
    ("07", "38", "00000000", "3c600000"),
    ("01", "01", "33000000", "36810000"),
    ("01", "01", "32800000", "36800000"),
    ("7f", "38", "00000000", "7fffffff"),
    ("ff", "00", "00000000", "7fffffff"),
    ("38", "38", "7f800000", "7f800000"),
    ("38", "38", "ff800000", "ff800000"),
    ("38", "38", "ff800001", "7fffffff"),
    ("80x32", "38x32", "80000000", "00000000"),
    ("7ex32", "7ex32", "7f7fffff", "7f7ffc00"),
    ("00", "00", "007fffff", "007ffc00"),
    ("00", "00", "00000001", "00000000"),
]


class Step(unittest.TestCase):
    def test_worked_examples(self):
        for a, b, c, expected in WORKED:
            d = wgmma_e4m3_step(codes(a), codes(b), word_f32(c)).view(np.uint32)[0, 0]
            self.assertEqual(f"{d:08x}", expected, (a, b, c))

    def test_measured_rows(self):
        if ROWS is None or not os.path.exists(ROWS):
            self.skipTest(f"no measured rows at {ROWS}")
        equal = total = 0
        with open(ROWS) as file:
            rows = [line for line in file if not line.startswith("#")]
        for line in rows:
            a, b, c, expected = line.split()
            a, b = (np.frombuffer(bytes.fromhex(x), np.uint8)[None] for x in (a, b))
            d = wgmma_e4m3_step(a, b, word_f32(c)).view(np.uint32)[0, 0]
            equal += int(d) == int(expected, 16)
            total += 1
        self.assertEqual((equal, total), (5000, 5000))

    def test_chain_stalls_at_64(self):
        sixteenths = np.full((1, 32 * 520), 0x18, np.uint8)
        self.assertEqual(chain_wgmma_e4m3(sixteenths, sixteenths)[0, 0], 64)
        self.assertEqual(chain_wgmma_e4m3(sixteenths[:, :64], sixteenths[:, :64])[0, 0], 0.25)


class Formats(unittest.TestCase):
    def test_every_code_is_its_own_nearest(self):
        finite = [c for c in range(256) if c & 0x7F != 0x7F]
        self.assertEqual(e4m3_code(E4M3_VALUES[finite]).tolist(), finite)

    def test_ties_go_to_even_and_large_saturates(self):
        cases = [(2**-10, 0x00), (np.nextafter(F32(2**-10), F32(1)), 0x01), (3 * 2**-10, 0x02),
                 (1.0625, 0x38), (1.1875, 0x3A), (464, 0x7E), (465, 0x7E), (np.inf, 0x7E),
                 (-0.0, 0x80), (-2**-11, 0x80), (-1e9, 0xFE)]
        for x, code in cases:
            self.assertEqual(int(e4m3_code(F32(x))), code, x)

    def test_nearest_by_exact_rationals(self):
        rng = np.random.default_rng(1)
        x = (rng.standard_normal(2000) * 2.0**rng.integers(-12, 10, 2000)).astype(F32)
        values = [(Fraction(float(v)), c) for c, v in enumerate(E4M3_VALUES[:0x7F])]
        for v, code in zip(x, e4m3_code(x)):
            exact = abs(Fraction(float(v)))
            nearest = min(values, key=lambda p: (abs(p[0] - exact), p[1] % 2))[1]
            self.assertEqual(int(code), nearest | (0x80 if v < 0 else 0))

    def test_flush_keeps_the_sign(self):
        self.assertTrue(np.signbit(fl(F32(-2.0**-127))))
        self.assertEqual(float(fl(F32(-2.0**-127))), 0)
        self.assertEqual(float(fl(F32(2.0**-126))), 2.0**-126)

    def test_bf16_ties(self):
        x = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x80000000], np.uint32).view(F32)
        self.assertEqual([f"{b:04x}" for b in bf16_bits(x)], ["3f80", "3f82", "3f81", "8000"])


class Exp2(unittest.TestCase):
    def test_powers_and_ends(self):
        x = np.array([0, -1, -126, -127, -149, -150, -1e30, -np.inf, 127, 128], F32)
        expected = [1, 0.5, 2.0**-126, 0, 0, 0, 0, 0, 2.0**127, np.inf]
        self.assertEqual(exp2(x).tolist(), expected)

    def test_equals_the_exact_path(self):
        rng = np.random.default_rng(2)
        x = np.concatenate([-rng.exponential(4, 3000), -rng.uniform(0, 126, 1000),
                            -2.0**rng.uniform(-40, 0, 1000)]).astype(F32)
        self.assertEqual(exp2(x).tolist(), [float(exp2_exact(v)) for v in x])

    def test_the_double_is_far_inside_the_margin(self):
        digits = Context(prec=40)
        rng = np.random.default_rng(3)
        for x in (-rng.exponential(8, 3000)).astype(F32):
            exact = digits.power(Decimal(2), Decimal(float(x)))
            error = abs(Fraction(float(np.exp2(F64(x)))) / Fraction(exact) - 1)
            self.assertLess(error, Fraction(1, 2**50))

    def test_undecided_arguments_take_the_exact_path(self):
        x = -np.arange(0x3F000000, 0x3F800000, dtype=np.uint32).view(F32)  # 2^x in (1/2, 2^-1/2]
        halves = np.ldexp(np.exp2(x.astype(F64)), 25)  # odd: halfway between two FP32 numbers
        from_halfway = np.abs(halves % 2 - 1)
        hardest = np.argsort(from_halfway)[:8]
        self.assertLess((from_halfway / halves)[hardest].max(), MARGIN)
        x = x[hardest]
        self.assertEqual(exp2(x).tolist(), [float(exp2_exact(v)) for v in x])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROWS = os.path.join(sys.argv.pop(1), "hardware", "H100_E4M3_fp32.txt")
    unittest.main()
