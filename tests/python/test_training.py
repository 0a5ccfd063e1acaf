"""karat.attention under autograd: the golden file's gradients, and a layer that learns."""

import numpy as np
import pytest
from conftest import GRID
from test_backward import SMALL

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

import karat  # noqa: E402


def tensor(array):
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


def bits(x):
    return x.contiguous().view(torch.int16).numpy()


@pytest.fixture(scope="module")
def case():
    return karat.generate("video", grid=GRID, heads=4, kv_heads=2, head_dim=32, seed=2, do=True)


def test_gradients_are_the_golden_file_s(tmp_path, case):
    golden = karat.save(tmp_path / "g.h5", *case[:3], recipe=SMALL, grid=GRID, do=case[3])
    q, k, v = (tensor(x).requires_grad_() for x in case[:3])
    o = karat.attention(q, k, v, recipe=SMALL, grid=GRID)
    assert o.requires_grad
    assert np.array_equal(bits(o.detach()), golden["o"].view(np.int16))
    o.backward(tensor(case[3]))
    for x, name in ((q, "dq"), (k, "dk"), (v, "dv")):
        assert np.array_equal(bits(x.grad), golden[name].view(np.int16)), name


def test_layouts_types_and_partial_gradients(case):
    q, k, v, do = (tensor(x) for x in case)
    expected = karat.backward(*case, recipe=SMALL, grid=GRID)
    turned = [x.transpose(1, 2).float().requires_grad_() for x in (q, k, v)]
    o = karat.attention(*turned, recipe=SMALL, grid=GRID, layout="BSHD")
    o.backward(do.transpose(1, 2))
    for x, array in zip(turned, expected):
        assert x.grad.dtype == torch.float32  # exact: BF16 gradients widened
        assert np.array_equal(x.grad.transpose(1, 2).numpy(), array.astype(np.float32))
    only = v.clone().requires_grad_()
    karat.attention(q, k, only, recipe=SMALL, grid=GRID).backward(do)
    assert np.array_equal(bits(only.grad), expected.dv.view(np.int16))
    with torch.no_grad():
        assert not karat.attention(q, k, only, recipe=SMALL, grid=GRID).requires_grad


@pytest.mark.parametrize("mask", ["none", "window", "causal"])
def test_the_truth_is_autograd_s_in_f64(tmp_path, case, mask):
    """The FP64 gradients that golden files hold, which every recipe's are measured by, with
    everything exact: 1e-12 of PyTorch's."""
    fields = {
        "none": {"kind": "none"},
        "window": {"tile": [2, 4, 4], "window": [1, 1, 1]},
        "causal": {"kind": "none", "causal": "on"},
    }[mask]
    recipe = {"base": "fps_ste_bf16", "q": {"tile": [2, 4, 4]}, "k": {"tile": [2, 4, 4]}}
    recipe["mask"] = fields
    golden = karat.save(tmp_path / "g.h5", *case[:3], recipe=recipe, grid=GRID, do=case[3])
    assert golden["truth/gradient_rows"].tolist() == list(range(256))
    blocks = karat.block_mask(recipe, GRID)
    position = blocks.position_of_token
    keep = torch.from_numpy(blocks.keep.astype(bool)[np.ix_(position, position)])
    for kind, kept in (("dense", None), ("sparse", keep)):
        q, k, v = (tensor(x).double().requires_grad_() for x in case[:3])
        torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=kept, enable_gqa=True
        ).backward(tensor(case[3]).double())
        for x, name in ((q, "dq"), (k, "dk"), (v, "dv")):
            exact = torch.from_numpy(golden[f"truth/{kind}_{name}"])
            assert torch.linalg.norm(exact - x.grad) <= 1e-12 * torch.linalg.norm(x.grad), name


