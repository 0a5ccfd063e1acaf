"""The gallery's scripts run, and the pictures in the pages are theirs."""

import subprocess
import sys
import xml.dom.minidom
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
SCRIPTS = sorted(p for p in (DOCS / "gallery").glob("*.py") if p.name != "drawing.py")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_script(script, tmp_path):
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120)
    made = list(tmp_path.glob("*.svg"))
    assert made
    for picture in made:
        kept = (DOCS / "pictures" / picture.name).read_text()
        if script.stem != "timeline":  # the time model may be fitted anew
            assert picture.read_text() == kept, f"run python {script} again"
        xml.dom.minidom.parseString(kept)
        assert picture.name in (DOCS / "gallery.md").read_text()
