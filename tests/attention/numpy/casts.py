# How q, k, v, dO, P and dS become operands of the backward's products, written from
# docs/recipes/backward.md alone.

from dataclasses import dataclass

import numpy as np

from formats import F32, bf16_bits, bf16_value, e4m3_code, e4m3_value, fl


@dataclass
class Cast:
    """What a product reads: value times scale, where there is a scale."""
    values: np.ndarray  # float32, exact in the operand's format
    scale: np.ndarray = None  # one number
    codes: np.ndarray = None  # where the format has codes

    def rows(self, block):
        return Cast(self.values[slice(*block)], self.scale)


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


def plain_values(operand):
    """What the codes of a forward's operand stand for, before their scale."""
    decode = {np.uint8: e4m3_value, np.uint16: bf16_value}.get(operand.codes.dtype.type, lambda x: x.astype(F32))
    return decode(operand.codes)


def as_coded(operand):
    """The codes' values, their one scale outside the product."""
    return Cast(plain_values(operand), operand.scales[0])


def dequantised(operand):
    """RN to BF16 of fl(code*s), or of the value where there is no scale."""
    values = plain_values(operand)
    if operand.scales is None:
        return bf16(values)
    of_rows = operand.scales if operand.group_of_row is None else operand.scales[operand.group_of_row, None]
    return bf16(fl(values * of_rows))
