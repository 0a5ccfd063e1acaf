"""PyTorch tensors: read in place, returned in kind, refused with a way out; FlexAttention and the casts."""

import numpy as np
import pytest
from conftest import GRID, SMALL, f32_attention_bound

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

import karat  # noqa: E402
from karat._arrays import values, view  # noqa: E402

flex = pytest.importorskip("torch.nn.attention.flex_attention")
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.uint8,
    ],
)
def test_tensors_are_read_where_they_lie(dtype):
    x = torch.zeros(4, 8).to(dtype)
    assert view(x, "x").array.ctypes.data == x.data_ptr()
    parameter = torch.nn.Parameter(torch.zeros(4, 8))
    assert values(parameter, "x").array.ctypes.data == parameter.data_ptr()


def tensors(heads, dtype=torch.bfloat16):
    return tuple(torch.from_numpy(x.view(np.int16)).view(torch.bfloat16).to(dtype) for x in heads)


def test_the_same_bits_as_numpy(heads):
    q, k, v = tensors(heads)
    o, lse = karat.attend(q, k, v, recipe=SMALL, grid=GRID, return_lse=True)
    assert o.dtype == torch.bfloat16 and lse.dtype == torch.float32
    expected = karat.attend(*heads, recipe=SMALL, grid=GRID)
    assert np.array_equal(o.view(torch.int16).numpy(), expected.view(np.int16))
    codes, scale = karat.quantize(q, recipe=SMALL, grid=GRID)
    assert codes.dtype == torch.float8_e4m3fn and scale.dtype == torch.float32
    assert torch.equal(karat.decode(codes), codes.float())
    sdpa = karat.scaled_dot_product_attention(q, k, v)
    assert sdpa.dtype == torch.bfloat16


def test_results_of_torch_are_judged(golden):
    q, k, v = tensors(golden.inputs)
    o = karat.attend(q, k, v, recipe=SMALL, grid=GRID)
    assert golden.check(o)
    assert not golden.check(torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_sdpa_agrees_with_torch(heads):
    q, k, v = tensors(heads, torch.float32)
    bound = f32_attention_bound(q, k, v)
    for options in ({}, {"is_causal": True}, {"attn_mask": torch.rand(256, 256) < 0.5}):
        ours = karat.scaled_dot_product_attention(q, k, v, **options)
        theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, **options)
        assert 0 < (ours - theirs).abs().max() < 2 * bound


@pytest.mark.parametrize(
    "change, error, action",
    [
        (lambda x: x.to("meta"), TypeError, r"pass q\.cpu\(\)"),
        (lambda x: x.double(), TypeError, "float32, float16 or bfloat16"),
        (lambda x: x.requires_grad_(), ValueError, r"no_grad\(\), or pass q\.detach\(\)"),
        (lambda x: x.to(torch.complex64), TypeError, r"q\.float\(\)"),
        (lambda x: x.to_sparse(), TypeError, r"q\.float\(\)"),
    ],
)
def test_refused_with_a_way_out(heads, change, error, action):
    q, k, v = tensors(heads, torch.float32)
    with pytest.raises(error, match=action):
        karat.attend(change(q), k, v, recipe="dense_f32")


def test_gradients_are_not_dropped_in_silence(heads):
    q, k, v = tensors(heads, torch.float32)
    o = karat.attend(q, k, v, recipe="dense_f32")
    leaf = q.clone().requires_grad_()
    for call in (
        lambda x: karat.attend(x, k, v, recipe="dense_f32"),
        lambda x: karat.scaled_dot_product_attention(x, k, v),
        lambda x: karat.encode(x, "e4m3"),
        lambda x: karat.quantize(x, rule={"format": "e4m3"}),
        lambda x: karat.scaled_mm(x[0, 0], x[0, 0].t(), accumulator="f32.fma"),
    ):
        for x in (leaf, leaf * 2):
            with pytest.raises(karat.UsageError, match="no backward"):
                call(x)
            call(x.detach())
            with torch.no_grad():
                call(x)
    with torch.no_grad():
        assert torch.equal(karat.attend(leaf, k, v, recipe="dense_f32"), o)


def test_views_are_copied(heads):
    q, k, v = tensors(heads, torch.float32)
    o = karat.attend(q, k, v, recipe="dense_f32")
    strided = [torch.stack([x, x + 1], -1)[..., 0] for x in (q, k, v)]
    swapped = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    for views in (strided, swapped):
        assert not any(x.is_contiguous() for x in views)
        assert torch.equal(karat.attend(*views, recipe="dense_f32"), o)
    bshd = karat.attend(*(x.transpose(1, 2) for x in (q, k, v)), recipe="dense_f32", layout="BSHD")
    assert torch.equal(bshd.transpose(1, 2), o)
    expanded = [x[:, :1].expand(1, 2, 256, 64) for x in (q, k, v)]
    assert torch.equal(*karat.attend(*expanded, recipe="dense_f32")[0])
    codes, scale = karat.quantize(strided[0], rule={"format": "e4m3"})
    same, _ = karat.quantize(q, rule={"format": "e4m3"})
    assert torch.equal(codes.view(torch.uint8), same.view(torch.uint8))
    rows = codes[0, 0].view(torch.uint8).t().contiguous().view(torch.float8_e4m3fn)  # [K, N] rows
    product = karat.scaled_mm(codes[0, 0], codes[0, 0].t())
    assert torch.equal(karat.scaled_mm(codes[0, 0], rows), product)


