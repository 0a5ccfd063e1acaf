"""Triton kernels on CPU tensors through karat.triton. Kernels of the tests, compiled here; where
Triton is not installed all of this is skipped."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import karat

torch = pytest.importorskip("torch", reason="Triton's driver needs PyTorch")
triton = pytest.importorskip("triton", reason="Triton is not installed: its driver is not tested")
VERSION = tuple(int(part) for part in triton.__version__.split(".")[:2])
if VERSION < (3, 4):
    pytest.skip("Triton is older than 3.4: its driver is not tested", allow_module_level=True)
import triton.language as tl  # noqa: E402

import karat.triton  # noqa: E402

KERNELS = Path(__file__).parents[1] / "data/kernels/triton"


@triton.jit
def scaled_sum(x, y, out, rows, columns, x_stride, y_stride, factor, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    a = tl.load(x + row * x_stride + i, mask=i < columns, other=0.0)
    b = tl.load(y + row * y_stride + i, mask=i < columns, other=0.0)
    tl.store(out + row * columns + i, a * factor + b, mask=(i < columns) & (row < rows))


def sums(x, y, factor=2.0, **more):
    out = torch.zeros(x.shape)
    scaled_sum[(x.shape[0],)](
        x, y, out, *x.shape, x.stride(0), y.stride(0), factor, BLOCK=64, **more
    )
    return out


def test_views_with_gaps_and_offsets_are_read_and_written_where_they_lie():
    whole = torch.arange(40.0 * 100).view(40, 100)
    x, y = whole[1:21:2, 3:53], whole[20:30, 50:]
    assert torch.equal(sums(x, y), x * 2 + y)
    run = karat.triton.last_run()
    assert run.kernel == "scaled_sum" and run.grid == (10, 1, 1)
    assert run.ground == "by definition" and run.hazards == []


def test_tensors_that_share_memory_share_it_in_the_kernel():
    numbers = np.arange(200, dtype=np.float32)
    x, y = torch.from_numpy(numbers[:150]).view(3, 50), torch.from_numpy(numbers[50:]).view(3, 50)
    expected = x + y
    with karat.triton.configured(threads=1):  # a row is read before the next CTA writes it
        scaled_sum[(3,)](x, y, x, 3, 50, 50, 50, 1.0, BLOCK=64)
    assert torch.equal(x, expected)  # copies of their own would have put rows of y back


def test_memory_that_is_only_read_may_be_read_only(tmp_path):
    np.arange(64, dtype=np.float32).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, mode="r", shape=(1, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch's, of the same thing
        x = torch.from_numpy(np.asarray(mapped))
    assert torch.equal(sums(x, x), x * 3)


@triton.jit
def all_numbers(out, a: tl.int64, b, c, d: tl.float64, e, one, nothing, pair, N: tl.constexpr):
    tl.store(out + 0, a.to(tl.float64))
    tl.store(out + 1, b.to(tl.float64))
    tl.store(out + 2, c.to(tl.float64))
    tl.store(out + 3, d)
    tl.store(out + 4, e.to(tl.float64))
    tl.store(out + 5, one)  # a 1 is a constant to Triton
    tl.store(out + 6, N + tl.num_programs(0) * 100 + tl.num_programs(1) * 10 + tl.num_programs(2))
    if nothing is not None:
        tl.store(out + 7, 1.0)
    tl.store(out + 8, pair[0].to(tl.float64))
    tl.store(pair[1], 9.0)


def test_numbers_of_every_kind_tuples_and_grids_of_three():
    out = torch.zeros(9, dtype=torch.float64)
    inside = torch.zeros(1, dtype=torch.float64)
    all_numbers[lambda meta: (2, meta["N"], 1)](
        out, -(2**40), 2**31 + 5, -7, 1e-300, 0.1, 1, None, (4, inside), N=3
    )
    expected = [-(2.0**40), 2.0**31 + 5, -7, 1e-300, float(np.float32(0.1)), 1, 234, 0, 4]
    assert out.tolist() == expected and inside.item() == 9


@triton.jit
def copied(x, out, rows, columns, R: tl.constexpr, C: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [rows, columns], [columns, 1], [R, C])
    target = tl.make_tensor_descriptor(out, [rows, columns], [columns, 1], [R, C])
    at = [tl.program_id(0) * R, tl.program_id(1) * C]
    target.store(at, source.load(at) + 1.0)


def test_descriptors_made_in_the_kernel_live_in_scratch_memory():
    x = torch.randn(50, 48)
    out = torch.zeros_like(x)
    copied[(4, 2)](x, out, 50, 48, R=16, C=32)
    assert torch.equal(out, x + 1)


@triton.jit
def transposed(x, out, R: tl.constexpr):
    at = tl.program_id(0) * R
    out.store([0, at], tl.trans(x.load([at, 0])))


def test_descriptors_of_the_host_become_tensor_maps():
    from triton.tools.tensor_descriptor import TensorDescriptor

    x = torch.randn(64, 80)[:, 8:72].to(torch.bfloat16)
    wide = torch.randn(64, 128, dtype=torch.bfloat16)
    x = wide[:, 8:72]
    out = torch.zeros(64, 64, dtype=torch.bfloat16)
    shaped = TensorDescriptor(x, list(x.shape), list(x.stride()), [32, 64])
    transposed[(2,)](shaped, TensorDescriptor(out, [64, 64], [64, 1], [64, 32]), R=32)
    assert torch.equal(out, x.T)


def test_clusters_run_as_clusters():
    x, y = torch.randn(4, 64), torch.randn(4, 64)
    assert torch.equal(sums(x, y, num_ctas=2), torch.addcmul(y, x, torch.tensor(2.0)))


@triton.autotune(
    configs=[triton.Config({"BLOCK": 64}, num_warps=2), triton.Config({"BLOCK": 128}, num_warps=4)],
    key=["n"],
)
@triton.jit
def doubled(x, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + i, tl.load(x + i, mask=i < n) * 2, mask=i < n)


def test_autotune_takes_its_first_configuration_and_says_so_once():
    x = torch.ones(100)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for n in (100, 99):
            doubled[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, n)
    assert doubled.best_config.kwargs == {"BLOCK": 64}
    assert x.tolist() == [4.0] * 99 + [2.0]  # ran once each time
    assert sum("first configuration" in str(each.message) for each in told) == 1
    assert karat.triton.last_run().grid == (2, 1, 1)


def test_nothing_is_timed():
    x = torch.ones(4)
    with pytest.raises(karat.UsageError, match="karat cost"):
        triton.testing.do_bench(lambda: doubled[(1,)](x, 4))


@triton.jit
def beyond(x, far, BLOCK: tl.constexpr):
    tl.store(x + far + tl.arange(0, BLOCK), 1.0)


def test_what_a_kernel_does_wrong_is_one_line_with_its_name():
    x = torch.zeros(64)
    line = r"^beyond: ptx:\d+ \(test_triton.py:\d+\): .*no buffer holds"
    with pytest.raises(karat.ptx.KernelFault, match=line) as told:
        beyond[(1,)](x, 1 << 20, BLOCK=64)
    assert "\n" not in str(told.value)
    with pytest.raises(karat.UsageError, match="no kernel has run"):
        karat.triton.last_run()


def test_arguments_that_cannot_be_run_are_one_line():
    x = torch.zeros(64)
    with pytest.raises(karat.ArrayError, match="x: a tensor lies on meta"):
        beyond[(1,)](torch.zeros(64, device="meta"), 0, BLOCK=64)
    with karat.triton.configured(schedule="early"):
        with pytest.raises(karat.UsageError, match="schedule"):
            beyond[(1,)](x, 0, BLOCK=64)
    with pytest.raises(TypeError, match="tempo"):
        karat.triton.configure(tempo=1)
    assert karat.triton.settings() == karat.triton.Settings()


def test_settings_reach_the_run():
    x, y = torch.randn(2, 50), torch.randn(2, 50)
    for settings in ({"hazards": True}, {"schedule": "late"}, {"schedule": "random", "seed": 7}):
        with karat.triton.configured(**settings):
            assert torch.equal(sums(x, y), torch.addcmul(y, x, torch.tensor(2.0)))
        assert karat.triton.last_run().settings == karat.triton.Settings(**settings)
    with karat.triton.configured(limit=3), pytest.raises(karat.ptx.KernelFault):
        sums(x, y)


@triton.jit
def counted(x, n):
    tl.store(x + tl.program_id(0), 1)
    tl.atomic_add(n, 1)


def test_what_a_search_leaves_out_is_said():
    x, n = torch.zeros(4, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    with karat.triton.configured(hazards=True):
        sums(torch.randn(2, 50), torch.randn(2, 50))
        assert karat.triton.last_run().not_looked_at == {
            "in_clusters": 0, "between_clusters": 0, "orders_by_memory": False
        }  # fmt: skip
        counted[(4,)](x, n)
        left_out = karat.triton.last_run().not_looked_at
        assert left_out["orders_by_memory"] and left_out["in_clusters"] == 4
    counted[(4,)](x, n)
    assert karat.triton.last_run().not_looked_at is None and n.item() == 8


@triton.jit
def products(a, b, out, PROMOTE: tl.constexpr):
    i = tl.arange(0, 64)
    k = tl.arange(0, 128)
    x = tl.load(a + i[:, None] * 128 + k[None, :])
    y = tl.load(b + i[None, :] * 128 + k[:, None])
    sum = tl.full([64, 64], 0.5, tl.float32)
    for _ in range(3):
        if PROMOTE:
            sum = tl.dot(x, y, sum, max_num_imprecise_acc=64)
        else:
            sum = tl.dot(x, y, sum)
    tl.store(out + i[:, None] * 64 + i[None, :], sum)


@pytest.mark.skipif(VERSION < (3, 9), reason="seen in the code that Triton 3.9 writes")
def test_hazards_are_warned_of():
    """Triton 3.9's partial sums of FP8 read accumulators of a wgmma before they wait for it."""
    a, b = (torch.randn(64, 128).to(torch.float8_e4m3fn) for _ in range(2))
    out = torch.zeros(64, 64)
    with karat.triton.configured(hazards=True):
        products[(1,)](a, b, out, PROMOTE=False)
        assert karat.triton.last_run().hazards == []
        with pytest.warns(UserWarning, match="products: .* hazards, the first: .*wgmma"):
            products[(1,)](a, b, out, PROMOTE=True)
    assert karat.triton.last_run().hazards