@pytest.mark.parametrize("base", ["dense_f32", "dense_f64"])
def test_f64_autograd_agrees_with_exact_gradients(case, base):
    """All operands f32, and sums of 256 terms in f32 or exact. L, s, P and dS are f32 in either, so
    that 1e-12 is out of reach: L and s below 32 leave P 2^-19 at most."""
    recipe = {"base": base, "backward": {"loop": "two_kernels", "output": "f32"}}
    if base == "dense_f64":
        recipe["backward"] |= dict.fromkeys(("dp", "dv", "dq", "dk"), "exact")
    q, k, v, do = (tensor(x)[:, :2].double() for x in case)
    wide = [x.clone().requires_grad_() for x in (q, k, v)]
    torch.nn.functional.scaled_dot_product_attention(*wide).backward(do)
    narrow = [x.float().requires_grad_() for x in (q, k, v)]
    karat.attention(*narrow, recipe=recipe).backward(do.float())
    limit = 1e-5 if base == "dense_f32" else 2.0**-18
    for a, b in zip(wide, narrow):
        assert torch.linalg.norm(a.grad - b.grad) < limit * torch.linalg.norm(a.grad)


def test_fp8_outputs_come_in_a_type_that_holds_their_gradient():
    made = karat.generate("video", grid=(2, 8, 8), head_dim=128, seed=4, do=True)
    for recipe in ("cudnn_fp8_hopper", "te_delayed"):
        q, k, v = (tensor(x).requires_grad_() for x in made[:3])
        o = karat.attention(q, k, v, recipe=recipe)
        assert o.dtype == torch.bfloat16
        codes = karat.attend(*made[:3], recipe=recipe)
        assert np.array_equal(o.detach().float().numpy(), codes.astype(np.float32))
        o.backward(tensor(made[3]))
        expected = karat.backward(*made, recipe=recipe)
        for x, array in zip((q, k, v), expected):
            assert np.array_equal(x.grad.float().numpy(), array.astype(np.float32)), recipe


FPS = {
    "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},
    "q": {"tile": [2, 4, 4]},
    "k": {"tile": [2, 4, 4]},
}


@pytest.mark.parametrize(
    "recipe",
    [
        FPS | {"base": "fps_qat_fp8"},
        FPS | {"base": "attn_qat_fp8"},
        {"base": "cudnn_fp8_hopper"},
    ],
    ids=lambda recipe: recipe["base"],
)
def test_a_layer_learns_in_fp8(recipe):
    """One attention layer with projections regresses what another one gives."""
    torch.manual_seed(0)
    tokens, width, heads = 128, 32, 2
    grid = (2, 8, 8)
    scale = 2.0**12  # of the loss: gradients of a mean are too small for E5M2

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = torch.nn.Linear(width, 3 * width, bias=False)

        def forward(self, x):
            q, k, v = self.project(x).view(1, tokens, 3, heads, -1).unbind(2)
            o = karat.attention(q, k, v, recipe=recipe, grid=grid, layout="BSHD")
            return o.float().reshape(1, tokens, width)

    x = torch.randn(1, tokens, width)
    teacher, student = Layer(), Layer()
    with torch.no_grad():
        target = teacher(x)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(student(x), target)
        (scale * loss).backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-10:]) < 0.1 * losses[0], losses[::15]


def test_what_is_refused(case):
    q, k, v = (tensor(x).requires_grad_() for x in case[:3])
    with pytest.raises(karat.UsageError, match="has no backward"):
        karat.attention(q, k, v, recipe="fpsattention", grid=GRID)
    with pytest.raises(karat.ArrayError, match="no PyTorch tensor"):
        karat.attention(*case[:3], recipe=SMALL, grid=GRID)
    with pytest.raises(karat.UsageError, match="karat.attention"):
        karat.attend(q, k, v, recipe=SMALL, grid=GRID)
    o = karat.attention(q, k, v, recipe=SMALL, grid=GRID)
    with pytest.raises(karat.UsageError, match="NaN at batch 0"):
        o.backward(torch.full_like(o, float("nan")))
