"""karat cost --calibrate as a user runs it: a board from rows, its interval, bad input."""
import json
import unittest

from karat import Case

HEAD = "kernel,dtype,batch,heads,seqlen,head_dim,causal,ms\n"
SHAPES = [(2, 16, 1024, 64), (2, 16, 8192, 64), (2, 16, 1024, 128), (2, 16, 8192, 128)]


class Calibrate(Case):
    def asked(self, shape, *arguments):
        batch, heads, tokens, dim = map(str, shape)
        return json.loads(self.succeeds(
            "cost", "--json", "--batch", batch, "--heads", heads, "--seqlen", tokens,
            "--head-dim", dim, *arguments).stdout)

    def rows(self, scale):
        lines = [f"fa3,bf16,{b},{h},{l},{d},0,{scale * self.asked((b, h, l, d))['time_ms']}\n"
                 for b, h, l, d in SHAPES]
        with open(self.path("rows.csv"), "w") as file:
            file.write(HEAD + "".join(lines))

    def test_a_slower_board_is_found(self):
        self.rows(1.3)
        report = json.loads(self.succeeds("cost", "--json", "--calibrate", "rows.csv", "-o",
                                          "board.json").stdout)
        self.assertEqual((report["schema"], report["rows"]), ("karat.cost", 4))
        self.assertAlmostEqual(report["before"], 0.2624, places=3)  # ln 1.3
        self.assertLess(report["after"], 0.02)
        self.assertLess(report["left_out"], 0.05)
        for shape in SHAPES + [(1, 40, 4096, 128)]:
            model, mine = self.asked(shape), self.asked(shape, "--gpu", "board.json")
            self.assertAlmostEqual(mine["time_ms"] / model["time_ms"], 1.3, delta=0.04)
            self.assertLess(mine["low_ms"], mine["time_ms"])
            self.assertGreater(mine["high_ms"], mine["time_ms"])
            self.assertNotIn("low_ms", model)
        text = self.succeeds("cost", "--gpu", "board.json", "--seqlen", "4096").stdout
        self.assertIn("in nine of ten launches (calibrated on 4 rows)", text)

    def test_bad_input(self):
        self.rows(1)
        self.fails(2, "--out", arguments=["cost", "--calibrate", "rows.csv"])
        self.fails(2, "--calibrate", arguments=["cost", "--seqlen", "1024", "-o", "x.json"])
        for option in ("--power", "--recipe", "--sweep"):
            self.fails(2, option, arguments=["cost", "--calibrate", "rows.csv", "-o", "x.json", option, "400"])
        self.fails(3, "absent.csv", arguments=["cost", "--calibrate", "absent.csv", "-o", "x.json"])
        with open(self.path("bad.csv"), "w") as file:
            file.write(HEAD + "fa3,bf16,2,16,1024,64,0,fast\n")
        self.fails(2, "bad.csv line 2: ms",
                   arguments=["cost", "--calibrate", "bad.csv", "-o", "x.json"])


if __name__ == "__main__":
    unittest.main()
