"""The examples of every --help, run as one session in the order of their table."""

import json
import os
import re
import subprocess

import numpy as np
from test_ptx import KERNEL

import karat

LAUNCH = {
    "schema": "karat.launch", "version": 1, "ptx": "add.ptx", "kernel": "add", "block": [64],
    "tensors": {"x": {"file": "x.safetensors"},
                "out": {"dtype": "f32", "shape": [64], "output": True}},
    "parameters": [{"pointer": "x"}, {"pointer": "out"}, {"f32": 0.5}],
}  # fmt: skip
SPEC = {
    "schema": "karat.sweep_spec", "version": 1, "name": "example",
    "golden": {"recipes": ["fa3_fp8"], "tap": "none",
               "cases": {"grid": [[2, 8, 8]], "head_dim": 64, "seed": "0-1"}},
}  # fmt: skip
# Two of one session in another order than the alphabet's: each finds the files it needs.
SESSION = ("make", "attend", "check", "diagnose", "inspect", "export", "mask", "recipes", "cost",
           "study", "tune", "codec", "mma", "run", "evidence", "sweep plan", "sweep run",
           "sweep status", "sweep retry", "sweep merge")  # fmt: skip


def listed(text):
    return re.findall(r"^  ([a-z]+) {2,}\S", text, re.M)


def test_every_help_has_two_examples_that_run(command_line, tmp_path, long_run):
    top = listed(command_line("help").stdout)
    below = [f"sweep {name}" for name in listed(command_line("sweep", "--help").stdout)]
    assert set(SESSION) == set(top) - {"sweep"} | set(below)
    (tmp_path / "add.ptx").write_text(KERNEL.replace("BODY", ""))
    (tmp_path / "launch.json").write_text(json.dumps(LAUNCH))
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    karat.write_tensors(tmp_path / "x.safetensors", {"x": np.arange(64, dtype=np.float32)})
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "karat").symlink_to(command_line.program)
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for name in SESSION:
        help_text = command_line("help", *name.split()).stdout
        examples = re.findall(r"^  \$ (.*)$", help_text, re.M)
        assert len(examples) == 2 and all(f"karat {name} " in each for each in examples), help_text
        if name == "evidence" and not long_run:
            continue  # a synthetic capture takes twenty seconds: KARAT_LONG=1
        for line in examples:
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
