"""The few shapes the gallery's own pictures are made of, as SVG text. The first argument of every
script is the folder to write to, docs/pictures unless given."""

import sys
from pathlib import Path

PICTURES = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "pictures"
INK, FAINT = "#222", "#888"


def text(x, y, words, size=12, anchor="start", colour=INK):
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def box(x, y, width, height, colour, title=""):
    start = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"'
    return f"{start}><title>{title}</title></rect>" if title else f"{start}/>"


def shade(share):
    """White at 0 to dark red at 1."""
    share = min(max(share, 0), 1)
    red, other = 255 - 100 * share**2, 250 * (1 - share)
    return f"#{int(red):02x}{int(other):02x}{int(other * 0.92):02x}"


def write(name, width, height, shapes):
    body = "\n".join(shapes)
    (PICTURES / name).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif">\n<rect width="{width}" height="{height}" '
        f'fill="white"/>\n{body}\n</svg>\n'
    )
