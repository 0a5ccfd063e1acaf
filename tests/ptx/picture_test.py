"""docs/pictures/run-timeline.svg is what the command under it in docs/run.md draws:
picture_test.py KARAT [--write]."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PICTURE = os.path.join(ROOT, "docs", "pictures", "run-timeline.svg")
LAUNCH = "tests/data/kernels/fa3_forward.json"


def main():
    karat, write = os.path.abspath(sys.argv[1]), "--write" in sys.argv
    with open(os.path.join(ROOT, "docs", "run.md")) as file:
        page = file.read()
    with tempfile.TemporaryDirectory() as folder:
        drawn = os.path.join(folder, "t.svg")
        subprocess.run([karat, "run", LAUNCH, "-o", os.path.join(folder, "out.safetensors"),
                        "--timeline", drawn], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        with open(drawn) as file:
            now = file.read()
    if write:
        with open(PICTURE, "w") as file:
            file.write(now)
    with open(PICTURE) as file:
        kept = file.read()
    if kept != now:
        print("the picture is another one; picture_test.py KARAT --write draws it anew")
        return 1
    if "pictures/run-timeline.svg" not in page or f"karat run {LAUNCH} " not in page:
        print("docs/run.md does not show the picture and its command")
        return 1
    rows = [text for text in ("warp 0<", "warp 11, wgmma<", "barrier 3<", "mbarrier 0x", "cluster barrier<")
            if text not in now]
    if rows:
        print("rows are missing:", rows)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
