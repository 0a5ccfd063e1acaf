"""Pictures of study, tune, cost and check: axes that say what they measure, ticks that differ as printed, marks
inside their frame, and screenshots in KARAT_PICTURES where Chromium is installed."""
import os
import re
import shutil
import struct
import subprocess
import unittest

import drawn
import karat
import numpy as np

PICTURES = os.environ.get("KARAT_PICTURES")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (1200, 600)
TILES = '{"base": "fpsattention", "name": "small", "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},' \
        ' "q": {"tile": [2, 4, 4]}, "k": {"tile": [2, 4, 4]}}'


class Pictures(karat.Case):
    def setUp(self):
        super().setUp()
        with open(self.path("small.json"), "w") as file:
            file.write(TILES)

    def looked_at(self, name, least):
        """The page's pictures, `least` at least, all readable; photographed where that is possible."""
        with open(self.path(name)) as file:
            page = file.read()
        pictures = drawn.pictures_of(page)
        self.assertGreaterEqual(len(pictures), least)
        for number, picture in enumerate(pictures):
            self.assertEqual(drawn.problems(picture), [], f"{name}, picture {number}")
        self.photograph(name)
        return page, pictures

    def photograph(self, name):
        if not CHROMIUM or not PICTURES:
            print(f"skipped: screenshots of {name}: no chromium" if not CHROMIUM else
                  f"skipped: screenshots of {name}: KARAT_PICTURES names no folder")
            return
        os.makedirs(PICTURES, exist_ok=True)
        shutil.copy(self.path(name), PICTURES)
        svg = name.endswith(".svg")
        for width in WIDTHS:
            photo = os.path.join(PICTURES, f"{os.path.splitext(name)[0]}-{width}.png")
            if os.path.exists(photo):
                os.remove(photo)
            subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                            f"--user-data-dir={self.path('browser')}", f"--window-size={width},{1300 if svg else 7000}",
                            f"--screenshot={photo}", "file://" + self.path(name)],
                           capture_output=True, timeout=120)
            with open(photo, "rb") as file:
                head = file.read(24)
            self.assertEqual(struct.unpack(">II", head[16:])[0], width)
            self.assertGreater(os.path.getsize(photo), 8000, "the page is blank")

    def answer_of(self, page):
        return re.search(r'<div class="answer.*?</div>', page, re.S)[0]

    def test_study(self):
        self.succeeds("study", "--grid", "4,16,24", "--channels", 32, "--prompts", 2, "--steps", "0,25,49",
                      "--layers", "0,7", "--heads", "0,1,2", "--rows", 16, "--draws", 4, "--threads", 2,
                      "--recipes", "small.json,fa3_fp8", "--sweep", "p", "--html", "study.html",
                      "--out", "study.h5", timeout=280)
        page, pictures = self.looked_at("study.html", 8)
        lines = re.findall("<p>(.*?)</p>", self.answer_of(page))
        self.assertRegex(lines[0], "^Largest effect: small")
        self.assertRegex(lines[1], "as much under the mask as without it")
        # Every cell of step x layer x head, once a recipe.
        maps = [p for p in pictures for panel in p.panels[:1] if panel.titles.get("y") == "layer"]
        self.assertEqual([len(p.panels) for p in maps[:2]], [3, 3])
        for panel in maps[0].panels:
            self.assertEqual((panel.ticks["x"], panel.ticks["y"]), (["0", "1", "2"], ["0", "7"]))
            self.assertEqual(len(panel.marks), 2 * 2 * 3)

    def test_a_mask_that_drops_nothing_is_told_its_tile(self):
        asked = ["study", "--grid", "4,8,16", "--channels", 32, "--prompts", 1, "--steps", "0,49", "--heads", 0,
                 "--rows", 16, "--draws", 4, "--ladder", "none", "--threads", 2]
        done = self.succeeds(*asked, "--recipes", "fpsattention", "--html", "page.html", "--out", "s.h5")
        page, _ = self.looked_at("page.html", 3)
        advice = re.search(r"mask\.tile, q\.tile and k\.tile (\d+),(\d+),(\d+) would keep (\d+) %", page)
        self.assertTrue(advice, self.answer_of(page))
        self.assertIn(advice[0], done.stdout)
        self.assertLessEqual(int(advice[4]), 50)
        tile = "[%s, %s, %s]" % advice.groups()[:3]
        with open(self.path("told.json"), "w") as file:
            file.write('{"base": "fpsattention", "name": "told", "mask": {"tile": %s}, "q": {"tile": %s},'
                       ' "k": {"tile": %s}}' % (tile, tile, tile))
        done = self.succeeds(*asked, "--recipes", "told.json", "--html", "told.html", "--out", "t.h5")
        self.assertNotIn("drops nothing", done.stdout)
        with open(self.path("told.html")) as file:
            self.assertIn("Largest effect: told", self.answer_of(file.read()))

    def test_tune(self):
        self.succeeds("tune", "--quick", "--gpu", "H20", "--model", "wan2.1-14b", "--resolution", "720p",
                      "--resamples", 40, "--html", "tune.html", timeout=280)
        page, _ = self.looked_at("tune.html", 6)
        self.assertRegex(self.answer_of(page), "<p>Largest effect: on H20 three phases have")

    def test_cost(self):
        for name, recipe in (("cost.svg", "fa3_fp8"), ("sparse.svg", "fpsattention")):
            self.succeeds("cost", "--gpu", "H100", "--model", "wan2.1-14b", "--resolution", "480p", "--recipe",
                          recipe, "--svg", name)
            _, (picture,) = self.looked_at(name, 1)
            self.assertEqual(len(picture.panels), 3)
            self.assertEqual([panel.titles["x"].split("(")[-1] for panel in picture.panels[:2]],
                             ["us)", "FLOP/byte)"])
            for activity in ("QK", "PV", "exp2", "load K"):
                self.assertIn(activity, picture.legend)

    def test_check(self):
        self.succeeds("make", "--recipe", "small.json", "--grid", "4,16,24", "--channels", 32, "--heads", 2,
                      "-o", "g.h5")
        self.succeeds("inspect", "g.h5", "--export", "tensors")
        stages = karat.read(self.path("tensors/stages.safetensors"))
        dtype, o = stages["o"]
        wrong = o.copy()
        wrong[0, 1, :40, :3] ^= 0x80  # of one head, some tokens
        wrong[0, 1, 700, 5] ^= 0x8000
        karat.write(self.path("wrong.safetensors"), {"m": stages["m"], "o": (dtype, wrong)})
        done = self.karat("check", "g.h5", "wrong.safetensors", "--html", "check.html")
        self.assertEqual(done.returncode, 1, done.stderr)
        page, pictures = self.looked_at("check.html", 2)
        # Verdicts have the colours of their tones.
        style = re.search("<style>(.*?)</style>", page, re.S)[1]
        for stage, tone, verdict in (("m", "good", "equal"), ("o", "bad", "differs")):
            self.assertRegex(style, r"td\.%s \{ color: #[0-9a-f]{6}" % tone)
            self.assertTrue(f'<td>{stage}</td><td class="{tone}">{verdict}</td>' in page, stage)
        self.assertTrue('<div class="answer bad">' in page and ".answer.bad {" in style)
        # Two maps of 4 x 6 tiles, each large enough to be seen at a page's width.
        (tiles,) = [p for p in pictures if p.panels[0].titles["x"].startswith("tile of w")]
        self.assertEqual(len(tiles.panels), 2)
        for panel in tiles.panels:
            cells = np.array(panel.marks).reshape(-1, 2, 2)
            self.assertEqual(len(cells), 4 * 6)
            self.assertGreaterEqual((cells[:, 1] - cells[:, 0]).min(), 24)


