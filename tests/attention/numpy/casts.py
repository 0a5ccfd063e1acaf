# How q, k, v, dO, P and dS become operands of the backward's products, written from
# docs/recipes/backward.md alone.

from dataclasses import dataclass

import numpy as np

from formats import F32, bf16_bits, bf16_value, e4m3_code, e4m3_value, f16_bits, f16_value, fl
from quantise import INT8, fp4_values, guard_one, one_group, per_group


@dataclass
class Cast:
    """What a product reads: value times scale, where there is a scale."""
    values: np.ndarray  # float32, exact in the operand's format
    scale: np.ndarray = None  # one number
    codes: np.ndarray = None  # where the format has codes

    def rows(self, block):
        return Cast(self.values[slice(*block)], self.scale)


@dataclass
class Blocks:
    """Values whose scale changes from block to block."""
    values: np.ndarray
    scales: np.ndarray
    group_of_row: np.ndarray
    scale = None

    def rows(self, block):
        return Cast(self.values[slice(*block)], self.scales[self.group_of_row[block[0]]])


def rounded_bf16(x):
    return bf16_value(bf16_bits(x))


def bf16(x):
    return Cast(rounded_bf16(x))


def f32(x):
    return Cast(x)


def given(multiplier, code=e4m3_code, value=e4m3_value):
    """code = RN(fl(x*multiplier)), s = fl(1/multiplier)."""
    def cast(x):
        codes = code(fl(x * F32(multiplier)))
        return Cast(value(codes), fl(F32(1) / F32(multiplier)), codes)
    return cast


def entering_bf16(coded):
    """Fake quantisation: RN to BF16 of fl(code*s), and no scale is left."""
    def cast(x):
        made = coded(x)
        return Cast(rounded_bf16(fl(made.values * made.scale)))
    return cast


def per_block(x):
    """INT8, one scale fl(amax/127) for all that is given, 1 in place of 0."""
    coded = per_group(x, one_group(len(x)), INT8, guard_one)
    return Cast(coded.codes.astype(F32), coded.scales[0], coded.codes)


def per_rows(count):
    """The same for each `count` rows."""
    def cast(x):
        return as_coded(per_group(x, (np.arange(len(x)) // count, -(-len(x) // count)), INT8, guard_one))
    return cast


def fp4(x):
    """E2M1 per 16 columns, scale in E4M3, entering as BF16."""
    return Cast(rounded_bf16(fp4_values(x)))


def f16(x):
    return Cast(f16_value(f16_bits(x)))


def plain_values(operand):
    """What the codes of a forward's operand stand for, before their scale."""
    decode = {np.uint8: e4m3_value, np.uint16: bf16_value}.get(operand.codes.dtype.type, lambda x: x.astype(F32))
    return decode(operand.codes)


def as_coded(operand):
    """The codes' values, their scale, one for all or one a block, outside the product."""
    if len(operand.scales) == 1:
        return Cast(plain_values(operand), operand.scales[0])
    return Blocks(plain_values(operand), operand.scales, operand.group_of_row)


def dequantised(operand):
    """RN to BF16 of fl(code*s), or of the value where there is no scale."""
    values = plain_values(operand)
    if operand.scales is None:
        return bf16(values)
    of_rows = operand.scales if operand.group_of_row is None else operand.scales[operand.group_of_row, None]
    return bf16(fl(values * of_rows))