def sparse_inputs(tokens):
    generator = torch.Generator().manual_seed(5)
    heads, block = 2, 128
    blocks = tokens // block
    made = {}
    for name, shape in (("q", (heads * tokens, 128)), ("k", (heads * tokens, 128)),
                        ("vt", (heads * 128, tokens))):  # fmt: skip
        made[name] = torch.randn(shape, generator=generator).mul(8).to(torch.float8_e4m3fn)
    for name, shape in (("q_scale", (heads, blocks)), ("k_scale", (heads, blocks)),
                        ("v_scale", (heads, 128))):  # fmt: skip
        made[name] = torch.rand(shape, generator=generator) * 0.02 + 0.01
    kept = torch.rand(heads, blocks, blocks, generator=generator) < 0.5
    kept |= torch.eye(blocks, dtype=torch.bool)
    made["counts"] = kept.sum(-1).int()
    made["indices"] = torch.argsort(~kept, dim=-1, stable=True).int().contiguous()
    made["out"] = torch.zeros(heads * tokens, 128, dtype=torch.bfloat16)
    made["lse"] = torch.zeros(heads, tokens)
    numbers = {"S": tokens, "QB": blocks, "KB": blocks, "MAXB": blocks, "factor": 0.12751743}
    return made, numbers


def from_its_file(name, tensors, numbers, grid):
    """The same launch of the compiled kernel that lies in the project."""
    import json

    about = json.loads((KERNELS / f"{name}.json").read_text())
    parameters = []
    for each in about["arguments"]:
        argument = each["name"]
        if argument in numbers:
            parameters.append({"f32" if each["type"] == "fp32" else "i32": numbers[argument]})
        elif each["type"] == "tensordesc":
            shape = list(tensors[argument].shape)
            described = {"tensor": argument, "box": each["box"], "swizzle": each["swizzle"]}
            parameters += [{"tensor_map": described}, *({"i32": n} for n in shape),
                           {"i64": shape[1]}, {"i64": 1}]  # fmt: skip
        else:
            parameters.append({"pointer": argument})
    done = karat.ptx.run(
        (KERNELS / f"{name}.ptx").read_text(), grid=grid, block=about["block"],
        dynamic_shared=about["dynamic_shared"], tensors=tensors, outputs=["out", "lse"],
        parameters=[*parameters, {"pointer": ""}, {"pointer": ""}],
    )  # fmt: skip
    return done.outputs


