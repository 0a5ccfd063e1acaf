"""The tutorials and the FAQ, run as they stand: files, commands and what they print (docs/tutorials/run.py)."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs/tutorials"
NEED_TORCH = ("kernel_engineer", "researcher")
PAGES = [*sorted(TUTORIALS.glob("*.md")), TUTORIALS.parent / "faq.md"]

spec = importlib.util.spec_from_file_location("tutorial", TUTORIALS / "run.py")
tutorial = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tutorial)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, command_line, tmp_path):
    if page.stem in NEED_TORCH and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed (tools/test.sh --long)")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "karat").symlink_to(command_line.program)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, TUTORIALS / "run.py", page, tmp_path / "work"],
        env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n$ ") >= 5


PAGE = """
Save as `a.txt`:

```
first
second
```

```sh
cat a.txt
false    # exits with 1
```

```text
fi...t
second
```
"""


@pytest.mark.parametrize(
    "change, problem",
    [
        (("second\n```\n\n", "other\n```\n\n"), "nothing printed the line: second"),
        (("exits with 1", "fails"), "exit status 1, not 0: false"),
        (("fi...t\nsecond", "second\nfi...t"), "nothing printed the line: fi...t"),
    ],
)
def test_the_runner_finds_what_a_page_says_wrong(tmp_path, change, problem):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    tutorial.run(page, tmp_path / "right")
    page.write_text(PAGE.replace(*change))
    with pytest.raises(SystemExit, match=problem):
        tutorial.run(page, tmp_path / "wrong")
    with pytest.raises(SystemExit, match="is not empty"):
        tutorial.run(page, tmp_path / "right")
