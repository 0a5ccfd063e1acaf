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
from formats import (E4M3_VALUES, F32, F64, bf16_bits, bf16_value, e4m3_code, f16_bits, f16_value, fl,
                     int8_code)
from mufu import ex2, ex2_floor, lg2, rcp
from philox import philox
from quantise import bf16_of, row_pairs_stride_8, rotated, rows_stride_8, without_token_mean
from steps import (ada_e4m3_f16_step, ada_e4m3_step, ampere_bf16_step, ampere_f16_step, chain_exact,
                   chain_f32_fma, chain_wgmma_e4m3, f32_fma_step, wgmma_bf16_step, wgmma_e4m3_step)

ROWS = None  # the directory of measured rows


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


# The same into FP16, operands in the first half of k: the second half adds nothing.
WORKED_F16 = [
    ("38", "38", "0000", "3c00"),
    ("7ex16", "7ex16", "0000", "7c00"),
    ("7e 01", "7e 01", "0000", "7c00"),
    ("38 01", "38 18", "0000", "3c00"),
    ("00", "00", "3c01", "3c01"),
    ("3c", "38", "7000", "7000"),
    ("38", "38", "7400", "7400"),
    ("3f", "3f", "0000", "4308"),
    ("07", "38", "0000", "2300"),
    ("01", "01", "0000", "0040"),
    ("80x32", "38x32", "8000", "0000"),
    ("7ex16", "7ex16", "7bff", "7c00"),
    ("00", "00", "03ff", "03ff"),
    ("00", "00", "0001", "0001"),
]


def f16_word(x):
    return int(np.float16(x).view(np.uint16))


class Step(unittest.TestCase):
    def test_worked_examples(self):
        for a, b, c, expected in WORKED:
            d = wgmma_e4m3_step(codes(a), codes(b), word_f32(c)).view(np.uint32)[0, 0]
            self.assertEqual(f"{d:08x}", expected, (a, b, c))

    def test_measured_rows(self):
        for name, step in (("H100_E4M3_fp32.txt", wgmma_e4m3_step),
                           ("Ada_E4M3_fp32.txt", ada_e4m3_step)):
            with self.subTest(name):
                path = os.path.join(ROWS or "", name)
                if ROWS is None or not os.path.exists(path):
                    self.skipTest(f"no measured rows at {path}")
                with open(path) as file:
                    rows = [line.split() for line in file if not line.startswith("#")]
                equal = 0
                for a, b, c, expected in rows:
                    a, b = (np.frombuffer(bytes.fromhex(x), np.uint8)[None] for x in (a, b))
                    d = step(a, b, word_f32(c)).view(np.uint32)[0, 0]
                    equal += int(d) == int(expected, 16)
                self.assertEqual((equal, len(rows)), (5000, 5000))

    def test_f16_accumulator(self):
        for a, b, c, expected in WORKED_F16:
            d = ada_e4m3_f16_step(codes(a), codes(b), f16_value(np.array([[int(c, 16)]])))
            self.assertEqual(f"{f16_word(d[0, 0]):04x}", expected, (a, b, c))

    def test_chain_stalls_at_64(self):
        sixteenths = np.full((1, 32 * 520), 0x18, np.uint8)
        self.assertEqual(chain_wgmma_e4m3(sixteenths, sixteenths)[0, 0], 64)
        self.assertEqual(chain_wgmma_e4m3(sixteenths[:, :64], sixteenths[:, :64])[0, 0], 0.25)


def bf16(text):
    """'1afc 1931' -> 16 values, the rest zero."""
    words = [int(w, 16) for w in text.split()]
    return bf16_value(np.array([words + [0] * (16 - len(words))]))


