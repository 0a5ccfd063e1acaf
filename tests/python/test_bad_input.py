"""Misuse: the exception one expects, with what to do next; never a crash."""

import threading

import ml_dtypes
import numpy as np
import pytest
from conftest import GRID, SMALL

import karat
from karat import _core


@pytest.fixture
def qkv():
    return tuple(np.zeros((1, 2, 256, 64), np.float32) for _ in range(3))


class OnGpu:
    """What a CuPy array says about itself."""

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **_):
        raise AssertionError("must not be touched")


@pytest.mark.parametrize(
    "change, error, action",
    [
        (lambda q, k, v: (OnGpu(), k, v), TypeError, "copy it to the host"),
        (lambda q, k, v: (q.astype(np.float64), k, v), TypeError, "float32, float16 or bfloat16"),
        (lambda q, k, v: (q.astype(np.complex64), k, v), TypeError, "astype"),
        (lambda q, k, v: (q.astype(">f4"), k, v), TypeError, "astype"),
        (lambda q, k, v: (np.ma.masked_less(q, 1), k, v), TypeError, "filled"),
        (lambda q, k, v: (q.tolist(), k, v), TypeError, "NumPy array or a PyTorch"),
        (lambda q, k, v: (None, k, v), TypeError, "NumPy array or a PyTorch"),
        (lambda q, k, v: (q.astype(np.float16), k, v), TypeError, "one type"),
        (lambda q, k, v: (q, k[:, :1].copy(), v), ValueError, "both as many"),
        (lambda q, k, v: (q, k, v[:, :1].copy()), ValueError, "both as many"),
        (lambda q, k, v: (q, *(np.repeat(x, 2, 1) for x in (k, v))), ValueError, "divisor"),
        (lambda q, k, v: (q, k[0], v[0]), ValueError, "one shape"),
        (lambda q, k, v: (q, k, v[..., :32].copy()), ValueError, "one shape"),
        (lambda q, k, v: tuple(x[0, 0, 0] for x in (q, k, v)), ValueError, "dimensions"),
        (lambda q, k, v: tuple(x[None] for x in (q, k, v)), ValueError, "dimensions"),
        (lambda q, k, v: tuple(x[:, :, :0] for x in (q, k, v)), ValueError, "give one from 1"),
        (lambda q, k, v: (q + np.float32("nan"), k, v), ValueError, "batch 0, head 0, token 0"),
        (lambda q, k, v: (q, k, v - np.float32("inf")), ValueError, "v: Inf"),
    ],
)
def test_tensors(qkv, change, error, action):
    with pytest.raises(error, match=action) as caught:
        karat.attend(*change(*qkv), recipe=SMALL, grid=GRID)
    assert isinstance(caught.value, karat.KaratError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, error, action",
    [
        (dict(recipe="fpsatention"), ValueError, "did you mean|fpsattention"),
        (dict(recipe={"base": "fpsattention", "mask": {"kin": 1}}), ValueError, "mask.kin"),
        (dict(recipe={"p": {"format": "e4m4"}}), ValueError, "e4m3"),
        (dict(recipe=3), TypeError, "preset"),
        (dict(recipe="missing.json"), OSError, "missing.json"),
        (dict(recipe="{"), ValueError, "line 1"),
        (dict(grid=(4, 8, 9)), ValueError, "288 tokens"),
        (dict(grid=(4, 8)), ValueError, "three"),
        (dict(grid=(0, 8, 8)), ValueError, "from 1"),
        (dict(grid="abc"), ValueError, "three"),
        (dict(text=16), ValueError, "256 tokens and 16 of text where the tensors have 256"),
        (dict(text=256, grid=None), ValueError, "256 of 256 tokens"),
        (dict(text=-1), ValueError, "from 0"),
        (dict(text=1.5), ValueError, "whole number"),
        (dict(layout="SBHD"), ValueError, "BHSD"),
        (dict(mask=np.ones((256, 255), bool)), ValueError, "not square; give a row"),
        (dict(mask=np.ones((1, 2, 2, 4), bool)), ValueError, "karat.BlockMatrix"),
        (dict(mask=np.ones(256, bool)), ValueError, "not square"),
        (dict(mask=np.ones((255, 255), bool)), ValueError, "tokens"),
        (dict(mask=np.ones((255, 255), bool), mask_order="positions"), ValueError, "positions"),
        (dict(mask=np.ones((256, 256), bool), mask_order="tiles"), ValueError, "tokens"),
        (dict(mask_order="positions"), ValueError, "without mask"),
        (dict(grid=None), ValueError, "mask.tile 2,4,4 orders the tokens by it; give T,H,W"),
        (dict(mask=karat.BlockMatrix(np.ones((2, 5), bool))), ValueError, "2 x 5 blocks of 128 x 64 are not"),
        (dict(mask=karat.BlockMatrix(np.ones(4, bool))), ValueError, "blocks of q"),
        (dict(mask=karat.BlockMatrix(np.ones((1, 3, 2, 4), bool))), ValueError, "1 x 3 heads"),
        (dict(mask=np.ones((256, 256), np.float32)), TypeError, "BlockMask"),
        (dict(mask=np.ones((1, 2, 256, 256), bool)), ValueError, "per head"),
    ],
)
def test_options(qkv, options, error, action):
    with pytest.raises(error, match=action) as caught:
        karat.attend(*qkv, **({"recipe": SMALL, "grid": GRID} | options))
    assert "\n" not in str(caught.value)


