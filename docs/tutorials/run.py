#!/usr/bin/env python3
"""Runs a page as it stands: writes its files, runs its commands, compares what they print.

    python docs/tutorials/run.py docs/tutorials/kernel_engineer.md FOLDER

Files and commands go to FOLDER, which must be new or empty. Needs karat and python on PATH, as
`pip install` puts them. In a page

* a code block behind a line that ends in "`NAME`:" is the file NAME;
* a block of `sh` is commands, one a line; `# exits with 1` behind one says its exit status;
* a block of `text` behind it is what they print: every line stands in the output, in this order,
  where ... stands for anything.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, NamedTuple

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
NAMED = re.compile(r"`([\w.]+)`:\s*\Z")
STATUS = re.compile(r"#\s*exits with (\d+)\s*\Z")


class Block(NamedTuple):
    language: str
    name: str | None  # of the file it is
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(page):
        named = NAMED.search(page[: found.start()])
        yield Block(found[1], named[1] if named else None, found[2])


def commands(text: str) -> Iterator[tuple[str, int]]:
    """Each command with the status it ends with; a backslash continues a line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            said = STATUS.search(line)
            yield line, int(said[1]) if said else 0


def missing_line(wanted: str, printed: str) -> str | None:
    """The first line of `wanted` that `printed` does not have, in order."""
    rest = iter(printed.splitlines())
    for line in wanted.splitlines():
        words = [re.escape(part.strip()) for part in re.sub(r"\s+", " ", line).split("...")]
        pattern = re.compile(".*".join(words))
        if not any(pattern.search(re.sub(r"\s+", " ", each)) for each in rest):
            return line
    return None


def run(page: Path, folder: Path) -> None:
    """Raises SystemExit saying which command did not do what the page says."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"{folder}: is not empty; give a new folder")
    printed = ""
    for block in blocks(page.read_text()):
        if block.name is not None:
            (folder / block.name).write_text(block.text)
        elif block.language == "sh":
            printed = ""
            for command, status in commands(block.text):
                begin = time.monotonic()
                done = subprocess.run(
                    ["bash", "-c", command], cwd=folder, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                print(f"$ {command}\n{done.stdout}({time.monotonic() - begin:.1f} s)", flush=True)
                printed += done.stdout
                if done.returncode != status:
                    sys.exit(f"{page.name}: exit status {done.returncode}, not {status}: {command}")
        elif block.language == "text":
            line = missing_line(block.text, printed)
            if line is not None:
                sys.exit(f"{page.name}: nothing printed the line: {line}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