@pytest.mark.skipif(VERSION != (3, 9), reason="the project's files were compiled by Triton 3.9")
@pytest.mark.parametrize("form", ["pointers", "tma"])
@pytest.mark.parametrize("tokens", [1024, 4096] if os.environ.get("KARAT_LONG") else [512])
def test_sparse_fp8_has_the_bits_of_its_compiled_file(form, tokens, monkeypatch):
    from triton.tools.tensor_descriptor import TensorDescriptor

    monkeypatch.syspath_prepend(str(KERNELS))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    import sparse_fp8

    tensors, numbers = sparse_inputs(tokens)
    grid = (tokens // 128, 2)
    wanted = from_its_file(f"sparse_fp8_{form}", tensors, numbers, grid)
    given = dict(tensors)
    if form == "tma":
        for name in ("q", "k", "vt", "out"):
            given[name] = TensorDescriptor.from_tensor(tensors[name], [128, 128])
    kernel = getattr(sparse_fp8, f"sparse_fp8_{form}")
    constants = {"D": 128, "BM": 128, "BN": 128, "P_SCALE": 448.0}
    kernel[grid](**given, **numbers, **constants, num_warps=8, num_stages=3)
    out = tensors["out"].view(torch.int16).numpy()
    np.testing.assert_array_equal(out, wanted["out"].view(np.int16))
    np.testing.assert_array_equal(tensors["lse"].numpy(), wanted["lse"])


def test_neither_ptxas_nor_a_gpu_is_needed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torch, triton, triton.language as tl, karat.triton\n"
        "@triton.jit\n"
        "def ones(x):\n"
        "    tl.store(x + tl.arange(0, 32), 1.0)\n"
        "x = torch.zeros(32)\n"
        "ones[(1,)](x)\n"
        "assert x.sum() == 32\n"
    )
    nowhere = str(tmp_path / "none")
    environment = {
        **os.environ, "TRITON_CACHE_DIR": str(tmp_path / "cache"), "TRITON_PTXAS_PATH": nowhere,
        "TRITON_PTXAS_BLACKWELL_PATH": nowhere, "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_triton_has_its_own_driver_back_when_asked():
    karat.triton.deactivate()
    try:
        from triton.backends import backends

        assert backends["nvidia"].driver.__module__ == "triton.backends.nvidia.driver"
    finally:
        karat.triton.activate()
    x = torch.ones(4)
    doubled[(1,)](x, 4)
    assert x.tolist() == [2.0] * 4


def test_the_walk_of_the_page_goes_as_it_says(tmp_path):
    import re
    import textwrap

    page = (Path(__file__).parents[2] / "docs/run.md").read_text()
    walk = page[page.index("## Ten minutes from") : page.index("### What the driver does")]
    steps = re.findall(r"^( *)```python\n(.*?)^ *```", walk, re.DOTALL | re.MULTILINE)
    program = tmp_path / "walk.py"
    program.write_text("\n".join(textwrap.dedent(text) for _, text in steps))
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=500,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^lse +(within|equal) ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^o +(within|equal) ", done.stdout, re.MULTILINE), done.stdout
    for schedule in ("eager", "late", "random"):
        assert f"\n{schedule} []\n" in done.stdout
    assert "\nFalse\n" in done.stdout
    assert "d^-1/2" in done.stdout.split("\nFalse\n")[1]
