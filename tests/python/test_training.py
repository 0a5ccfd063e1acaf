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


def test_f64_autograd_agrees_with_f32_gradients(case):
    """Sums of 256 rounded terms: FP32 gradients within 1e-5 of autograd's in FP64."""
    recipe = {"base": "dense_f32", "backward": {"loop": "two_kernels", "output": "f32"}}
    q, k, v, do = (tensor(x)[:, :2].double() for x in case)
    wide = [x.clone().requires_grad_() for x in (q, k, v)]
    torch.nn.functional.scaled_dot_product_attention(*wide).backward(do)
    narrow = [x.float().requires_grad_() for x in (q, k, v)]
    karat.attention(*narrow, recipe=recipe).backward(do.float())
    for a, b in zip(wide, narrow):
        assert torch.linalg.norm(a.grad - b.grad) < 1e-5 * torch.linalg.norm(a.grad)


def test_a_layer_learns_in_fp8():
    """One attention layer with projections regresses what another one gives."""
    torch.manual_seed(0)
    tokens, width, heads = 128, 32, 2
    grid = (2, 8, 8)
    recipe = {
        "base": "fps_qat_fp8",
        "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},
        "q": {"tile": [2, 4, 4]},
        "k": {"tile": [2, 4, 4]},
    }

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
        loss.backward()
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
