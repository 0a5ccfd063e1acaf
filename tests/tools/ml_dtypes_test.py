# karat codec against ml_dtypes, the float8 types of JAX and NumPy: every f16 and bf16 value widened
# to f32, and 2^22 further f32 words. Installs ml_dtypes into a virtual environment of the build.
# usage: ml_dtypes_test.py KARAT ENVIRONMENT; exit 77 when the Python index cannot be reached
import os
import subprocess
import sys
import tempfile

SKIPPED = 77
# The last release that runs with Debian 12's NumPy 1.24; later ones import numpy.exceptions.
PACKAGE = "ml_dtypes==0.5.1"


def skip(reason):
    print(f"skipped: e4m3 and e5m2 against ml_dtypes; {reason}")
    sys.exit(SKIPPED)


def enter(environment):
    """Runs this program again inside the environment, made and filled on first use."""
    python = os.path.join(environment, "bin", "python")
    has_package = [python, "-c", "import ml_dtypes"]
    try:
        if not os.path.exists(python):
            make = [sys.executable, "-m", "venv", "--system-site-packages", environment]
            subprocess.run(make, check=True, timeout=120, capture_output=True, text=True)
        if subprocess.run(has_package, capture_output=True).returncode != 0:
            pip = [python, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check",
                   "--retries", "1", "--timeout", "15", PACKAGE]
            subprocess.run(pip, check=True, timeout=120, capture_output=True, text=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        skip(f"{PACKAGE} cannot be installed: {lines[-1]}")
    os.execv(python, [python, __file__, *sys.argv[1:]])


def compare(karat):
    import ml_dtypes
    import numpy

    halves = numpy.arange(1 << 16, dtype=numpy.uint16)
    words = numpy.arange(1 << 22, dtype=numpy.uint32) * numpy.uint32(1021) + numpy.uint32(7)
    # The stride above visits all exponents; this one stays where the formats have their values.
    near = (words & 0x807FFFFF) | ((100 + words % 60) << 23).astype(numpy.uint32)
    samples = {
        "f16": halves.view(numpy.float16).astype(numpy.float32),
        "bf16": (halves.astype(numpy.uint32) << 16).view(numpy.float32),
        "f32": words.view(numpy.float32),
        "f32 near": near.view(numpy.float32),
    }
    formats = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "x.bin"), os.path.join(folder, "y.bin")
        for label, x in samples.items():
            x.tofile(source)
            for name, dtype in formats.items():
                subprocess.run([karat, "codec", "--from", "f32", "--to", name, "--policy",
                                "ml_dtypes", "--in", source, "--out", target], check=True)
                ours = numpy.fromfile(target, dtype=numpy.uint8)
                with numpy.errstate(all="ignore"):
                    theirs = x.astype(dtype).view(numpy.uint8)
                wrong = numpy.flatnonzero(ours != theirs)
                print(f"{label} to {name}: {x.size - wrong.size} of {x.size} equal")
                for i in wrong[:3]:
                    word = x.view(numpy.uint32)[i]
                    print(f"  {word:08x}: karat {ours[i]:02x}, ml_dtypes {theirs[i]:02x}")
                failures += wrong.size
    return failures


if __name__ == "__main__":
    karat, environment = sys.argv[1:3]
    if not sys.prefix.startswith(os.path.abspath(environment)):
        enter(environment)
    sys.exit(1 if compare(karat) else 0)
