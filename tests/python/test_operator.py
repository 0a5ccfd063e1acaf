"""karat.torch.attention as PyTorch's operator: compiled as a whole, right in every form of mask."""

import numpy as np
import pytest
from conftest import GRID
from test_backward import SMALL

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

import karat  # noqa: E402
import karat.torch  # noqa: E402


@pytest.fixture(scope="module")
def case():
    return karat.generate(
        "video", grid=GRID, heads=4, kv_heads=2, head_dim=32, seed=2, do=True, torch=True
    )


def gradients(function, q, k, v, do):
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    o = function(*leaves)
    o.backward(do)
    return [o.detach(), *(x.grad for x in leaves)]


RECIPES = {"name": "fps_qat_fp8", "dict": SMALL, "Recipe": karat.Recipe(SMALL)}
CAUSAL = torch.ones(256, 256).tril().bool()


@pytest.mark.parametrize("form, mask", [("name", None), ("dict", CAUSAL), ("Recipe", None)])
def test_compiles_as_one_graph(case, form, mask):
    def layer(q, k, v):
        o = karat.torch.attention(q * 0.5, k, v, recipe=RECIPES[form], grid=GRID, mask=mask)
        return o + 1

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for ours, eager in zip(gradients(compiled, *case), gradients(layer, *case), strict=True):
        assert torch.equal(ours, eager)


def test_inductor_compiles_it(case, long_run):
    if not long_run:
        pytest.skip("compiling for the CPU takes half a minute: KARAT_LONG=1")

    def layer(q, k, v):
        return karat.attention(q.relu(), k, v, recipe=SMALL, grid=GRID).float().sum(-1)

    o = torch.compile(layer, fullgraph=True)(*case[:3])
    assert torch.allclose(o, layer(*case[:3]), rtol=1e-6)


@pytest.mark.parametrize("layout", ["BHSD", "BSHD"])
def test_pytorch_s_own_checks_of_an_operator(case, layout):
    """Schema, fake kernel and autograd, as PyTorch looks for mistakes of custom operators."""
    heads = case[:3] if layout == "BHSD" else [x.transpose(1, 2).contiguous() for x in case[:3]]
    setting = karat.torch._setting(SMALL, GRID, 0, layout, "pairs", None, 1, True)
    leaves = [x.clone().requires_grad_() for x in heads]
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.karat.attention.default, (*leaves, [CAUSAL], setting), test_utils=tests
    )


def test_the_fake_kernel_knows_every_output(case):
    """Types and shapes without data: FP8 outputs come in q's type."""
    q, k, v = (x[:, :2] for x in case[:3])
    for recipe in ("fps_qat_fp8", "dense_f32", "cudnn_fp8_hopper", "sta_bf16"):
        real = karat.torch.attention(q, k, v, recipe=recipe, grid=GRID)
        with torch._subclasses.FakeTensorMode() as mode:
            fake = [mode.from_tensor(x) for x in (q, k, v)]
            made = karat.torch.attention(*fake, recipe=recipe, grid=GRID)
        assert (made.shape, made.dtype, made.stride()) == (real.shape, real.dtype, real.stride())


def masks():
    blocks = karat.block_mask(SMALL, GRID)
    matrix = np.random.default_rng(0).integers(0, 2, (2, 4)).astype(bool)
    matrix[..., 0] = True
    return {"pairs": CAUSAL.numpy(), "matrix": karat.BlockMatrix(matrix), "own": blocks,
            "flex": blocks.to_torch()}  # fmt: skip


@pytest.mark.parametrize("form", ["pairs", "matrix", "own", "flex"])
def test_masks_of_every_form_reach_both_kernels(case, form):
    mask = masks()[form]
    recipe = SMALL | {"mask": {"tile": [2, 4, 4], "kind": "none"}} if form == "pairs" else SMALL
    found = gradients(
        lambda q, k, v: karat.torch.attention(q, k, v, recipe=recipe, grid=GRID, mask=mask), *case
    )
    expected = karat.attend(*case[:3], recipe=recipe, grid=GRID, mask=mask)
    assert torch.equal(found[0], expected)
    expected = karat.backward(*case, recipe=recipe, grid=GRID, mask=mask)
    assert all(torch.equal(a, b) for a, b in zip(found[1:], expected, strict=True))


def test_recipes_without_a_backward_serve_where_no_gradient_is_wanted(case):
    q, k, v = case[:3]
    o = karat.torch.attention(q, k, v, recipe="sta_bf16", grid=GRID)
    assert torch.equal(o, karat.attend(q, k, v, recipe="sta_bf16", grid=GRID))
    leaf = q.clone().requires_grad_()
    with torch.no_grad():
        assert torch.equal(o, karat.torch.attention(leaf, k, v, recipe="sta_bf16", grid=GRID))
    with pytest.raises(karat.UsageError, match="has no backward"):
        karat.torch.attention(leaf, k, v, recipe="sta_bf16", grid=GRID)


def test_there_is_no_second_derivative(case):
    q, k, v, do = case
    leaf = q.clone().requires_grad_()
    o = karat.torch.attention(leaf, k, v, recipe=SMALL, grid=GRID)
    (first,) = torch.autograd.grad(o, leaf, do.clone().requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="attention_backward"):
        first.sum().backward()