def round_down(exact):
    """A rational to float32, toward zero."""
    value = abs(exact)
    if value == 0:
        return F32(0)
    exponent = -126
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    quantum = Fraction(2) ** (exponent - 23)
    magnitude = float(value // quantum * quantum)
    return F32(magnitude if exact > 0 else -magnitude)


class Bf16AndF16Steps(unittest.TestCase):
    def test_the_floor_of_the_grid(self):
        d = wgmma_bf16_step(bf16("1afc 1931 9b4c 9afd"), bf16("1aa0 1a28 1af6 1abd"), word_f32("0"))
        self.assertEqual(f"{d.view(np.uint32)[0, 0]:08x}", "8000000c")

    def test_equals_rationals(self):
        rng = np.random.default_rng(4)
        for spread in (0, 3, 20, 60):
            a, b, c = ((rng.standard_normal(shape) * 2.0**rng.integers(
                -spread, spread + 1, shape)).astype(F32) for shape in ((8, 16), (8, 16), (8, 8)))
            a, b = bf16_value(bf16_bits(a)), bf16_value(bf16_bits(b))
            d = wgmma_bf16_step(a, b, c)
            for m, n in np.ndindex(8, 8):
                self.assertEqual(d[m, n], self.one_step(a[m], b[n], c[m, n]))

    def test_ampere_in_two_halves(self):
        rng = np.random.default_rng(6)
        for step, bits, value, smallest, spread in (
                (ampere_bf16_step, bf16_bits, bf16_value, -126, 20),
                (ampere_f16_step, f16_bits, f16_value, -14, 9)):
            a, b, c = ((rng.standard_normal(shape) * 2.0**rng.integers(
                -2 * spread, spread // 2, shape)).astype(F32) for shape in ((8, 16), (8, 16), (8, 8)))
            a, b = value(bits(a)), value(bits(b))
            d = step(a, b, c)
            for m, n in np.ndindex(8, 8):
                half = self.one_step(a[m, :8], b[n, :8], c[m, n], smallest, -132, 24)
                self.assertEqual(d[m, n],
                                 self.one_step(a[m, 8:], b[n, 8:], half, smallest, -132, 24))

    def one_step(self, a, b, c, smallest=-126, floor=-133, fraction=25):
        exponent = lambda x, least: max(int(np.frexp(F64(x))[1]) - 1, least)
        pairs = [(x, y) for x, y in zip(a, b) if x * y != 0]
        largest = max([floor] + [exponent(x, smallest) + exponent(y, smallest) for x, y in pairs] +
                      ([exponent(c, -126)] if c else []))
        grid = Fraction(2) ** (largest - fraction)
        terms = [Fraction(float(x)) * Fraction(float(y)) for x, y in pairs] + [Fraction(float(c))]
        return round_down(sum(int(t / grid) for t in terms) * grid)


class Fma(unittest.TestCase):
    def test_one_rounding(self):
        one_up = np.nextafter(F32(1), F32(2))
        a, b = np.array([[one_up]]), np.array([[one_up]])
        # (1+e)^2 - (1+2e) = e^2: a second rounding would give 0
        d = f32_fma_step(a, b, np.array([[-(one_up * one_up)]]))
        self.assertEqual(d[0, 0], F32(2.0**-46))

    def test_nearest_by_rationals_at_midpoints(self):
        rng = np.random.default_rng(5)
        a = (1 + rng.integers(0, 2**23, (40, 1)) * 2.0**-23).astype(F32)
        for exponent in (-80, -54, -30, -24, 0, 24, 30, 54):
            c = (rng.integers(-2**23, 2**23, (40, 40)) * 2.0**(exponent - 22)).astype(F32)
            d = f32_fma_step(a, a, c)
            for m, n in np.ndindex(40, 40):
                exact = Fraction(float(a[m, 0])) * Fraction(float(a[n, 0])) + Fraction(float(c[m, n]))
                ends = [np.nextafter(d[m, n], F32(side)) for side in (-np.inf, np.inf)]
                distance = abs(Fraction(float(d[m, n])) - exact)
                for end in ends:
                    other = abs(Fraction(float(end)) - exact)
                    even = d[m, n].view(np.uint32) % 2 == 0
                    self.assertTrue(distance < other or distance == other and even)

    def test_ascending(self):
        a, b = np.array([[2.0**24, 1, -2.0**24]], F32), np.ones((1, 3), F32)
        self.assertEqual(chain_f32_fma(a, b)[0, 0], 0)
        self.assertEqual(chain_f32_fma(a[:, [0, 2, 1]], b)[0, 0], 1)


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


    def test_int8_ties_go_away_from_zero(self):
        x = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 126.5, 127.4, 1e9, -1e9], F32)
        self.assertEqual(int8_code(x).tolist(), [1, -1, 2, 3, -3, 0, 127, 127, 127, -128])

    def test_f16_overflows_to_infinity(self):
        x = np.array([65504, 65519, 65520, -1e9, 2.0**-25, 1.5 * 2.0**-24], F32)
        self.assertEqual([f"{b:04x}" for b in f16_bits(x)],
                         ["7bff", "7bff", "7c00", "fc00", "0000", "0002"])


class Operands(unittest.TestCase):
    def test_philox_known_answers(self):
        # From Random123's table of known answers.
        for counter, key, words in (
                ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
                ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
                ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
                 "d16cfe09 94fdcceb 5001e420 24126ea1")):
            numbers = lambda text: [int(w, 16) for w in text.split()]
            self.assertEqual(philox(numbers(counter), numbers(key)), numbers(words))

    def test_rotation_is_sylvesters_matrix(self):
        signs = np.sign(rotated(np.eye(16, dtype=F32), seed=3))
        hadamard = np.array([[(-1.0)**bin(i & j).count("1") for j in range(16)] for i in range(16)])
        columns = signs * signs[:, :1]  # the random sign of each input channel taken back
        self.assertEqual(columns.tolist(), hadamard.tolist())
        self.assertTrue((np.abs(rotated(np.eye(16, dtype=F32), seed=3)) == 0.25).all())
        self.assertEqual(len(set(signs[:, 0])), 2)

    def test_thread_groups(self):
        group, count = rows_stride_8([(0, 32), (32, 35)], 16)
        self.assertEqual(count, 24)
        self.assertEqual(group[[0, 1, 8, 15, 16, 31, 32, 34]].tolist(), [0, 1, 0, 7, 8, 15, 16, 18])
        group, count = row_pairs_stride_8([(0, 16), (16, 17)], 16)
        self.assertEqual(count, 8)
        self.assertEqual(group[[0, 1, 2, 3, 7, 8, 9, 15, 16]].tolist(), [0, 0, 1, 1, 3, 0, 0, 3, 4])

    def test_the_mean_is_rounded_once(self):
        x = np.zeros((256, 1), F32)
        x[:4, 0] = 128, 128, 1, 2.0**-30  # the mean is 1 + 2^-8 + 2^-38, past a tie of BF16
        self.assertEqual(without_token_mean(x, bf16_of)[1].tolist(), [1 + 2.0**-7])

    def test_exact_chain(self):
        a, b = np.array([[2.0**40, 1, -2.0**40]], F32), np.ones((1, 3), F32)
        self.assertEqual(chain_exact(a, b)[0, 0], 1)


class SpecialFunctions(unittest.TestCase):
    """Words that a GB200 printed, and what else is known (docs/evidence.md)."""

    def test_words(self):
        x = np.array([0xC1238D46, 0xC14B10E0, 0xC1478F28, 0xC0B4FAE8, 0xC190AC65], np.uint32)
        words = [0x3A5B7D5C, 0x391E8128, 0x39388261, 0x3CA2822F, 0x36717D95]
        self.assertEqual(ex2(x.view(F32)).view(np.uint32).tolist(), words)

    def test_counts_of_the_reciprocal(self):
        x = np.arange(0x3F800000, 0x40000000, dtype=np.uint32).view(F32)
        right = (F64(1) / x).astype(F32).view(np.int32)
        off = np.abs(rcp(x).view(np.int32) - right)
        self.assertEqual(np.bincount(off).tolist(), [7280086, 1108522])

    def test_ends(self):
        x = np.array([0, -1, -126, -126.5, -200, -np.inf, 127, 128, 2.0**-30, -2.0**-30], F32)
        expected = [1, 0.5, 2.0**-126, 0, 0, 0, 2.0**127, np.inf, 1, 1]
        self.assertEqual(ex2(x).tolist(), expected)
        self.assertEqual(ex2_floor(F32([-2.0**-30, 2.0**-30])).tolist(),
                         [ex2(F32([-2.0**-23]))[0], 1])
        self.assertEqual(rcp(F32([0, np.inf, 2.0**126, 2.0**127, 0.5])).tolist(),
                         [np.inf, 0, 2.0**-126, 0, 2])
        self.assertEqual(lg2(F32([0, 1, np.inf])).tolist(), [-np.inf, 0, np.inf])


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
        ROWS = os.path.join(sys.argv.pop(1), "hardware")
    unittest.main()
