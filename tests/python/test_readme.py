"""The README's Python, run as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

import karat

README = Path(__file__).parent.parent.parent / "README.md"


class TransposingArray(np.ndarray):
    """NumPy with PyTorch's .t(), so that one snippet serves both."""

    def t(self):
        return self.T


def snippets():
    section = README.read_text().split("## Python\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


def test_snippets(tmp_path, monkeypatch):
    calls, _, _, h5 = snippets()
    q, k, v = karat.generate("gaussian", grid=(6, 16, 16))
    a = karat.encode(np.ones((4, 128), np.float32), "e4m3")
    space = {"q": q, "k": k, "v": v, "a": a, "b": a.view(TransposingArray)}
    exec(calls, space)
    assert space["o"].shape == q.shape and (space["d"] == 128).all()

    monkeypatch.chdir(tmp_path)
    golden = karat.save("golden.h5", q, k, v, recipe="fpsattention", grid=(6, 16, 16))
    space = {}
    exec(h5, space)
    assert np.array_equal(space["o"].view(np.uint16), golden["o"].view(np.uint16))
    assert np.array_equal(space["truth"], golden["truth/sparse_o"])


def test_training_snippet():
    torch = pytest.importorskip("torch")
    values = karat.generate("gaussian", grid=(6, 16, 16), heads=1)
    q, k, v = (
        torch.from_numpy(np.asarray(x, np.float32)).bfloat16().requires_grad_() for x in values
    )
    exec(snippets()[1], {"karat": karat, "q": q, "k": k, "v": v})
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in (q, k, v))


def test_adoption_snippet(karat_golden):
    """A kernel of PyTorch tensors; one that sums P after its cast fails, with its mistake named."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

    def kernel(q, k, v, recipe="fpsattention"):
        assert all(isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 for x in (q, k, v))
        return karat.torch.attention(q, k, v, recipe=recipe, grid=(6, 16, 16))

    space = {"karat": karat, "my_kernel": kernel}
    exec(snippets()[2], space)
    space["test_my_kernel"](karat_golden)
    wrong = {"base": "fpsattention", "softmax": {"row_sum": "quantized"}}
    space["my_kernel"] = lambda q, k, v: kernel(q, k, v, wrong)
    with pytest.raises(AssertionError, match=r"error against FP64(.|\n)* 1\. .*softmax\.row_sum"):
        space["test_my_kernel"](karat_golden)
