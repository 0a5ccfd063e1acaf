"""The CUDA runtime stub as programs use it: by host code written as nvcc writes it, and, where nvcc
is, by a program it compiles. Recorded launches replay to the same bits.

environment: PROGRAM (tests/cudart/program.cpp), KARAT, LIBRARY (libkarat_cudart.so)"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

DATA = pathlib.Path(__file__).parent / "data"
PROGRAM, KARAT, LIBRARY = (os.environ[name] for name in ("PROGRAM", "KARAT", "LIBRARY"))


def run(command, code=0, **settings):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KARAT_CUDART")}
    environment.update({f"KARAT_CUDART{k}": str(v) for k, v in settings.items()})
    done = subprocess.run([str(each) for each in command], env=environment, capture_output=True,
                          text=True, timeout=280)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done


def tensors(path):
    """Names, types and bytes of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (each["dtype"], data[8 + size:][slice(*each["data_offsets"])])
            for name, each in header.items()}


def check_replay(folder, launches):
    files = sorted(folder.glob("launch_????.json"))
    assert len(files) == launches, files
    for file in files:
        out = folder / "replayed.safetensors"
        run([KARAT, "run", file, "-o", out])
        after = tensors(file.with_name(file.stem + ".after.safetensors"))
        assert after and tensors(out) == after, file


def check_program(command, folder, launches):
    assert run(command).stdout == "right\n"
    assert run(command, _HAZARDS="on").stderr.count("race") == 0
    assert run(command, _SCHEDULE="random", _SEED=3).stdout == "right\n"
    assert run(command, _FUSE="none").stdout == "right\n"  # nvcc has joined its one pair itself
    lost = run([*command, "wild"])
    assert lost.stdout == "lost\n" and "which no buffer holds" in lost.stderr, lost
    both = folder / "both"
    assert run(command, **{"": "both"}, _FOLDER=both).stdout == "right\n"
    check_replay(both, launches)
    recorded = folder / "recorded"
    run(command, code=1, **{"": "record"}, _FOLDER=recorded)  # nothing ran: results are wrong
    assert len(list(recorded.glob("launch_????.json"))) == 1
    report = folder / "report.txt"
    run(command, _REPORT=report)
    assert report.read_text().count("all together") == launches


def check_settings(command):
    for settings, text in (({"": "maybe"}, "KARAT_CUDART:"),
                           ({"": "record"}, "KARAT_CUDART_FOLDER"),
                           ({"_THREADS": "many"}, "KARAT_CUDART_THREADS"),
                           ({"_SCHEDULE": "early"}, "KARAT_CUDART_SCHEDULE"),
                           ({"_FUSE": "1"}, "KARAT_CUDART_FUSE")):
        done = run(command, code=1, **settings)
        assert text in done.stderr and "line " in done.stdout, (settings, done)


def compiled(folder):
    """The program as nvcc builds it, or None where there is no nvcc."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not os.access(nvcc, os.X_OK):
        print("nvcc is not here: the compiled program is left out")
        return None
    library = pathlib.Path(LIBRARY).parent
    program = folder / "program"
    run([nvcc, "-gencode", "arch=compute_90a,code=compute_90a", "-cudart=none", DATA / "program.cu",
         "-o", program, f"-L{library}", "-lkarat_cudart", f"-Xlinker=-rpath,{library}"])
    return program


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    by_hand = [PROGRAM, DATA / "program.fatbin"]
    check_program(by_hand, folder / "by_hand", launches=2)
    assert run([PROGRAM, DATA / "program.speed.fatbin"]).stdout == "right\n"
    check_settings(by_hand)
    broken = folder / "broken.fatbin"
    broken.write_bytes((DATA / "program.fatbin").read_bytes()[:16] + bytes(4000))
    assert "fat binary" in run([PROGRAM, broken], code=1).stderr
    if (program := compiled(folder)) is not None:
        check_program([program], folder / "compiled", launches=3)
        print("the compiled program runs")
sys.exit(0)
