"""docs/run_facts.md: every fact stands as one of its words and names tests that exist, or is open; the
open ones are those that docs/run.md lists."""
import glob
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
WORDS = ("confirmed", "documented", "assumed", "defined", "measured", "open", "stand-ins", "as each row says")


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def tests():
    names = set()
    for path in glob.glob(os.path.join(ROOT, "tests", "**", "*.cpp"), recursive=True):
        with open(path) as file:
            names |= set(re.findall(r"\bTEST(?:_P|_F)?\((\w+),\s*(\w+)\)", file.read()))
    return names


def facts():
    """(fact, how it stands, test) of each row of the tables but those of speed."""
    for line in read("docs", "run_facts.md").split("\n## Speed")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("| \n").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "fact":
            yield cells[0], cells[2], cells[3]


def main():
    known, wrong, opened, count = tests(), [], [], 0
    suites = {suite for suite, _ in known}
    for fact, stands, test in facts():
        count += 1
        if not any(word in stands for word in WORDS):
            wrong.append(f"{fact}: stands as \"{stands}\"")
        if stands.startswith("open"):
            opened.append(fact)
        named = re.findall(r"`([^`]+)`", test)
        if not named and test != "the same" and not stands.startswith("open"):
            wrong.append(f"{fact}: no test")
        suite = ""
        for name in named:
            if name.endswith(".py"):
                if not os.path.exists(os.path.join(ROOT, name)):
                    wrong.append(f"{fact}: {name} is missing")
                continue
            suite, case = (suite, name[1:]) if name.startswith(".") else name.split(".", 1)
            if (suite not in suites) if case == "*" else ((suite, case) not in known):
                wrong.append(f"{fact}: there is no test {suite}.{case}")
    listed = read("docs", "run.md").split("### What is open")[1].split("\n## ")[0]
    for fact in opened:
        if fact not in " ".join(listed.split()):
            wrong.append(f"docs/run.md does not list as open: {fact}")
    print(count, "facts,", len(opened), "open")
    print("\n".join(wrong))
    return 1 if wrong or count < 70 else 0


if __name__ == "__main__":
    sys.exit(main())
