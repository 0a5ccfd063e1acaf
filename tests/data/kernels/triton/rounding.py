"""What the kernels of this folder share: operations whose roundings are stated one by one."""

import triton
import triton.language as tl


@triton.jit
def rcp(x):
    """The special-function unit's reciprocal."""
    return tl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def lg2(x):
    """The special-function unit's logarithm."""
    return tl.inline_asm_elementwise(
        "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def in_order(total, p, ROWS: tl.constexpr, N: tl.constexpr):
    """total [ROWS, 4] plus p [ROWS, 4, N], one column after the other, ascending."""
    if N == 1:
        return total + tl.reshape(p, [ROWS, 4])
    else:
        low, high = tl.split(tl.permute(tl.reshape(p, [ROWS, 4, 2, N // 2]), [0, 1, 3, 2]))
        return in_order(in_order(total, low, ROWS, N // 2), high, ROWS, N // 2)


@triton.jit
def add_quads(sums, p, ROWS: tl.constexpr, N: tl.constexpr):
    """Column n of p [ROWS, N] goes to sum (n // 2) % 4 of four, in ascending order: each of the four
    threads that hold a row of an accumulator can do that on its own."""
    quads = tl.permute(tl.reshape(p, [ROWS, N // 8, 4, 2]), [0, 2, 1, 3])
    return in_order(sums, tl.reshape(quads, [ROWS, 4, N // 4]), ROWS, N // 4)


@triton.jit
def row_sum(sums, ROWS: tl.constexpr):
    """(l0 + l2) + (l1 + l3)"""
    return tl.sum(tl.sum(tl.reshape(sums, [ROWS, 2, 2]), 1), 1)