ALL_16 = torch.arange(-32768, 32768, dtype=torch.int16)


def torch_policy(format):
    """PyTorch 2.12 changed where overflow goes in E4M3, not in E5M2."""
    major, minor = (int(n) for n in torch.__version__.split(".")[:2])
    return "torch_2_12" if format == "e4m3" and (major, minor) >= (2, 12) else "torch"


def same_codes(ours, theirs):
    same = ours.view(torch.uint8) == theirs.view(torch.uint8)
    return bool((same | (ours.float().isnan() & theirs.float().isnan())).all())


@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
@pytest.mark.parametrize("source", [torch.float16, torch.bfloat16])
def test_torch_casts_on_all_16_bit_values(format, source):
    x = ALL_16.view(source).float()
    wanted = torch.float8_e4m3fn if format == "e4m3" else torch.float8_e5m2
    assert same_codes(karat.encode(x, format, policy=torch_policy(format)), x.to(wanted))
    if format == "e4m3":
        assert same_codes(
            karat.encode(x, format, policy=torch_policy(format)), ALL_16.view(source).to(wanted)
        )


@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
def test_torch_casts_on_f32(format, long_run):
    count = 2**24 if long_run else 2**20
    step = 2**32 // count
    bits = (np.arange(count, dtype=np.uint64) * step + step // 3).astype(np.uint32)
    x = torch.from_numpy(bits.view(np.float32))
    wanted = torch.float8_e4m3fn if format == "e4m3" else torch.float8_e5m2
    assert same_codes(karat.encode(x, format, policy=torch_policy(format)), x.to(wanted))


def random_case(seed):
    """A grid, a tile and a window; every fourth exact in tokens."""
    rng = np.random.default_rng(seed)
    grid = tuple(int(n) for n in rng.integers(2, 7, 3) * (1, 2, 2))
    exact = seed % 4 == 3
    mask = {
        "tile": [1, 1, 1] if exact else [int(n) for n in rng.integers(1, 5, 3)],
        "window": [int(n) for n in rng.integers(0, 2, 3) * 2 + 1],
        "border": str(rng.choice(["clamp", "truncate"])),
        "unit": "tokens_exact" if exact else "tiles",
    }
    return grid, mask


F32 = {
    name: {"format": "f32"} for name in ("q", "k", "v", "p")
} | {"base": "sta_bf16", "output": "f32"}  # fmt: skip


def flex_attention_case(seed, attention):
    """o of PyTorch under our BlockMask, o of karat, and how far they may be apart."""
    grid, mask = random_case(seed)
    recipe = F32 | {"mask": {"kind": "window"} | mask}
    q, k, v = tensors(karat.generate("video", grid=grid, head_dim=64, seed=seed), torch.float32)
    ours = karat.attend(q, k, v, recipe=recipe, grid=grid)
    blocks = karat.block_mask(recipe, grid, block_size=128)
    theirs = attention(*(blocks.reorder(x) for x in (q, k, v)), block_mask=blocks.to_torch())
    return blocks.restore(theirs), ours, f32_attention_bound(q, k, v), (q, k, v), blocks, grid


@pytest.mark.parametrize("seed", range(12))
def test_flex_attention_agrees_on_random_masks(seed):
    theirs, ours, bound, (q, k, v), blocks, grid = flex_attention_case(seed, flex.flex_attention)
    assert (ours - theirs).abs().max() < 2 * bound
    # The other way: PyTorch's own BlockMask of the same rule, in karat's dense recipe.
    table = torch.from_numpy(blocks.keep.astype(bool))
    n = table.shape[0]
    made = flex.create_block_mask(
        lambda b, h, i, j: table[i, j], 1, 1, n, n, device="cpu", BLOCK_SIZE=128
    )
    dense = {"base": "dense_f32", "mask": {"kind": "given", "tile": [1, 1, 1]}}
    given = karat.attend(*(blocks.reorder(x) for x in (q, k, v)), recipe=dense, mask=made)
    assert (blocks.restore(given) - theirs).abs().max() < 2 * bound
    for name in ("kv_num_blocks", "full_kv_num_blocks"):
        assert torch.equal(getattr(made, name), torch.from_numpy(np.array(getattr(blocks, name))))


def test_flex_attention_compiled_follows_the_block_lists(long_run):
    """The compiled kernel skips blocks by our lists, which the eager one never looks at."""
    if not long_run:
        pytest.skip("compiling FlexAttention takes a minute: KARAT_LONG=1")
    attention = torch.compile(flex.flex_attention)
    for seed in (1, 3, 6):
        theirs, ours, bound, *_ = flex_attention_case(seed, attention)
        assert (ours - theirs).abs().max() < 2 * bound
