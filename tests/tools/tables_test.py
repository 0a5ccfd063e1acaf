"""Tables as Markdown, two candidates of one golden file, evidence when asked, one syntax for grids."""
import json
import os
import re
import unittest

from karat import Case

GRID = ["--grid", "2,8,8", "--channels", "64"]


def markdown_tables(text):
    """Each table's rows as lists of cells, its rule left out."""
    tables, rows = [], []
    for line in text.splitlines() + [""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            rows.append([cell.strip().replace("\\|", "|") for cell in cells])
        elif rows:
            tables.append(rows)
            rows = []
    for table in tables:
        assert len({len(row) for row in table}) == 1, table
        assert all(set(cell) <= set("-:") and cell for cell in table[1]), table
    return [[table[0], *table[2:]] for table in tables]


class Tables(Case):
    def golden(self):
        self.succeeds("make", "--recipe", "fa3_fp8", *GRID, "--quiet", "-o", "g.h5")
        self.succeeds("inspect", "g.h5", "--export", "t", "--quiet")
        inputs = ["--in", "t/inputs.safetensors", "--quiet"]
        self.succeeds("attend", "--recipe", "fa3_fp8", *inputs, "-o", "right.safetensors")
        with open(self.path("wrong.json"), "w") as file:
            json.dump({"base": "fa3_fp8", "output": {"format": "f16"}}, file)
        self.succeeds("attend", "--recipe", "fa3_bf16", *inputs, "-o", "wrong.safetensors")

    def test_two_candidates_stand_side_by_side(self):
        self.golden()
        for pair, code in ((("right", "right"), 0), (("right", "wrong"), 1), (("wrong", "right"), 1)):
            names = [f"{name}.safetensors" for name in pair]
            done = self.karat("check", "g.h5", *names)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            for letter, name in zip("ab", names):
                verdict = "matches" if name.startswith("right") else "does not match"
                self.assertIn(f"{letter}: {name} {verdict} g.h5", done.stdout)
            self.assertEqual(done.stdout.count("next: karat diagnose"), pair.count("wrong"))
            report = json.loads(self.karat("check", "g.h5", *names, "--json").stdout)
            self.assertEqual((report["schema"], report["version"], report["passed"]),
                             ("karat.check.pair", 1, code == 0))
            for one, name in zip(report["candidates"], names):
                alone = json.loads(self.karat("check", "g.h5", name, "--json").stdout)
                self.assertEqual(one, {k: v for k, v in alone.items() if k not in ("schema", "version")})
            table, = markdown_tables(self.karat("check", "g.h5", *names, "--markdown").stdout)
            self.assertEqual(table[0], ["stage", "a", "outside", "max ulp", "rel L2", "b", "outside",
                                        "max ulp", "rel L2"])
            self.assertEqual([row[0] for row in table[1:]],
                             [stage["stage"] for stage in report["candidates"][0]["stages"]])
            for place in (0, 1):
                self.assertEqual([row[1 + 4 * place] for row in table[1:]],
                                 [stage["result"] for stage in report["candidates"][place]["stages"]])
        self.fails(2, "--html", "one candidate",
                   arguments=["check", "g.h5", "right.safetensors", "wrong.safetensors", "--html", "a.html"])
        self.fails(3, "no.safetensors", arguments=["check", "g.h5", "right.safetensors", "no.safetensors"])
        self.fails(2, "one argument too many",
                   arguments=["check", "g.h5", "right.safetensors", "wrong.safetensors", "c.safetensors"])

    def test_evidence_is_told_when_asked(self):
        line = "hopper.wgmma.e4m3.f32: hardware_rows; "
        make = ["make", "--recipe", "fa3_fp8", *GRID, "-o", "g.h5"]
        self.assertNotIn("hardware_rows", self.succeeds(*make).stderr)
        self.assertIn(line, self.succeeds(*make, "--verbose").stderr)
        self.assertNotIn("hardware_rows", self.succeeds(*make, "-v", "--quiet").stderr)
        attend = ["attend", "--recipe", "fa3_fp8", "--in", "g.h5", "-o", "o.safetensors"]
        self.assertNotIn("hardware_rows", self.succeeds(*attend).stderr)
        self.assertIn(line, self.succeeds(*attend, "-v").stderr)
        check = ["check", "g.h5", "o.safetensors"]
        done = self.succeeds(*check)
        self.assertNotIn("hardware_rows", done.stdout + done.stderr)
        self.assertIn(line, self.succeeds(*check, "-v").stderr)
        for report in (make, attend, check):
            self.assertEqual(json.loads(self.succeeds(*report, "--json").stdout)["evidence"][0]["instruction"],
                             "hopper.wgmma.e4m3.f32")
        self.assertIn("evidence " + line, self.succeeds("recipes", "fa3_fp8").stdout)
        self.assertIn("evidence " + line, self.succeeds("inspect", "g.h5").stdout)

    def test_every_table_is_markdown_when_asked(self):
        self.succeeds("study", "--recipes", "fa3_bf16,fa3_fp8", "--grid", "4x8x8", "--channels", "64", "--prompts",
                      "2", "--steps", "0,49", "--heads", "0", "--rows", "16", "--draws", "2", "-o", "s.h5", "--quiet")
        study = ["study", "--recipes", "fa3_bf16,fa3_fp8", "--grid", "4,8,8", "--channels", "64", "--prompts", "2",
                 "--steps", "0,49", "--heads", "0", "--rows", "16", "--draws", "2", "-o", "s.h5"]
        self.assertIn("holds this study already", self.succeeds(*study).stderr)  # 4x8x8 is 4,8,8
        os.mkdir(self.path("rows"))
        with open(self.path("rows/a.txt"), "w") as file:
            file.write(f"# H100 E4M3->fp32 wgmma(QGMMA)\n{64 * '0'} {64 * '0'} 00000000 00000000\n")
        for line, firsts in (
            (study, ["recipe", "recipe"]),
            (["recipes"], ["recipe"]),
            (["recipes", "fa3_fp8"], ["field"]),
            (["recipes", "fa3_fp8", "fa3_bf16"], ["field"]),
            (["recipes", "--schedule", "fa:sdpa:3:2"], [""]),
            (["mma", "--list"], ["instruction"]),
            (["cost", "--seqlen", "4096"], [""]),
            (["tune", "--from", "s.h5", "--resamples", "20"], ["schedule", "GPU", "baseline"]),
            (["evidence", "rows"], ["instruction"]),
        ):
            plain = self.succeeds(*line).stdout
            tables = markdown_tables(self.succeeds(*line, "--markdown").stdout)
            self.assertEqual([table[0][0] for table in tables][: len(firsts)], firsts, line)
            for table in tables:
                for row in table[1:]:
                    if line[0] != "cost":  # one answer is no table but in Markdown
                        for cell in row:
                            self.assertIn(cell, plain, line)
            self.assertNotIn("|--", plain)
            self.fails(2, "--markdown", "--json", arguments=[*line, "--markdown", "--json"])

    def test_grids_tiles_and_windows_take_both_forms(self):
        for line in (["mask", "--grid", "12,16,16", "--tile", "6,8,8", "--window", "3,3,1"],
                     ["cost", "--grid", "12,16,16", "--recipe", "fpsattention", "--tile", "6,8,8", "--window", "3,3,1"],
                     ["cost", "--grid", "12,16,16", "--recipe", "fpsattention", "--sweep", "tile", "--tiles", "6,8,8 3,4,4"]):
            crossed = [word.replace(",", "x") if word[0].isdigit() else word for word in line]
            self.assertNotEqual(line, crossed)
            self.assertEqual(self.succeeds(*line).stdout, self.succeeds(*crossed).stdout)
        for option, value in (("--grid", "12x16,16"), ("--tile", "6x8"), ("--window", "3,3,z")):
            line = {"--grid": "12,16,16", "--tile": "6,8,8", "--window": "3,3,1", option: value}
            self.fails(2, option, value, "T,H,W or TxHxW",
                       arguments=["mask", *[word for pair in line.items() for word in pair]])
        self.succeeds("make", "--recipe", "fa3_fp8", "--grid", "2x8x8", "--channels", "64", "--quiet", "-o", "a.h5")
        self.succeeds("make", "--recipe", "fa3_fp8", *GRID, "--quiet", "-o", "b.h5")
        with open(self.path("a.h5"), "rb") as a, open(self.path("b.h5"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        for command in ("make", "attend", "study", "cost", "mask"):
            self.assertIn("TxHxW", self.succeeds(command, "--help").stdout)


if __name__ == "__main__":
    unittest.main()
