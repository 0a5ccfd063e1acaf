"""An example to copy: the tests of a Triton-style kernel, run here on a CPU stand-in.

`kernel` is where a Triton or CUDA kernel would be called; the stand-in computes the same attention
with PyTorch in the rounding of the recipe sta_bf16: BF16 products, FP32 softmax, BF16 P.
"""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

import karat  # noqa: E402
import karat.testing  # noqa: E402

GRID = (4, 8, 8)
RECIPE = {"base": "sta_bf16", "mask": {"tile": [2, 4, 4], "window": [1, 3, 1]}}


def to_torch(x):
    return torch.from_numpy(x.view("int16")).view(torch.bfloat16)


def kernel(q, k, v, keep):
    """softmax(q k^T / sqrt(d)) v over the kept pairs, q, k, v [B, H, S, D] bf16."""
    s = (q.float() @ k.float().transpose(-1, -2)) * q.shape[-1] ** -0.5
    s = s.masked_fill(~keep, float("-inf"))
    p = torch.exp(s - s.amax(-1, keepdim=True))
    o = p.bfloat16().float() @ v.float() / p.sum(-1, keepdim=True)
    return o.bfloat16()


def kept_pairs():
    blocks = karat.block_mask(RECIPE, GRID)
    keep = torch.from_numpy(blocks.keep.astype(bool))
    position = torch.from_numpy(blocks.position_of_token).long()
    return keep[position][:, position]


def test_kernel_is_near_the_truth(karat_golden):
    """Against the FP64 truth in the golden file: what any kernel of this recipe can be held to."""
    golden = karat_golden(RECIPE, grid=GRID, head_dim=64)
    o = kernel(*map(to_torch, golden.inputs), kept_pairs()).double().numpy()
    truth = golden["truth/sparse_o"]
    ours = abs(golden["o"].astype("float64") - truth).max()
    assert abs(o - truth).max() < 3 * ours


def test_a_bug_is_caught_and_named(karat_golden):
    """The same kernel without its mask: the assertion fails, and diagnose says why."""
    golden = karat_golden(RECIPE, grid=GRID, head_dim=64)
    o = kernel(*map(to_torch, golden.inputs), torch.ones(256, 256, dtype=torch.bool))
    with pytest.raises(AssertionError, match="first difference: o, batch 0, head 0"):
        karat.testing.assert_matches(golden, o)
    named = golden.diagnose(o)
    print(named)
    assert any("mask" in name for name in named.names()[:3])


def test_a_bit_exact_kernel_passes(karat_golden):
    """What adoption looks like once the kernel is right; karat itself stands in."""
    golden = karat_golden(RECIPE, grid=GRID, head_dim=64)
    o = karat.attend(*map(to_torch, golden.inputs), recipe=RECIPE, grid=GRID)
    karat.testing.assert_matches(golden, o)