class Checker(unittest.TestCase):
    """The checks above find what they are for."""

    GOOD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><g class="panel">
      <rect x="20" y="10" width="70" height="60" class="frame"/>
      <text x="50" y="90" font-size="10" class="title x">t (s)</text>
      <text x="10" y="40" font-size="10" class="title y" transform="rotate(-90 10 40)">error (%)</text>
      <text x="30" y="80" font-size="5" class="tick x">1.5</text><text x="60" y="80" font-size="5" class="tick x">2.5</text>
      <text x="15" y="20" font-size="5" class="tick y" text-anchor="end">1</text><text x="15" y="60" font-size="5"
      class="tick y" text-anchor="end">2</text>
      <circle cx="50" cy="50" r="2" class="mark"/></g></svg>"""

    def test_finds_each_fault(self):
        self.assertEqual(drawn.problems(drawn.read(self.GOOD)), [])
        for change, word in (((">2.5<", ">1.5<"), "equal ticks"), (("t (s)", ""), "no label"),
                             (("t (s)", "t"), "no unit"), (('cy="50"', 'cy="75"'), "outside"),
                             (('class="frame"', ""), "no frame"), (('x="50" y="90"', 'x="90" y="90"'), "leave")):
            text = self.GOOD.replace(*change)
            self.assertNotEqual(text, self.GOOD)
            self.assertIn(word, " ".join(drawn.problems(drawn.read(text))))


if __name__ == "__main__":
    unittest.main()
