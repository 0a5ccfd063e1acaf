"""Holds lines.txt against ptxas: lines_test.py [--write]. Skipped (77) where ptxas 13.0 is missing.

Each line stands in a scope of its own; ptxas names the lines it refuses, and what is left is tried
again without them."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = open(os.path.join(HERE, "lines_head.txt")).read()


def refused(lines, folder):
    """Which of the lines ptxas refuses, by their places."""
    path = os.path.join(folder, "lines.ptx")
    with open(path, "w") as file:
        file.write(HEAD + "".join("{ " + line + " }\n" for line in lines) + "ret;\n}\n")
    done = subprocess.run(["ptxas", "-arch=sm_90a", "-O0", path, "-o", os.devnull],
                          capture_output=True, text=True)
    if done.returncode == 0:
        return set()
    first = HEAD.count("\n") + 1
    found = {int(number) - first for number in re.findall(r"line (\d+); (?:error|fatal)", done.stderr)}
    found = {each for each in found if 0 <= each < len(lines)}
    if found:
        left = [i for i in range(len(lines)) if i not in found]
        return found | {left[i] for i in refused([lines[i] for i in left], folder)}
    if len(lines) == 1:
        return {0}
    half = len(lines) // 2
    return refused(lines[:half], folder) | {half + i for i in refused(lines[half:], folder)}


def main():
    if shutil.which("ptxas") is None:
        print("ptxas is missing: not compared")
        return 77
    version = subprocess.run(["ptxas", "--version"], capture_output=True, text=True).stdout
    if "release 13.0" not in version:
        print("not ptxas 13.0, whose answers the file has: not compared")
        return 77
    marked = [line.rstrip("\n") for line in open(os.path.join(HERE, "lines.txt"))
              if line[0] in "+-<>"]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for begin in range(0, len(marked), 300):
            chunk = marked[begin:begin + 300]
            no = refused([line[2:] for line in chunk], folder)
            wrong += [line for i, line in enumerate(chunk) if (i in no) != (line[0] in "->")]
    print(len(marked), "lines;", len(wrong), "of which ptxas says otherwise")
    print("\n".join(wrong))
    return 1 if wrong or not marked else 0


if __name__ == "__main__":
    sys.exit(main())
