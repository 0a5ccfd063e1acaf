"""The README's Python and its command lines, run as they stand."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

import karat

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
FULL_SIZE = "--model wan2.1-14b --resolution 480p"
SMALL_SIZE = "--grid 6,16,16"
# Lines that build: tools/test.sh runs what they run, KARAT_LONG=1 runs them themselves.
BUILDING = ["tools/demo.sh", "cmake --preset release && cmake --build --preset release"]
WRONG = {"base": "fpsattention", "softmax": {"row_sum": "quantized"}}

spec = importlib.util.spec_from_file_location("tutorial", ROOT / "docs/tutorials/run.py")
tutorial = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tutorial)


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


def sessions():
    """Blocks of commands: a list of (line, what it prints or None)."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```$", README.read_text(), re.S | re.M):
        lines = block.splitlines()
        if lines[0].startswith("$ "):
            parts = re.split(r"^\$ ", block, flags=re.M)[1:]
            found.append([tuple(part.split("\n", 1)) for part in parts])
        elif re.match(r"(karat|cmake|pip|python|\./|tools/\S+\.sh\b)", lines[0]):
            found.append([(line.split("  #")[0].strip(), None) for line in lines])
    return found


class Shell:
    def __init__(self, program, folder):
        (folder / "bin").mkdir()
        (folder / "bin/karat").symlink_to(program)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.folder, self.environment = folder, os.environ | {"PATH": path}

    def __call__(self, line, status=0, where=None):
        done = subprocess.run(["bash", "-c", line], cwd=where or self.folder, text=True,
                              env=self.environment, capture_output=True)  # fmt: skip
        assert done.returncode == status, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def candidate(self, line, session):
        """What `karat check` or `diagnose` compares, where no line has written it."""
        golden, candidate = shlex.split(line)[2:4]
        if (self.folder / candidate).exists():
            return
        made = next(each for each, _ in session if f"-o {golden}" in each)
        words = shlex.split(made)
        recipe = words[words.index("--recipe") + 1]
        backward = "--backward " if "--backward" in words else ""
        self(f"karat attend {backward}--recipe {recipe} --in {golden} --quiet -o {candidate}")


def test_every_command_line_is_known():
    lines = [line for session in sessions() for line, _ in session]
    assert len(lines) >= 11, lines
    for line in lines:
        assert line in BUILDING or line.startswith("karat "), f"no test runs: {line}"
    # what stands in a block of another form would escape
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```$", README.read_text(), re.S | re.M))
    assert len(re.findall(r"^\s*(\$|karat|cmake) ", blocks, re.M)) == len(
        [line for line in lines if not line.startswith("tools/")]
    )


@pytest.mark.parametrize("session", [s for s in sessions() if s[0][1] is None],
                         ids=lambda session: session[0][0].split(" ")[0] + str(len(session)))  # fmt: skip
def test_command_lines(session, command_line, tmp_path, long_run):
    """Kernels that are right stand for the reader's; at full size under KARAT_LONG=1."""
    shell = Shell(command_line.program, tmp_path)
    for line, _ in session:
        if line in BUILDING:
            if long_run:
                shell(line, where=ROOT)
            continue
        line = line if long_run else line.replace(FULL_SIZE, SMALL_SIZE)
        if line.startswith(("karat check ", "karat diagnose ")):
            shell.candidate(line, session)
        shell(line)


def test_shown_verdicts(command_line, tmp_path):
    """What the README shows of a wrong kernel is what karat says of it."""
    session, = [s for s in sessions() if s[0][1] is not None]
    shell = Shell(command_line.program, tmp_path)
    (tmp_path / "wrong.json").write_text(json.dumps(WRONG))
    shell(f"karat make --recipe fpsattention {SMALL_SIZE} --quiet -o golden.h5")
    shell("karat attend --recipe wrong.json --in golden.h5 --quiet -o kernel.safetensors")
    for line, shown in session:
        printed = shell(line, status=1)
        wanted = "\n".join(each for each in shown.splitlines() if each != "...")
        assert tutorial.missing_line(wanted, printed) is None, printed