def test_block_mask_arrays_out_of_range(qkv):
    mask = karat.block_mask(SMALL, GRID)
    for name, value in (("kv_indices", 10**6), ("kv_indices", -1), ("kv_num_blocks", 10**6)):
        array = getattr(mask, name).copy()
        array[...] = value
        broken = karat.BlockMask(**(mask.__dict__ | {name: array}))
        if name == "kv_indices":
            counts = np.ones_like(mask.kv_num_blocks)
            broken = karat.BlockMask(**(broken.__dict__ | {"kv_num_blocks": counts}))
        with pytest.raises(karat.KaratError):
            karat.attend(*qkv, recipe=SMALL, grid=GRID, mask=broken)


def test_other_functions(tmp_path, golden):
    x = np.zeros((4, 64), np.float32)
    codes = x.astype(ml_dtypes.float8_e4m3fn)
    for call, error, action in [
        (lambda: karat.encode(x.astype(np.float64), "e4m3"), TypeError, "float32"),
        (lambda: karat.encode(x, "float9"), ValueError, "e4m3"),
        (lambda: karat.encode(x, "e4m3", policy="tourch"), ValueError, "torch"),
        (lambda: karat.decode(x.astype(np.int64)), TypeError, "format="),
        (lambda: karat.view_as(x, "e4m3"), TypeError, "uint8"),
        (lambda: karat.quantize(x), ValueError, "recipe="),
        (lambda: karat.quantize(x, rule={"format": "e4m3", "group": "tiel"}), ValueError, "tile"),
        (lambda: karat.scaled_mm(codes, codes), ValueError, "K = 4 where a has 64"),
        (
            lambda: karat.scaled_mm(codes, codes.T, accumulator="hopper.wgmma.e4m3.f8"),
            ValueError,
            "f32",
        ),
        (lambda: karat.scaled_mm(x, x.T), TypeError, "e4m3"),
        (lambda: karat.scaled_mm(codes, codes.T, np.ones(3, np.float32)), ValueError, "1 or 4"),
        (lambda: karat.scaled_mm(codes, codes.T, promote_every=5), ValueError, "multiple"),
        (lambda: karat.generate("vidio", grid=GRID), ValueError, "video"),
        (lambda: karat.block_mask("sta_bf16"), ValueError, "grid"),
        (lambda: karat.cost("fpsattention"), ValueError, "tokens"),
        (lambda: karat.cost("fpsattention", gpu="H1000", tokens=4096), ValueError, "H100"),
        (lambda: karat.load(tmp_path / "none.h5"), OSError, "none.h5"),
        (lambda: karat.write_tensors(tmp_path / "x.txt", {"x": x}), ValueError, "safetensors"),
        (lambda: karat.write_tensors(tmp_path / "no" / "x.npy", {"x": x}), OSError, "no"),
        (lambda: karat.check(golden, x), ValueError, "shape|o"),
        (lambda: karat.check(golden, {}), ValueError, "stage"),
        (lambda: karat.check(golden, golden["o"], head=7), ValueError, "head"),
        (lambda: karat.names("colours"), ValueError, "recipes"),
    ]:
        with pytest.raises(error, match=action) as caught:
            call()
        assert isinstance(caught.value, karat.KaratError), caught.value


def test_damaged_files(tmp_path, golden):
    whole = open(golden.path, "rb").read()
    for i, bad in enumerate(
        [b"", b"x" * 100, whole[:600], whole[:-1], whole[:900] + b"?" + whole[901:]]
    ):
        path = tmp_path / f"bad{i}.h5"
        path.write_bytes(bad)
        with pytest.raises(karat.FileError, match=str(path)):
            karat.load(path)


def test_the_extension_refuses_what_the_package_never_sends(qkv):
    """Sizes are checked again where memory is touched."""
    recipe = karat.Recipe(SMALL)._core
    small = np.zeros(3, np.float32)
    q, k, v = qkv

    def heads(q, shape):
        return _core.Heads(
            q=q, k=k, v=v, type="f32", layout="BHSD", shape=shape, grid=GRID, text=0
        )

    right = (1, 2, 2, 256, 64)
    for first, shape in ((small, right), (q, (2**40, *right[1:])), (q, (1, 2, 1, 256, 64))):
        with pytest.raises(ValueError):
            heads(first, shape)
    with pytest.raises(ValueError):  # no room for the output
        _core.attend(recipe, heads(q, right), None, o=np.zeros(3, np.uint16), o_type="bf16")
    for array, order in ((np.ones((4, 5), np.uint8), "tokens"), (np.ones((4, 4), np.uint8), "")):
        with pytest.raises(ValueError):
            _core.Mask(keep=array, order=order)
    with pytest.raises(ValueError):
        _core.encode(small, "e4m3", None, np.zeros(2, np.uint8))
    read_only = np.zeros(3, np.uint8)
    read_only.flags.writeable = False
    with pytest.raises(ValueError):
        _core.encode(small, "e4m3", None, read_only)


def test_many_threads_at_once(heads):
    expected = karat.attend(*heads, recipe=SMALL, grid=GRID).tobytes()
    wrong = []

    def work():
        for _ in range(5):
            if karat.attend(*heads, recipe=SMALL, grid=GRID, threads=1).tobytes() != expected:
                wrong.append("bits")
            try:
                karat.attend(*heads, recipe="nobody")
                wrong.append("no error")
            except karat.UsageError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
